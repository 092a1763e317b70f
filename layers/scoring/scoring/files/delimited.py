"""CSV: records of fields between delimiters."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import repeat
from operator import itemgetter
from typing import Any

from scoring.errors import EmptyFile, InvalidFile
from scoring.files import utf8
from scoring.files.blocks import Blocks, never_closed
from scoring.files.columns import Columns
from scoring.files.dialect import BACKSLASH, QUOTE
from scoring.files.formats import Batch, Format, Lines, Spec, held
from scoring.files.joining import joined, line_end, new_names, row
from scoring.files.utf8 import NotUtf8

# So much is taken apart into records at once: as objects, short ones take four times their bytes, and what is in a
# processor's cache is done sooner.
_AT_ONCE_BYTES = 256 << 10
# What stands for separators inside of quotes while fields are cut at those outside: bytes that are in no UTF-8.
_HIDDEN = {b"\xff": b",", b"\xfe": b"\n", b"\xfd": b"\r"}
_HIDE = bytes.maketrans(b"".join(_HIDDEN.values()), b"".join(_HIDDEN))
# A decimal comma, in a field that is nothing but a number.
_DECIMAL = re.compile(rb"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")


class Csv(Format):
    media_type = "text/csv"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._dialect = spec.dialect
        self.answers = self._delimiter = spec.delimiter.encode()
        # RFC 4180 says nothing of a backslash, Spark, Hive and MySQL do.
        self._ambiguous = re.compile(rb'\\"(?![%b\r\n]|\Z)' % re.escape(self._delimiter))
        self._header, self._names, self._end = b"", list[bytes](), b"\n"

    def open(self, blocks: Blocks) -> None:
        blocks.skip(len(self.spec.preamble.encode()))
        first = blocks.first(keep=not self.spec.header)
        if not first:
            raise EmptyFile("The file holds no header and no record: nothing but blank lines.")
        self.check_text(first, 0 if self.spec.header else 1, blocks.position)
        self._end = line_end(first)
        self._header = self._dialect.lines(first)[0]
        pieces = self._dialect.pieces(self._header)
        if self._dialect.is_open(self._dialect.pieces(first)):
            raise never_closed(0, 0)
        _check_line_ends(pieces, 0, blocks.position)
        self._names = self._dialect.values(self._header)
        width = len(self._names)
        self._sent, self._kept = Columns.of(self.spec.sent, width), Columns.of(self.spec.kept, width)
        ends = (self.spec.end.encode(),) if self.spec.end == "\r" else (b"\n", b"\r\n")
        self._units = [self._delimiter * (width - 1) + end for end in ends]
        if not self.spec.header:
            self.sent_header = row(str(number).encode() for number in range(len(self._sent or self._names))) + b"\n"
        elif self._is_sent_as_is and not self._dialect.is_irregular(pieces):
            self.sent_header = first if first.endswith(b"\n") else self._header + b"\n"
        else:
            self.sent_header = row(self._sent.of_fields(self._names) if self._sent else self._names) + b"\n"

    @property
    def first(self) -> bytes:
        """The header, or without one the first record."""
        return self._header

    @property
    def names(self) -> list[bytes]:
        """What the columns are called; empty without a header."""
        return self._names if self.spec.header else []

    @cached_property
    def _is_sent_as_is(self) -> bool:
        spec = self.spec
        return spec.delimiter == "," and spec.decimal == "point" and spec.sent is None and spec.end == "\n"

    def check_text(self, data: bytes, row: int, offset: int) -> None:
        """Look whether records mean one thing only; the first is the file's `row`th (0 is the header).

        Raises
        ------
        InvalidFile
        """
        try:
            utf8.check(data)
        except NotUtf8 as error:
            which, at = self._which(data, error.place, row)
            raise InvalidFile(
                f"The file is not UTF-8: {which} holds the byte 0x{data[error.place]:02x} (byte {offset + error.place} "
                "of the file).",
                "Tag the file with its encoding (encoding=latin-1, cp1252, utf-16-le …), or write it as UTF-8, and drop it again.",
                row=at,
                offset=offset + error.place,
            ) from error
        self.check_quotes(data, row, offset)

    def check_quotes(self, data: bytes, row: int, offset: int) -> None:
        """Look whether each backslash before a quote means one thing only; otherwise as `check_text`."""
        # One byte is looked for with C's memchr; two are not.
        if not self.spec.escape and BACKSLASH in data and (found := self._ambiguous.search(data)):
            which, at = self._which(data, found.start(), row)
            raise InvalidFile(
                f"It cannot be told what the backslash before a quote means in {which}.",
                "Tag the file with escape=backslash if the backslash protects the quote (Spark, Hive and MySQL write so), "
                "or with escape=double if it is a character like any other (RFC 4180), and drop it again.",
                row=at,
                offset=offset + found.start(),
            )

    def _which(self, data: bytes, place: int, row: int) -> tuple[str, int]:
        number = row + len(self._dialect.records(data[: self._dialect.cut(data[:place])]))
        return (f"row {number}" if number else "the header"), number

    def batch(self, block: bytes, start: int, row: int, crc: int = 0) -> Batch:
        self.check_text(block, row, start)
        dialect = self._dialect
        pieces = dialect.regular(block)
        is_regular = pieces is not None
        if pieces is not None:
            is_quoted_well, is_open = True, len(pieces) % 2 == 0
        else:
            pieces = dialect.pieces(block)
            is_quoted_well, is_open = not dialect.is_irregular(pieces), dialect.is_open(pieces)
        if is_open:
            last = dialect.cut(block)
            raise never_closed(row + len(dialect.records(block[:last])), start + last)
        spans_lines = any(dialect.end in piece for piece in pieces[1::2])
        split = partial(dialect.lines, block, inside=spans_lines)
        as_it_is = self._is_sent_as_is and is_quoted_well
        sent: Lines | None
        text: Callable[[], bytes] | None = None
        if (count := self._regular(dialect.marks(pieces), block, split)) is not None:
            if as_it_is:
                sent = None
            elif is_regular and self._is_cut:
                cut = block, spans_lines, self._hides(pieces)
                text, sent = partial(self._cut, *cut), partial(self._cut_records, *cut)
            else:
                sent = partial(self._all_as_sent, split)
            return Batch(block, start, row, count, split, split, sent, text, crc=crc, spans_lines=spans_lines)
        lines, shaped, bad, padded = self._shaped(split(), start, row)
        own = held(shaped)
        sent = own if as_it_is else partial(self._all_as_sent, own)
        return Batch(
            block, start, row, len(lines), held(lines), own, sent, bad=bad, padded=padded, crc=crc, is_held=True
        )

    def _regular(self, marks: bytes, block: bytes, split: Lines) -> int | None:
        """How many records there are if each line is one of as many fields as the header has; otherwise None."""
        if len(self._units[0]) == 1 and any(map(self._dialect.is_blank, split())):
            return None
        # Of these marks alone, a CR in the middle of a line looks like one before its end.
        if b"\r" in marks and self.spec.end == "\n" and any(b"\r" in line for line in split()):
            return None
        for unit in self._units:
            end = unit.lstrip(self._delimiter) if len(unit) > 1 else unit
            whole = marks if block.endswith(end) else marks + end
            count = len(whole) // len(unit)
            if whole == unit * count:
                return count
        return None

    def _shaped(self, lines: list[bytes], start: int, row: int) -> tuple[list[bytes], list[bytes], dict[int, str], int]:
        """The records among lines, what comes back of them, what is wrong with them, and how many were short."""
        width, dialect = len(self._names), self._dialect
        records: list[bytes] = []
        own: list[bytes] = []
        bad: dict[int, str] = {}
        padded = 0
        for line in lines:
            if dialect.is_blank(line):
                continue
            pieces = dialect.pieces(line)
            _check_line_ends(pieces, row + len(records), start)
            fields = line.count(self._delimiter) + 1 if len(pieces) == 1 else len(dialect.fields(line))
            records.append(line)
            if fields > width:
                of = "the header has" if self.spec.header else "the first record has"
                bad[len(own)] = f"It has {fields} fields, {of} {width}."
                own.append(self._delimiter.join(dialect.fields(line)[:width]))
            else:
                padded += fields < width
                own.append(line + self._delimiter * (width - fields))
        return records, own, bad, padded

    @cached_property
    def _is_cut(self) -> bool:
        """Whether the model gets some fields as they are written, and never one alone, which may be blank."""
        spec = self.spec
        plain = spec.delimiter == "," and spec.decimal == "point" and spec.escape != "backslash" and spec.end == "\n"
        return plain and self._sent is not None and len(self._sent) > 1

    def _hides(self, pieces: list[bytes]) -> bool:
        """Whether a separator in quotes stands where fields or records are cut, in a regular block that is split there."""
        inside = b"".join(pieces[1::2])
        if b"," not in inside or b"\n" in inside or b"\r" in inside:
            return b"\n" in inside or b"\r" in inside
        # What is behind the last cut of a record is not taken apart: where is the first quote of each?
        splits, _ = self._sent.splits if self._sent else (0, ())
        before = pieces[:-1:2]
        firsts = before[:1] + [piece for piece in before[1:] if b"\n" in piece]
        return any(piece.count(b",", piece.rfind(b"\n") + 1) < splits for piece in firsts)

    def _cut(self, block: bytes, spans_lines: bool, hides: bool) -> bytes:
        """A regular block with the columns alone that the model gets, each record on a line."""
        written = io.BytesIO()
        for some in self._in_turn(block, spans_lines):
            written.write(self._cut_some(some, hides))
        return written.getvalue()

    def _cut_some(self, block: bytes, hides: bool) -> bytes:
        columns = self._sent
        assert columns
        if hides:
            regular = self._dialect.regular(block)
            pieces = self._dialect.pieces(block) if regular is None else regular
            pieces[1::2] = [piece.translate(_HIDE) for piece in pieces[1::2]]
            block = (b"" if regular is None else QUOTE).join(pieces)
        block = block.replace(b"\r", b"")
        block = block if block.endswith(b"\n") else block + b"\n"
        splits, taken = columns.splits
        # One step in C after the other for each record.
        chosen: Iterator[Any] = map(
            itemgetter(*taken), map(bytes.split, io.BytesIO(block), repeat(b","), repeat(splits))
        )
        records: Iterator[bytes] = chosen if len(taken) == 1 else map(b",".join, chosen)
        # Where the last column is not taken, the line end is left behind with it.
        text = b"".join(records) if taken[-1] == splits else b"\n".join(records) + b"\n"
        if hides:
            for hidden, shown in _HIDDEN.items():
                text = text.replace(hidden, shown)
        return text

    def _cut_records(self, block: bytes, spans_lines: bool, hides: bool) -> list[bytes]:
        """The records of that."""
        return self._dialect.lines(self._cut(block, spans_lines, hides), inside=spans_lines)

    def _in_turn(self, block: bytes, spans_lines: bool) -> Iterator[bytes]:
        """The records of a block, some of them at a time."""
        dialect, place = self._dialect, 0
        while place < len(block):
            some = block[place : place + _AT_ONCE_BYTES]
            if place + len(some) < len(block):
                whole = dialect.cut(some) if spans_lines else some.rfind(dialect.end) + 1
                # A record may be longer.
                some = some[:whole] or block[place : place + (dialect.first_end(block[place:]) or len(block))]
            place += len(some)
            yield some

    def _all_as_sent(self, own: Lines) -> list[bytes]:
        """Records as the model gets them."""
        records, columns, delimiter, slowly = own(), self._sent, self._delimiter, self._as_sent
        if not columns or len(columns) == 1 or delimiter != b"," or self._dialect.backslash:
            return list(map(slowly, records))
        # Most records have no quote, and a call for each of them would cost more than the work.
        splits, taken = columns.splits
        if len(taken) == 1:
            place = taken[0]
            return [slowly(one) if QUOTE in one else one.split(delimiter, splits)[place] for one in records]
        chosen = itemgetter(*taken)
        return [
            slowly(one) if QUOTE in one else delimiter.join(chosen(one.split(delimiter, splits))) for one in records
        ]

    def _as_sent(self, record: bytes) -> bytes:
        """A record as the model gets it: between commas, as RFC 4180 has it."""
        dialect, columns = self._dialect, self._sent
        is_plain = QUOTE not in record and not (dialect.backslash and BACKSLASH in record)
        if is_plain and (self.spec.delimiter == "," or b"," not in record):
            fields = columns.of_record(record, self._delimiter) if columns else None
            sent = record if fields is None else self._delimiter.join(fields)
            sent = sent if self.spec.delimiter == "," else sent.replace(self._delimiter, b",")
            return _not_blank(sent)
        is_fit = self.spec.delimiter == "," and self.spec.decimal == "point"
        if is_fit and not dialect.is_irregular(dialect.pieces(record)):
            return _not_blank(b",".join(columns.of_fields(dialect.fields(record))) if columns else record)
        values = dialect.values(record)
        chosen = columns.of_fields(values) if columns else values
        if self.spec.decimal == "comma":
            chosen = [value.replace(b",", b".") if _DECIMAL.fullmatch(value) else value for value in chosen]
        return _not_blank(row(chosen))

    def records(self, batch: Batch, places: Sequence[int]) -> list[bytes]:
        sent = (batch.sent or batch.records)()
        return sent if batch.is_all(places) else [sent[place] for place in places]

    def body(self, batch: Batch, places: Sequence[int]) -> bytes:
        if batch.is_all(places):
            if batch.sent is None:
                return batch.block
            if batch.text:
                return batch.text()
        return b"\n".join(self.records(batch, places)) + b"\n"

    def header(self, names: Sequence[str]) -> bytes:
        preamble = self.spec.preamble.encode()
        if not self.spec.header:
            return preamble
        columns = [row([name], self._delimiter) for name in new_names(self._names, names)]
        return preamble + self._delimiter.join([self._as_kept(self._header), *columns]) + self._end

    def joined(self, batch: Batch, names: Sequence[str], predictions: Sequence[Any | None]) -> list[bytes]:
        none = self._delimiter * (len(names) - 1)
        written, place = list[bytes](), 0
        for own in self._own(batch):
            found = [none if one is None else one for one in predictions[place : place + len(own)]]
            kept = list(map(self._as_kept, own)) if self._kept else own
            written.append(joined(kept, found, self._delimiter, self._end))
            place += len(own)
        if place != len(predictions):
            raise ValueError(f"{len(predictions)} predictions for {place} records")
        return written

    def _own(self, batch: Batch) -> Iterator[list[bytes]]:
        """What comes back of a batch's records, some of them at a time."""
        if batch.is_held:
            yield batch.own()
            return
        for some in self._in_turn(batch.block, batch.spans_lines):
            yield self._dialect.lines(some, inside=batch.spans_lines)

    def _as_kept(self, record: bytes) -> bytes:
        """The columns of a record that come back, as they are written."""
        if not self._kept:
            return record
        if len(self._dialect.pieces(record)) == 1:
            fields = self._kept.of_record(record, self._delimiter)
        else:
            fields = self._kept.of_fields(self._dialect.fields(record))
        return self._delimiter.join(fields)

    def values(self, record: bytes) -> list[bytes]:
        """What the fields of a record say."""
        return self._dialect.values(record)

    def starts(self, block: bytes) -> list[int]:
        return self._dialect.starts(block)


def _check_line_ends(pieces: list[bytes], row: int, offset: int) -> None:
    """Look whether a record, in pieces, has a line end outside of its quotes that the file's own is not."""
    if any(b"\r" in piece or b"\n" in piece for piece in pieces[::2]):
        raise InvalidFile(
            f"{f'Row {row}' if row else 'The header'} holds a line end of another kind than the file's: it ends a "
            "record for some readers and not for others.",
            "Quote the field that it is in, or write one kind of line end throughout, and drop the file again.",
            row=row,
            offset=offset,
        )


def _not_blank(sent: bytes) -> bytes:
    """A record that a reader takes for one: a blank field alone looks as a blank line does."""
    return sent if sent.strip() else QUOTE + sent + QUOTE
