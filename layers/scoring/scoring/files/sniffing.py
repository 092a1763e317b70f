"""What separates the columns of a CSV file, and how its lines end: found out from its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scoring.errors import InvalidFile
from scoring.files.dialect import Dialect
from scoring.files.formats import Spec
from scoring.intake.tags import DELIMITERS


class Head:
    """The beginning of a text, as much of it as is asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.text, self.ended = b"", False
        self._chunks = chunks

    def read(self, size: int) -> None:
        while len(self.text) < size and not self.ended:
            chunk = next(self._chunks, None)
            self.ended = chunk is None
            self.text += chunk or b""


def delimiter(head: Head, start: int, spec: Spec) -> str:
    """What separates the columns, told by the header: the only candidate there, or the only one that fits the next record."""
    fields: dict[str, list[int]] = {}
    for candidate in DELIMITERS.values():
        dialect = replace(spec, delimiter=candidate).dialect
        dialect = replace(dialect, end=line_end(head, start, dialect).encode())
        records = _first_records(head, start, dialect)
        # What separates nothing from nothing is a line of blanks.
        if records and len(dialect.fields(records[0])) > 1 and records[0].strip(b" \t" + candidate.encode()):
            fields[candidate] = [len(dialect.fields(record)) for record in records]
    if spec.decimal == "comma" and len(fields) > 1:
        fields.pop(",", None)
    if len(fields) > 1:
        fits = {candidate: counts for candidate, counts in fields.items() if len(set(counts)) == 1 < len(counts)}
        fields = fits if len(fits) == 1 else fields
    if len(fields) > 1:
        names = [name for name, candidate in DELIMITERS.items() if candidate in fields]
        raise InvalidFile(
            f"It cannot be told from the header what separates the columns: {' or '.join(names)}.",
            f"Tag the file with {' or '.join(f'delimiter={name}' for name in names)} and drop it again.",
        )
    return next(iter(fields), ",")


def _first_records(head: Head, start: int, dialect: Dialect) -> list[bytes]:
    """The first two records, as far as there are so many."""
    records: list[bytes] = []
    while len(records) < 2:
        end = dialect.first_end(head.text[start:])
        if not end:
            rest = dialect.records(head.text[start:]) if head.ended else []
            return records + rest[:1]
        records += dialect.records(head.text[start : start + end])
        start += end
    return records


def line_end(head: Head, start: int, dialect: Dialect) -> str:
    """A lone CR if the first line ends with one."""
    returned = replace(dialect, end=b"\r").first_end(head.text[start:])
    if not returned:
        return "\n"
    head.read(start + returned + 3)
    rest = head.text[start + returned :]
    feed = replace(dialect, end=b"\n").first_end(head.text[start:])
    return "\n" if rest.lstrip(b"\r").startswith(b"\n") or 0 < feed < returned else "\r"
