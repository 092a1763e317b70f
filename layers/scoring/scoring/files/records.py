"""Records of RFC 4180 CSV, found by searching bytes: a newline inside quotes does not end one.

Blank lines are no records. Nothing here parses a field: that keeps every byte as it is, and the work in C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from scoring.errors import ScoringFailed

BOM = b"\xef\xbb\xbf"
# A quote that is never closed makes one record of all that follows it: that must end before the memory does.
_MOST_RECORD_BYTES = 16 << 20
# One search for both is faster than `in` for each.
_BLANK = re.compile(rb"\n\r?\n")
# What says nothing of where records end.
_PLAIN = bytes(set(range(256)) - set(b'"\n'))


def cut(data: bytes) -> int:
    """How many bytes of `data` (which begins at a record) are whole records; 0 when not even one is."""
    end = data.rfind(b"\n")
    inside = data.count(b'"', 0, end + 1) % 2
    # An odd number of quotes before it means that this newline, and each one back to the last quote, lies inside a field.
    while inside:
        before = data.rfind(b"\n", 0, data.rfind(b'"', 0, end))
        inside ^= data.count(b'"', before + 1, end) % 2
        end = before
    return end + 1


def split(block: bytes) -> list[bytes]:
    """The records of a block of whole ones, without their line ends."""
    lines = block.split(b"\n")
    if b'"' in block:
        lines = list(_joined(lines, b"\n"))
    if b"\r" in block:
        lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    return [line for line in lines if line] if b"" in lines else lines


def fields(record: bytes, delimiter: bytes) -> list[bytes]:
    """The fields of a record as they are written, quotes included."""
    return list(_joined(record.split(delimiter), delimiter))


def _joined(pieces: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """What a quoted separator took apart, put together again."""
    begun: list[bytes] = []
    for piece in pieces:
        odd = piece.count(b'"') % 2
        if not begun and not odd:
            yield piece
            continue
        begun.append(piece)
        if odd and len(begun) > 1:
            yield separator.join(begun)
            begun = []
    if begun:
        yield separator.join(begun)


def count(block: bytes) -> int:
    """How many records a block of whole ones holds."""
    records, begun = tally(b"", block)
    return records + (begun not in (b"", b"\r"))


def tally(begun: bytes, data: bytes) -> tuple[int, bytes]:
    """How many records end in `data`, and the shortest beginning that counts as the one does that has not ended.

    `begun` is that of the data before. A record may be larger than the memory; its abridged beginning is not.
    """
    if (begun + data[:2]).startswith((b"\n", b"\r\n")) or _BLANK.search(data):
        data = begun + data
        end = cut(data)
        return len(split(data[:end])), _abridged(data[end:])
    # One pass in C leaves a hundredth of the bytes. Two quotes side by side change nothing for what follows them.
    marks = (begun + data.translate(None, _PLAIN)).replace(b'""', b"")
    pieces = marks.split(b'"')
    ended = b"".join(pieces[::2]).count(b"\n")
    if len(pieces) % 2 == 0:
        return ended, b'"'
    if b"\n" in pieces[-1]:
        return ended, _abridged(data[data.rfind(b"\n") + 1 :])
    return ended, _abridged(begun + data) if len(pieces) == 1 else b"-"


def _abridged(begun: bytes) -> bytes:
    if begun in (b"", b"\r"):
        return begun
    return b'"' if begun.count(b'"') % 2 else b"-"


def first_end(data: bytes) -> int:
    """Where the first record of `data` ends, its line end included; 0 when it is not whole."""
    end = data.find(b"\n")
    inside = data.count(b'"', 0, end + 1) % 2
    while inside:
        # Only behind the next quote can a newline be outside again.
        quote = data.find(b'"', end + 1)
        after = data.find(b"\n", quote + 1) if quote != -1 else -1
        if after == -1:
            return 0
        inside ^= data.count(b'"', end + 1, after) % 2
        end = after
    return end + 1


def halves(block: bytes) -> list[tuple[bytes, int]]:
    """A block of whole records in two of about the same size, each with its number of records; one record stays whole."""
    end = cut(block[: len(block) // 2]) or first_end(block) or len(block)
    counted = [(half, count(half)) for half in (block[:end], block[end:])]
    return [(half, rows) for half, rows in counted if rows]


class Blocks:
    """Bytes as they come → blocks of whole records of about `size` bytes each (one record at least).

    `size` may be changed between two blocks; `consumed` is how many bytes have been handed out or skipped; `start` is
    where in the file the bytes begin; `passed` is told of the bytes as they are handed out or skipped.

    Raises
    ------
    ScoringFailed
        A record is too large to be one.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        size: int,
        start: int = 0,
        passed: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.size, self.consumed = size, 0
        self._passed = passed
        self._start, self._chunks = start, iter(chunks)
        self._pending = b""
        self._ended = False

    def header(self) -> bytes:
        """The first record with its line end, blank lines before it skipped; empty at the end of the data."""
        while True:
            end = first_end(self._pending)
            if not end and not self._ended:
                self._read_on()
                continue
            header = self._take(end or len(self._pending))
            if header.strip(b"\r\n") or not header:
                return header

    def __iter__(self) -> Iterator[bytes]:
        while True:
            while len(self._pending) < self.size and not self._ended:
                self._read()
            whole = self._ended and len(self._pending) <= self.size
            end = len(self._pending) if whole else cut(self._pending[: self.size])
            # The first record is larger than a block: it goes alone, as soon as it is whole.
            while not end and not (end := first_end(self._pending)):
                if self._ended:
                    end = len(self._pending)
                    break
                self._read_on()
            if not end:
                return
            yield self._take(end)

    def _take(self, end: int) -> bytes:
        taken, self._pending = self._pending[:end], self._pending[end:]
        self.consumed += end
        self._passed(taken)
        return taken

    def _read_on(self) -> None:
        """Read more of a record that is not whole yet."""
        if len(self._pending) > _MOST_RECORD_BYTES:
            raise ScoringFailed(
                f"The record at byte {self._start + self.consumed} is larger than {_MOST_RECORD_BYTES >> 20} MiB: "
                "mostly, a quote in it is never closed.",
                "Quote the field and double the quote inside it (RFC 4180), then drop the file again.",
            )
        self._read()

    def _read(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
        else:
            self._pending += chunk


class Counter:
    """Counts the records of a stream that passes by, the header included.

    `records` are whole, and `begun` stands for the one that is not: with both, a count goes on elsewhere.
    """

    def __init__(self, records: int = 0, begun: bytes = b"") -> None:
        self.records, self.begun = records, begun

    def pass_on(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            ended, self.begun = tally(self.begun, chunk)
            self.records += ended
            yield chunk
        self.records += count(self.begun)
        self.begun = b""
