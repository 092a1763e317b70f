"""Predictions in lines of CSV, with a header line or without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from scoring.errors import ModelFailed, RowCountMismatch
from scoring.files import jsontext
from scoring.files.dialect import QUOTE, RFC4180
from scoring.files.joining import redelimited
from scoring.protocols import json_answers
from scoring.protocols.model import Answer
from scoring.protocols.predictions import BEGINNING_CHARACTERS, Rows, names_of, table, written

# RFC 4180, 3: the parameter of text/csv.
_HEADER_PARAMETER = re.compile(r";\s*header\s*=\s*\"?(present|absent)\b", re.IGNORECASE)
# One line may be the columns of one record where it has no more values than a model has classes.
_FEW = 20


def read(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str]) -> tuple[list[str], Rows]:
    """As `answers.read`, of lines."""
    values = json_answers.values_of_lines(answer, expected, columns)
    if values is not None:
        return table(values, answer, columns, delimiter)
    rows = csv_rows(answer)
    names = _header(answer, rows, expected, columns)
    if names:
        rows = rows[1:]
    elif len(rows) == 1 < expected:
        rows = _apart(answer, rows[0], expected, columns) or rows
    width = len(names) if names else _width(rows[0]) if rows else 1
    if delimiter is None and not names and (found := json_answers.values_of_scalars(answer, rows)) is not None:
        return table(found, answer, columns, delimiter)
    if (names or b"," in answer.body) and any(_width(row) != width for row in rows):
        raise ModelFailed("The model's answer has rows of different lengths.", answer=answer.text)
    if delimiter is None:
        cells = [[_cell(field) for field in RFC4180.fields(row)] for row in rows]
        return written(names, cells, None) if names else table(_values(cells), answer, columns, None)
    if delimiter != b"," and (b"," in answer.body or QUOTE in answer.body or delimiter in answer.body):
        # The model writes commas whatever the file does.
        rows = [redelimited(row, delimiter) for row in rows]
    return names or names_of(width), rows


def _header(answer: Answer, rows: list[bytes], expected: int, columns: Sequence[str]) -> list[str] | None:
    """The names that the first line has; None if it is a prediction.

    Raises
    ------
    ModelFailed
        It may be either, or is a header with a line too few below it.
    """
    if not rows or len(rows) not in (expected, expected + 1):
        return None
    begins = repr(answer.text[:BEGINNING_CHARACTERS])
    if not _begins_with_a_header(answer, rows, columns):
        if len(rows) == expected and not columns and _has_a_gap(answer, rows):
            raise ModelFailed(
                f"The model's answer has an empty line, and its first may be a header: {begins}. It cannot be told which "
                "of them are predictions.",
                "Let the model answer JSON, where that can be told, or write no empty line. Then drop the file again.",
                answer=answer.text,
            )
        return None
    if len(rows) == expected:
        raise ModelFailed(
            f"The model's answer has as many lines as there are records ({expected}), and the first looks like a "
            f"header: {begins}.",
            "If it is one, the model left a record without a prediction: repair that. If it is a prediction, let the "
            "model answer JSON, where that can be told. Then drop the file again.",
            answer=answer.text,
        )
    return [name.decode("utf-8", "replace") for name in RFC4180.values(rows[0])]


def _begins_with_a_header(answer: Answer, rows: list[bytes], columns: Sequence[str]) -> bool:
    """Whether the first line names columns: said by the content type or by earlier answers, or a line of texts above a
    column of numbers.
    """
    if told := _HEADER_PARAMETER.search(answer.media_type):
        return told[1].lower() == "present"
    names = RFC4180.values(rows[0])
    if columns and names == [name.encode("utf-8", "replace") for name in columns]:
        return True
    if len(rows) < 2 or not _are_names(names):
        return False
    numeric = set(range(len(names)))
    for row in rows[1:]:
        values = RFC4180.values(row)
        numeric = {place for place in numeric if place < len(values) and _is_number(values[place])}
        if not numeric:
            return False
    return True


def _has_a_gap(answer: Answer, rows: list[bytes]) -> bool:
    """Whether there may be a prediction more, an empty one, below a line that names a column."""
    if _HEADER_PARAMETER.search(answer.media_type):
        return False
    below = RFC4180.lines(answer.body.lstrip(b" \t\r\n"))
    names = RFC4180.values(rows[0])
    return len(below) == len(rows) + 1 and len(names) == 1 and _are_names(names)


def _are_names(values: list[bytes]) -> bool:
    return len(set(values)) == len(values) and all(value.strip() and not _is_number(value) for value in values)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _apart(answer: Answer, row: bytes, expected: int, columns: Sequence[str]) -> list[bytes] | None:
    """The predictions that are all on one line, as XGBoost's container answers unless it is told that it scores a batch.

    Raises
    ------
    RowCountMismatch
        They may be one record's.
    """
    values = RFC4180.fields(row)
    if len(values) != expected:
        return None
    is_one_each = list(columns) == names_of(1) or (not columns and expected > _FEW)
    if not is_one_each or not all(map(_is_number, values)):
        raise RowCountMismatch(
            f"The model answered one line of {expected} values to {expected} records: it cannot be told whether they "
            "are a prediction for each, or one record's.",
            "Let the model answer a line for each record (XGBoost's container does with SAGEMAKER_BATCH=true, which "
            "protocol=sagemaker sets), then drop the file again.",
            answer=answer.text,
        )
    return [value.strip() for value in values]


def csv_rows(answer: Answer) -> list[bytes]:
    """The rows of an answer in CSV, fit to be written behind others.

    Raises
    ------
    ModelFailed
        It is broken off in the middle of a quoted field, or is no UTF-8.
    """
    body = answer.body
    pieces = RFC4180.pieces(body)
    rows = [line for line in RFC4180.lines(body) if not RFC4180.is_blank(line)]
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise ModelFailed("The model's answer is not UTF-8.", answer=answer.text) from error
    if RFC4180.is_open(pieces):
        raise ModelFailed("The model's answer ends in the middle of a quoted field.", answer=answer.text)
    if b"\r" in body and any(b"\r" in RFC4180.marks(RFC4180.pieces(row)) for row in rows):
        raise ModelFailed("The model's answer has a carriage return in the middle of a row.", answer=answer.text)
    return rows


def _values(cells: list[list[Any]]) -> list[Any]:
    """Rows as values of JSON: lists where they have several."""
    return [row[0] if len(row) == 1 else row for row in cells]


def _cell(field: bytes) -> Any:
    """A field of CSV as a value of JSON: what is quoted is text, and so is what is no JSON."""
    if field.startswith(QUOTE):
        return RFC4180.values(field)[0].decode()
    try:
        return jsontext.loads(field)
    except ValueError:
        return field.decode()


def _width(row: bytes) -> int:
    return len(RFC4180.fields(row)) if QUOTE in row else 1 + row.count(b",")
