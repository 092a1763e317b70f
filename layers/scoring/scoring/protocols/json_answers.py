"""Predictions in JSON: a list, `{"predictions": …}`, or a document on each line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from scoring.errors import ModelFailed
from scoring.files import jsontext
from scoring.files.dialect import QUOTE, RFC4180
from scoring.protocols.model import Answer
from scoring.protocols.predictions import BEGINNING_CHARACTERS, ONE_EACH, Rows, names_of, table, written

_NUMBERS = re.compile(rb'\s*\{\s*"predictions"\s*:\s*\[([-+.eE0-9, \t\r\n]*[0-9]\s*)\]\s*\}\s*')
_LINES = re.compile(r"application/(?:x-)?(?:jsonlines|jsonl|ndjson|json-lines)\b", re.IGNORECASE)
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
_CSV = re.compile(r"text/csv\b", re.IGNORECASE)
# How pandas.DataFrame.to_dict writes one with orient="split": its parts may have one length by chance.
_SPLIT = ({"columns", "data"}, {"columns", "data", "index"})


def read(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str]) -> tuple[list[str], Rows]:
    """As `answers.read`, of what begins as a list or an object does."""
    body = answer.body
    try:
        if delimiter is not None and (numbers := _NUMBERS.fullmatch(body)):
            # Nothing but numbers, as most models answer: checked as JSON, then taken as they were written. (int() would
            # refuse more than 4,300 digits.)
            json.loads(body, parse_int=float)
            return names_of(1), numbers[1].translate(None, b" \t\r\n").split(b",")
        document = jsontext.loads(body)
    except (ValueError, RecursionError) as error:
        values = _lines(body)
        if values is None:
            raise ModelFailed(
                "The model's answer is not JSON, though it begins as JSON does.", ONE_EACH, answer=answer.text
            ) from error
        return table(values, answer, columns, delimiter)
    predictions = _predictions(document, answer, expected, columns)
    if isinstance(predictions, dict):
        names, cells = _of_columns(predictions, answer, expected, columns)
        return written(names, cells, delimiter)
    return table(predictions, answer, columns, delimiter)


def _lines(body: bytes) -> list[Any] | None:
    """The documents of lines of JSON; None if one is none."""
    try:
        return [jsontext.loads(line) for line in body.split(b"\n") if line.strip()]
    except ValueError:
        return None


def _predictions(document: Any, answer: Answer, expected: int, columns: Sequence[str]) -> list[Any] | dict[str, Any]:
    """The list of predictions in a document, or the lists of them by their columns."""
    if isinstance(document, list):
        # One record, and its values in brackets on a line.
        is_row = expected == 1 and len(document) != 1 and not any(isinstance(item, list | dict) for item in document)
        return [document] if is_row else document
    if "predictions" not in document:
        # For one record, an object is the only line of lines of JSON, or a document of the model's own making.
        is_line = _LINES.match(answer.media_type) or {str(name) for name in document} == set(columns)
        if expected == 1 and is_line:
            return [document]
        raise ModelFailed(
            f"The model's answer is a JSON document without predictions, to {expected} records. If it is one prediction, "
            "it cannot be told from an answer of another kind.",
            'Let the model answer {"predictions": […]} with one item for each record, or lines of JSON with the content '
            "type application/jsonlines. Then drop the file again.",
            answer=answer.text,
        )
    found = document["predictions"]
    if not isinstance(found, list | dict):
        raise ModelFailed("The model's predictions are not a list.", ONE_EACH, answer=answer.text)
    return found


def _of_columns(
    lists: dict[str, Any], answer: Answer, expected: int, columns: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    """A list of values for each column, as MLflow answers for a model that gives a dict of lists."""
    values = list(lists.values())
    is_split = lists.keys() in _SPLIT
    if is_split or not all(isinstance(each, list) for each in values) or len({len(each) for each in values}) != 1:
        raise ModelFailed(
            "The model's predictions are not a list, and no lists of the same length by name.",
            ONE_EACH,
            answer=answer.text,
        )
    names = [str(name) for name in lists]
    if 1 < len(names) == expected == len(values[0]) and names != list(columns) and all(map(str.isdecimal, names)):
        raise ModelFailed(
            f"The model's predictions are {expected} lists of {expected} values by number, to {expected} records: it "
            "cannot be told whether each is a record's or a column's.",
            'Let the model answer {"predictions": […]} with one item for each record, then drop the file again.',
            answer=answer.text,
        )
    if set(names) == set(columns):
        names = list(columns)
    return names, [list(row) for row in zip(*(lists[name] for name in names), strict=True)]


def values_of_lines(answer: Answer, expected: int, columns: Sequence[str]) -> list[Any] | None:
    """The values of lines of JSON that are no lists and no objects; None where they are CSV, by what the server says or by
    what they are.

    Raises
    ------
    ModelFailed
        They are not what the server says, or may be either.
    """
    body, media_type = answer.body, answer.media_type
    is_lines, is_json = _LINES.match(media_type), _JSON.match(media_type)
    if not is_lines and not is_json and (_CSV.match(media_type) or not _has_escapes(body)):
        return None
    values = _lines(body)
    if not values:
        if is_lines and values is None:
            raise ModelFailed("The model's lines of JSON are not JSON.", answer=answer.text)
        return None
    if is_lines:
        return values
    if is_json:
        is_text = isinstance(values[0], str) and not isinstance(values[0], jsontext.Number)
        if expected == len(values) == 1 and is_text and list(columns) != names_of(1):
            raise ModelFailed(
                f"The model's answer to one record is a JSON text by itself: {answer.text[:BEGINNING_CHARACTERS]!r}. If it "
                "is the prediction, it cannot be told from a message.",
                "Let the model answer a list with one item for each record, then drop the file again.",
                answer=answer.text,
            )
        return values
    if any(RFC4180.values(line.strip()) != [_said(line)] for line in body.split(b"\n") if line.strip()):
        raise ModelFailed(
            "The model's answer holds backslashes in quotes, which mean one thing in CSV and another in JSON: "
            f"{answer.text[:BEGINNING_CHARACTERS]!r}.",
            "Let the model say which it is, by the content type text/csv or application/jsonlines. Then drop the file again.",
            answer=answer.text,
        )
    return None


def values_of_scalars(answer: Answer, rows: Sequence[bytes]) -> list[Any] | None:
    """The values of rows of which each is a document of JSON by itself; None if one is none, or is CSV to the server."""
    if _CSV.match(answer.media_type) and _has_escapes(answer.body):
        return None
    return _lines(b"\n".join(rows))


def _has_escapes(body: bytes) -> bool:
    """Whether what it says may be one thing in CSV and another in JSON."""
    return b"\\" in body and QUOTE in body


def _said(line: bytes) -> bytes:
    """What a line of JSON says, as a field of CSV would."""
    value = jsontext.loads(line)
    return value.encode("utf-8", "replace") if isinstance(value, str) else line.strip()
