"""Columns of the file and columns of the model, side by side; the file's own bytes are untouched (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from scoring.files.dialect import RFC4180, Dialect


def line_end(header: bytes) -> bytes:
    """The line end that the file uses."""
    for end in (b"\r\n", b"\r"):
        if header.endswith(end):
            return end
    return b"\n"


def without_end(line: bytes) -> bytes:
    """A line without its line end."""
    return line.removesuffix(line_end(line))


def new_names(own: Iterable[bytes], names: Sequence[str]) -> list[bytes]:
    """The model's names, changed where the file has a column of that name already."""
    taken = set(own)
    columns = []
    for name in names:
        column = name.encode("utf-8", "replace")
        while column in taken:
            column += b"_model"
        taken.add(column)
        columns.append(column)
    return columns


def joined(rows: list[bytes], predictions: list[bytes], delimiter: bytes, end: bytes) -> bytes:
    """Each record with its prediction, one a line."""
    if len(rows) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions are not for {len(rows)} records")
    return b"".join(chain.from_iterable(zip(rows, repeat(delimiter), predictions, repeat(end), strict=False)))


def quoted(field: bytes, delimiter: bytes = b",") -> bytes:
    """A field as CSV has to write it."""
    if b'"' in field or delimiter in field or b"\n" in field or b"\r" in field:
        return b'"' + field.replace(b'"', b'""') + b'"'
    return field


def row(values: Iterable[bytes], delimiter: bytes = b",") -> bytes:
    """Fields as a record of CSV."""
    return delimiter.join(quoted(value, delimiter) for value in values)


def redelimited(record: bytes, delimiter: bytes) -> bytes:
    """A record of commas with another delimiter."""
    return delimiter.join(_fit(field, delimiter) for field in RFC4180.fields(record))


def _fit(written: bytes, delimiter: bytes) -> bytes:
    """A field that was written between commas, fit to stand between other delimiters."""
    return quoted(written, delimiter) if len(Dialect(delimiter).fields(written)) > 1 else written
