"""A stream of bytes, cut into blocks of whole records, or counted as it passes by."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from scoring.errors import InvalidFile
from scoring.files.dialect import BACKSLASH, QUOTE, RFC4180, Dialect

# A quote that is never closed makes one record of all that follows it: that must end before the memory does.
MOST_RECORD_BYTES = 16 << 20
# Two records are mostly found within so much.
_LOOK_BYTES = 64 << 10
# A line that is blank begins so.
_BLANK = b"\n\r \t"
_BLANKS = tuple(bytes([each]) for each in _BLANK)
_MAYBE_BLANK = {end: re.compile(rb"%b[ \t\r\n]" % end) for end in (b"\n", b"\r")}
# All there can be in a text that has none of the others.
_EMPTY = {end: re.compile(end + end) for end in (b"\n", b"\r")}
# Lines of so many bytes are long, where the first of them are.
_LONG_BYTES, _FIRST_BYTES = 128, 8 << 10
_FIRST = itemgetter(0)


def never_closed(row: int, offset: int) -> InvalidFile:
    """What to raise when a quote makes one record of the rest of the file."""
    return InvalidFile(
        f"Row {row}, at byte {offset}, begins a quote that is never closed, or is larger than "
        f"{MOST_RECORD_BYTES >> 20} MiB.",
        "Close the quote, and double each quote inside a quoted field (RFC 4180). Where a backslash stands before it "
        "instead, as Spark, Hive and MySQL write, tag the file with escape=backslash. Then drop it again.",
        row=row,
        offset=offset,
    )


class Blocks:
    """Bytes as they come → blocks of whole records of about `size` bytes each (one record at least).

    `size` may be changed between two blocks; `position` is the place in the text up to which records have been handed out
    or skipped; `passed` is told of their bytes. `row` is the number of the first record to come, for a message. With
    `joins_last`, a single record at the end comes with the block before it.

    Raises
    ------
    InvalidFile
        A record is too large to be one.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        size: int,
        dialect: Dialect = RFC4180,
        start: int = 0,
        passed: Callable[[bytes], None] = lambda _: None,
        *,
        joins_last: bool = False,
    ) -> None:
        self.size, self.position, self.row = size, start, 0
        self._joins_last = joins_last
        self._dialect, self._passed = dialect, passed
        self._chunks = iter(chunks)
        self._pending = b""
        self._ended = False

    def skip(self, size: int) -> None:
        """Leave out bytes that are no records."""
        self._read_to(size)
        self._take(size)

    def first(self, *, keep: bool = False) -> bytes:
        """The first record with its line end, blank lines before it skipped; empty at the end of the data.

        With `keep`, it comes again with the first block.
        """
        while True:
            end = self._dialect.first_end(self._pending)
            if not end and not self._ended:
                self._read_on()
                continue
            end = end or len(self._pending)
            record = self._pending[:end]
            is_blank = self._dialect.is_blank(record.rstrip(b"\r\n"))
            if is_blank or not keep:
                self._take(end)
            if not is_blank or not record:
                return b"" if is_blank else record

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self._read_to(self.size)
            whole = self._ended and len(self._pending) <= self.size
            end = len(self._pending) if whole else self._dialect.cut(self._pending[: self.size])
            # The first record is larger than a block: it goes alone, as soon as it is whole.
            while not end and not (end := self._dialect.first_end(self._pending)):
                if self._ended:
                    end = len(self._pending)
                    break
                self._read_on()
            if not end:
                return
            yield self._take(len(self._pending) if self._joins_last and self._is_last_but_one(end) else end)

    def _is_last_but_one(self, end: int) -> bool:
        """Whether nothing but a single record is left behind this place."""
        while not self._ended and len(self._pending) <= end + MOST_RECORD_BYTES:
            # What follows a whole record, other than blank lines, is another one.
            near = self._pending[end : end + _LOOK_BYTES].lstrip(_BLANK)
            first = self._dialect.first_end(near)
            if not first:
                near = self._pending[end:].lstrip(_BLANK)
                first = self._dialect.first_end(near)
            if first and near[first:].strip():
                return False
            self._read()
        if not self._ended:
            return False
        rest = self._pending[end:].lstrip(_BLANK)
        first = self._dialect.first_end(rest) or len(rest)
        return not rest[first:].strip()

    def _take(self, end: int) -> bytes:
        taken, self._pending = self._pending[:end], self._pending[end:]
        self.position += len(taken)
        self._passed(taken)
        return taken

    def _read_on(self) -> None:
        """Read more of a record that is not whole yet."""
        if len(self._pending) > MOST_RECORD_BYTES:
            raise never_closed(self.row, self.position)
        self._read()

    def _read(self) -> None:
        self._read_to(len(self._pending) + 1)

    def _read_to(self, size: int) -> None:
        """Read until so many bytes are pending, or all that there are."""
        pieces, pending = [self._pending], len(self._pending)
        while pending < size and not self._ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            else:
                pieces.append(chunk)
                pending += len(chunk)
        # Together, since each of them would be copied with all that came before it.
        self._pending = b"".join(pieces) if len(pieces) > 1 else self._pending


