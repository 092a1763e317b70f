"""Columns of the file and columns of the model, side by side; the file's own bytes are untouched (pure)."""

from __future__ import annotations

from scoring.files import records


def line_end(header: bytes) -> bytes:
    """The line end that the file uses."""
    return b"\r\n" if header.endswith(b"\r\n") else b"\n"


def joined_header(header: bytes, names: list[str], delimiter: bytes) -> bytes:
    """The header of the output: the file's own columns, then the model's under names that the file does not have yet."""
    own = header.rstrip(b"\r\n")
    taken = {name.strip(b'" ') for name in own.removeprefix(records.BOM).split(delimiter)}
    columns = []
    for name in names:
        column = name.encode("utf-8", "replace")
        while column in taken:
            column += b"_model"
        taken.add(column)
        columns.append(quoted(column, delimiter))
    return delimiter.join([own, *columns]) + line_end(header)


def joined(rows: list[bytes], predictions: list[bytes], delimiter: bytes, end: bytes) -> bytes:
    """Each record with its prediction, one a line."""
    return end.join(map(delimiter.join, zip(rows, predictions, strict=True))) + end


def quoted(field: bytes, delimiter: bytes) -> bytes:
    """A field as CSV has to write it."""
    if any(mark in field for mark in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + field.replace(b'"', b'""') + b'"'
    return field
