"""CSV as Python's `csv` and pandas read it, found by searching bytes: where records and fields end.

A quote opens only at the start of a field; inside, two quotes stand for one; what follows a closing quote is literal. With
`backslash`, a backslash takes its meaning from the next character, whatever that is. Nothing is copied that need not be,
and the work is done in C: a field is parsed only where somebody asks for its value.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

# So many quotes in so many bytes each are many.
_MANY, _DENSE_BYTES = 64, 400
QUOTE, BACKSLASH = b'"', b"\\"
# csv has a limit of 128 KiB for a field, for the whole process; here a record is bounded, by `blocks`.
csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class Dialect:
    """How a file's records are written: `delimiter`, whether with `backslash`, the `end` of a line (LF also stands for
    CRLF), and whether there are `quotes` at all.
    """

    delimiter: bytes = b","
    backslash: bool = False
    end: bytes = b"\n"
    quotes: bool = True

    @cached_property
    def _sections(self) -> re.Pattern[bytes]:
        """What separates nothing, whatever is in it: a quoted section, up to the end of the data if it is never closed;
        with `backslash`, also what it takes the meaning of. One group, so that a split keeps these.
        """
        # A quote opens where a field starts. With the quote first, the search for it is C's memchr.
        opening = rb'"(?<![^%b\r\n]")' % re.escape(self.delimiter)
        if not self.backslash:
            return re.compile(rb'(%b[^"]*(?:""[^"]*)*(?:"|\Z))' % opening)
        escape = rb"\\(?:.|\Z)"
        # Behind a character that was escaped, no field starts; behind a closing quote, a backslash is itself.
        outside = rb'(?:%b)+"*' % escape
        quoted = rb'%b[^"\\]*(?:(?:%b|"")[^"\\]*)*(?:"\\?|\Z)' % (opening, escape)
        return re.compile(rb"(%b|%b)" % (outside, quoted), re.DOTALL)

    @cached_property
    def _irregular(self) -> re.Pattern[bytes]:
        """A quote that neither opens a field nor closes one, where each quoted section is written as one quote."""
        mark = re.escape(self.delimiter)
        return re.compile(rb'"(?:(?<=[^%b\r\n]")|(?=[^%b\r\n]))' % (mark, mark))

    @cached_property
    def _plain(self) -> bytes:
        """What says nothing of where fields and records end."""
        return bytes(set(range(256)) - set(self.delimiter + b"\r\n"))

    @cached_property
    def _blank(self) -> bytes:
        """What a line may hold and yet be blank, as for pandas."""
        return b" \t".replace(self.delimiter, b"")

    def pieces(self, data: bytes) -> list[bytes]:
        """Data that begins at a record, taken apart: at even places what is outside, at odd ones the sections inside."""
        return self._sections.split(data) if self._has_sections(data) else [data]

    def _has_sections(self, data: bytes) -> bool:
        return self.quotes and (QUOTE in data or (self.backslash and BACKSLASH in data))

    def sections(self, data: bytes) -> Iterator[re.Match[bytes]]:
        """The sections inside, one after the other."""
        return self._sections.finditer(data) if self._has_sections(data) else iter(())

    def regular(self, data: bytes) -> list[bytes] | None:
        """Data that begins at a record, split at its quotes, if it is as RFC 4180 has it: then what is at even places is
        outside of them. None if it has to be read more closely. (Most files are, and this costs half as much.)
        """
        if not self.quotes or (self.backslash and BACKSLASH in data):
            return None
        if (quotes := self.regular_quotes(data)) is not None:
            edges = [-1, *quotes, len(data)]
            return [data[start + 1 : end] for start, end in pairwise(edges)] if quotes else [data]
        if data.count(QUOTE) < _MANY:
            return None
        pieces = data.split(QUOTE)
        if len(pieces) > 1:
            # Two quotes inside a field have nothing between them.
            outside, opened = pieces[::2], len(pieces) // 2
            beside = [piece[-1:] for piece in outside[:opened]] + [piece[:1] for piece in outside[1:]]
            if b"".join(beside).translate(None, self.delimiter + b"\r\n"):
                return None
        return pieces

    def regular_quotes(self, data: bytes) -> list[int] | None:
        """Where the quotes are, if they are few and all of them as RFC 4180 has it; otherwise None.

        C's memchr passes over a lot at once, and `split` does not; where there are many quotes, that counts no more.
        """
        if not self.quotes or (self.backslash and BACKSLASH in data):
            return None
        # Where the first ones are many, or others than these, so are the rest.
        first = _places(data[: _MANY * _DENSE_BYTES])
        if len(first) >= _MANY or self._well_placed(data, first) is None:
            return None
        return self._well_placed(data, _places(data))

    def _well_placed(self, data: bytes, quotes: list[int]) -> list[int] | None:
        """These quotes without those that stand for one in a field; None if the others do not open fields and close them."""
        separators = frozenset(self.delimiter + b"\r\n")
        while not self._beside(data, quotes) <= separators:
            outer = list[int]()
            for place in quotes:
                # One that opens where another has just closed stands with it for one.
                if len(outer) % 2 == 0 and outer and outer[-1] == place - 1:
                    outer.pop()
                else:
                    outer.append(place)
            if len(outer) == len(quotes):
                return None
            quotes = outer
        return quotes

    @staticmethod
    def _beside(data: bytes, quotes: list[int]) -> set[int]:
        """What is outside of quoted fields and beside them."""
        openings, closings = quotes[::2], quotes[1::2]
        if openings[:1] == [0]:
            del openings[0]
        if closings[-1:] == [len(data) - 1]:
            del closings[-1]
        return {data[place - 1] for place in openings} | {data[place + 1] for place in closings}

    def is_open(self, pieces: list[bytes]) -> bool:
        """Whether the data ends inside a quoted section."""
        if len(pieces) == 1 or pieces[-1] or not pieces[-2].startswith(QUOTE):
            return False
        section = pieces[-2]
        # All but the opening quote, the escaped characters and the pairs taken away: is a closing quote left?
        rest = re.sub(rb"\\." if self.backslash else rb'""', b"", section[1:], flags=re.DOTALL).replace(b'""', b"")
        return not rest.removesuffix(BACKSLASH if self.backslash else b"").endswith(QUOTE)

    def is_irregular(self, pieces: list[bytes]) -> bool:
        """Whether there is a quote in it that RFC 4180 does not allow, or a backslash that means something."""
        if len(pieces) == 1:
            return False
        if self.backslash and any(BACKSLASH in section for section in pieces[1::2]):
            return True
        return self._irregular.search(QUOTE.join(pieces[::2])) is not None

    def marks(self, pieces: list[bytes]) -> bytes:
        """Delimiters and line ends alone, in their order."""
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces[::2])).translate(None, self._plain)

    def cut(self, data: bytes) -> int:
        """How many bytes of `data` (which begins at a record) are whole records; 0 when not even one is."""
        if (quotes := self.regular_quotes(data)) is not None:
            edges = [-1, *quotes, len(data)]
            outside = range((len(edges) - 2) // 2 * 2, -1, -2)
            ends = (data.rfind(self.end, edges[number] + 1, edges[number + 1]) for number in outside)
            return next((end + 1 for end in ends if end != -1), 0)
        position = len(data)
        pieces = self.regular(data)
        quote = int(pieces is not None)
        pieces = self.pieces(data) if pieces is None else pieces
        for number in range(len(pieces) - 1, -1, -1):
            if number % 2 == 0:
                end = pieces[number].rfind(self.end)
                if end != -1:
                    return position - len(pieces[number]) + end + 1
            position -= len(pieces[number]) + quote
        return 0

    def first_end(self, data: bytes) -> int:
        """Where the first record of `data` ends, its line end included; 0 when it is not whole."""
        end = data.find(self.end)
        if end == -1:
            return 0
        if not self._has_sections(data[:end]):
            return end + 1
        position = 0
        for section in self._sections.finditer(data):
            end = data.find(self.end, position, section.start())
            if end != -1:
                return end + 1
            position = section.end()
        return data.find(self.end, position) + 1

    def lines(self, block: bytes, *, inside: bool = True) -> list[bytes]:
        """The records of a block of whole ones without their line ends, and the blank lines among them.

        `inside` is False if it is known that no line end lies inside a field.
        """
        lines = _joined(self.pieces(block), self.end) if inside else block.split(self.end)
        if b"\r" in block:
            # Also those that something has put before a CRLF: each ends a line that is blank.
            lines = [self._without_return(line) if line.endswith(b"\r") else line for line in lines]
        if not lines[-1]:
            lines.pop()
        return lines

    def _without_return(self, line: bytes) -> bytes:
        if self.backslash:
            # One that is escaped is no end.
            outside = self.pieces(line)[-1]
            return line[: len(line) - len(outside)] + outside.rstrip(b"\r")
        return line.rstrip(b"\r")

    def is_blank(self, line: bytes) -> bool:
        """Whether a line is no record."""
        return not line.strip(self._blank)

    def records(self, block: bytes) -> list[bytes]:
        """The records of a block of whole ones, without their line ends."""
        return [line for line in self.lines(block) if not self.is_blank(line)]

    def starts(self, block: bytes) -> list[int]:
        """Where the records of a block begin."""
        pieces, starts, position = self.pieces(block), list[int](), 0
        for line in _joined(pieces, self.end):
            if not self.is_blank(line.rstrip(b"\r")):
                starts.append(position)
            position += len(line) + 1
        return starts

    def fields(self, record: bytes) -> list[bytes]:
        """The fields of a record as they are written, quotes included."""
        pieces = self.pieces(record)
        return record.split(self.delimiter) if len(pieces) == 1 else _joined(pieces, self.delimiter)

    def values(self, record: bytes) -> list[bytes]:
        """What the fields of a record say."""
        read = csv.reader(
            (record.decode("utf-8", "surrogateescape"),),
            delimiter=self.delimiter.decode(),
            escapechar="\\" if self.backslash else None,
        )
        return [value.encode("utf-8", "surrogateescape") for value in next(read, [])]


def _places(data: bytes) -> list[int]:
    """Where the quotes are."""
    places, find = list[int](), data.find
    place = find(QUOTE)
    while place != -1:
        places.append(place)
        place = find(QUOTE, place + 1)
    return places


def _joined(pieces: list[bytes], separator: bytes) -> list[bytes]:
    """Data in pieces, split at each separator that is outside."""
    if len(pieces) == 1:
        return pieces[0].split(separator)
    whole: list[bytes] = []
    begun: list[bytes] = []
    for number, piece in enumerate(pieces):
        if number % 2 or separator not in piece:
            begun.append(piece)
            continue
        first, *rest = piece.split(separator)
        whole.append(b"".join([*begun, first]))
        whole += rest[:-1]
        begun = rest[-1:]
    whole.append(b"".join(begun))
    return whole


RFC4180 = Dialect()
"""What a model is sent and answers."""