class Counter:
    """Counts the records of a stream that passes by, the header included.

    `records` are whole, and `begun` stands for the one that is not: with both, a count goes on elsewhere.
    """

    def __init__(self, dialect: Dialect = RFC4180, records: int = 0, begun: bytes = b"") -> None:
        self.records, self.begun = records, begun
        self._dialect = dialect

    def pass_on(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            ended, self.begun = tally(self._dialect, self.begun, chunk)
            self.records += ended
            yield chunk
        self.records += not self._dialect.is_blank(self.begun.rstrip(b"\r"))
        self.begun = b""


def tally(dialect: Dialect, begun: bytes, data: bytes) -> tuple[int, bytes]:
    """How many records end in `data`, and the shortest beginning that counts as the one does that has not ended.

    `begun` is that of the data before. A record may be larger than the memory; its abridged beginning is not.
    """
    # To copy a chunk costs more than to look at it: what is in the middle of a line is so without what is before it.
    is_inside = begun == b"-" and not data.startswith((QUOTE, *_BLANKS))
    text, end = data if is_inside else begun + data, dialect.end
    if is_inside and end not in text and QUOTE not in text and not (dialect.backslash and BACKSLASH in text):
        return 0, b"-" + _last(dialect, text)
    ends, maybe_blank = _line_ends(text, end)
    if not maybe_blank and (quotes := dialect.regular_quotes(text)) is not None:
        return _tally_regular(dialect, text, ends, quotes)
    section, after = b"", 0
    for found in dialect.sections(text):
        section, after = found[0], found.end()
        ends -= section.count(end)
    last = text.rfind(end, after)
    if maybe_blank:
        ends = sum(not dialect.is_blank(line) for line in dialect.lines(text[: dialect.cut(text)]))
    if last != -1 or not after:
        return ends, _abridged(dialect, text[last + 1 :])
    if after < len(text):
        return ends, b"-" + _last(dialect, text)
    return ends, _abridged_section(dialect, section)


def _tally_regular(dialect: Dialect, text: bytes, ends: int, quotes: list[int]) -> tuple[int, bytes]:
    """The same of text with so many line ends, whose quotes are at these places, all of them as RFC 4180 has it."""
    end = dialect.end
    inside = b"".join([text[opening:closing] for opening, closing in zip(quotes[::2], quotes[1::2], strict=False)])
    ends -= inside.count(end)
    if len(quotes) % 2:
        return ends - text.count(end, quotes[-1]), QUOTE
    after = quotes[-1] + 1 if quotes else 0
    if after and after == len(text):
        return ends, QUOTE + QUOTE
    last = text.rfind(end, after)
    if last == -1 and after:
        return ends, b"-" + _last(dialect, text)
    return ends, _abridged(dialect, text[last + 1 :])


def _line_ends(text: bytes, end: bytes) -> tuple[int, bool]:
    """How many line ends there are, and whether a line that begins there may be blank."""
    first = text[:_FIRST_BYTES]
    if end == b"\n" and first.count(end) * _LONG_BYTES < len(first):
        # The first byte of each line tells both, and memchr finds the lines. A line is made an object for a moment, which
        # takes less time than to look at all bytes of a long one, as `re` and `count` do (Python 3.11 to 3.13).
        begins = bytes(map(_FIRST, io.BytesIO(text)))
        return len(begins) - (not text.endswith(end)), any(each in begins for each in _BLANKS)
    blank = _MAYBE_BLANK if any(each in text for each in _BLANKS if each != end) else _EMPTY
    maybe_blank = text.startswith(_BLANKS) or blank[end].search(text) is not None
    # To leave a character out is memchr's and memcpy's work, and takes a third to a half of the time of `count`.
    return len(text) - len(text.replace(end, b"")), maybe_blank


def _abridged(dialect: Dialect, begun: bytes) -> bytes:
    """A beginning without quotes."""
    if dialect.is_blank(begun.rstrip(b"\r")):
        return begun[:1] + (b"\r" if begun.endswith(b"\r") and len(begun) > 1 else b"")
    return b"-" + _last(dialect, begun)


def _last(dialect: Dialect, begun: bytes) -> bytes:
    """The last byte, if it matters for what a next one means."""
    return begun[-1:] if begun.endswith((dialect.delimiter, b"\r", b"\n")) else b""


def _abridged_section(dialect: Dialect, section: bytes) -> bytes:
    """A beginning that ends with a section."""
    pending = dialect.backslash and (len(section) - len(section.rstrip(BACKSLASH))) % 2 == 1
    if not section.startswith(QUOTE):
        # A character was escaped, or the next one is.
        return b"-" + (BACKSLASH if pending else b"\\-")
    if dialect.is_open([b"", section, b""]):
        return QUOTE + (BACKSLASH if pending else b"")
    return b"-" if section.endswith(BACKSLASH) else QUOTE + QUOTE
