"""What a model answers to a batch, told by what it is and not by what was asked for.

Servers write the same predictions as lines of CSV (with a header or without), as a JSON list, as `{"predictions": …}`, as
lines of JSON, as a list in brackets on each line, or all on one line, and call it what they like: Flask calls everything
text/html. What cannot be told apart is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from scoring.errors import ModelFailed, RowCountMismatch
from scoring.files import jsontext
from scoring.files.dialect import RFC4180
from scoring.files.joining import quoted, redelimited
from scoring.protocols.model import Answer

Rows = Sequence[Any]
"""Predictions, one for each record: text of CSV, or a list of JSON texts (see `Format.answers`)."""

_NUMBERS = re.compile(rb'\s*\{\s*"predictions"\s*:\s*\[([-+.eE0-9, \t\r\n]*[0-9]\s*)\]\s*\}\s*')
_LINES_OF_JSON = re.compile(r"application/(?:x-)?(?:jsonlines|jsonl|ndjson|json-lines)\b", re.IGNORECASE)
# RFC 4180, 3: the parameter of text/csv.
_HEADER_PARAMETER = re.compile(r";\s*header\s*=\s*\"?(present|absent)\b", re.IGNORECASE)
# A page begins with a tag, a declaration or a comment; a label may begin with "<=".
_PAGE = re.compile(rb"\s*<[!?/a-zA-Z]")
_BEGINNING_CHARACTERS = 80
# One line may be the columns of one record where it has no more values than a model has classes.
_FEW = 20
_ONE_EACH = (
    "The model must answer each record with one prediction: as a line of CSV, or as an item of a JSON list or of "
    '{"predictions": […]}. Repair it, then drop the file again.'
)


def read(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str] = ()) -> tuple[list[str], Rows]:
    """Names of the prediction columns, and the predictions for each of the `expected` records.

    Parameters
    ----------
    delimiter
        Of the scored file; without one, the predictions come as JSON texts.
    columns
        The names that earlier answers had, if there were any.

    Raises
    ------
    ModelFailed
        The answer cannot be read, or may mean two things.
    RowCountMismatch
    """
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    if body is not answer.body:
        answer = replace(answer, body=body)
    first = (body[:64].lstrip() or body.lstrip())[:1]
    if first == b"<" and _PAGE.match(body):
        raise ModelFailed("The model's answer is a page of HTML or XML and holds no predictions.", answer=answer.text)
    if first in (b"{", b"["):
        names, rows = _of_json(answer, expected, delimiter, columns)
    else:
        names, rows = _of_lines(answer, expected, delimiter, columns)
    check_count(answer, len(rows) if names else 0, expected)
    return names, rows


def check_count(answer: Answer, found: int, expected: int) -> None:
    """Look whether there is one prediction for each record.

    Raises
    ------
    RowCountMismatch
    """
    if found != expected:
        begins = answer.text[:_BEGINNING_CHARACTERS]
        told = f"Its answer begins with {begins!r}." if begins else "Its answer is empty."
        raise RowCountMismatch(
            f"The model answered {found} predictions to {expected} records. {told}", _ONE_EACH, answer=answer.text
        )


def _of_json(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str]) -> tuple[list[str], Rows]:
    body = answer.body
    try:
        if delimiter is not None and (numbers := _NUMBERS.fullmatch(body)):
            # Nothing but numbers, as most models answer: checked as JSON, then taken as they were written. (int() would
            # refuse more than 4,300 digits.)
            json.loads(body, parse_int=float)
            return _names(1), numbers[1].translate(None, b" \t\r\n").split(b",")
        document = jsontext.loads(body)
    except (ValueError, RecursionError) as error:
        try:
            document = [jsontext.loads(line) for line in body.split(b"\n") if line.strip()]
        except ValueError:
            raise ModelFailed(
                "The model's answer is not JSON, though it begins as JSON does.", _ONE_EACH, answer=answer.text
            ) from error
        return _written(*_table(document, answer, takes_lists_apart=delimiter is not None), delimiter)
    predictions = _predictions(document, answer, expected, columns)
    if isinstance(predictions, dict):
        names, table = _of_columns(predictions, answer)
    else:
        names, table = _table(predictions, answer, takes_lists_apart=delimiter is not None)
    return _written(names, table, delimiter)


def _predictions(document: Any, answer: Answer, expected: int, columns: Sequence[str]) -> list[Any] | dict[str, Any]:
    """The list of predictions in a document, or the lists of them by their columns."""
    if isinstance(document, list):
        # One record, and its values in brackets on a line.
        is_row = expected == 1 and len(document) != 1 and not any(isinstance(item, list | dict) for item in document)
        return [document] if is_row else document
    if "predictions" not in document:
        # For one record, an object is the only line of lines of JSON, or a document of the model's own making.
        is_line = _LINES_OF_JSON.match(answer.media_type) or [str(name) for name in document] == list(columns)
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
        raise ModelFailed("The model's predictions are not a list.", _ONE_EACH, answer=answer.text)
    return found


def _of_columns(lists: dict[str, Any], answer: Answer) -> tuple[list[str], list[list[Any]]]:
    """A list of values for each column, as MLflow answers for a model that gives a dict of lists."""
    columns = list(lists.values())
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        raise ModelFailed(
            "The model's predictions are not a list, and no lists of the same length by name.",
            _ONE_EACH,
            answer=answer.text,
        )
    return [str(name) for name in lists], [list(row) for row in zip(*columns, strict=True)]


def _written(names: list[str], table: list[list[Any]], delimiter: bytes | None) -> tuple[list[str], Rows]:
    if delimiter is None:
        return names, [[jsontext.encoded(value) for value in row] for row in table]
    return names, [delimiter.join(field(value, delimiter) for value in row) for row in table]


def _table(predictions: list[Any], answer: Answer, *, takes_lists_apart: bool) -> tuple[list[str], list[list[Any]]]:
    """Names and cells of predictions: single values, or objects, or lists of the same shape."""
    first = predictions[0] if predictions else None
    table: list[list[Any] | None]
    if isinstance(first, dict):
        names = [str(name) for name in first]
        table = [
            [row[name] for name in names] if isinstance(row, dict) and row.keys() == first.keys() else None
            for row in predictions
        ]
    elif isinstance(first, list) and takes_lists_apart:
        names = _names(len(first))
        table = [row if isinstance(row, list) and len(row) == len(names) else None for row in predictions]
    else:
        names, table = _names(1), [[value] for value in predictions]
    rows = [row for row in table if row is not None]
    if len(rows) != len(predictions):
        raise ModelFailed("The model's predictions have different shapes.", answer=answer.text)
    return names, rows


def _of_lines(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str]) -> tuple[list[str], Rows]:
    body, rows = answer.body, csv_rows(answer)
    if rows and _LINES_OF_JSON.match(answer.media_type):
        try:
            values = [jsontext.loads(row) for row in rows]
        except ValueError as error:
            raise ModelFailed("The model's lines of JSON are not JSON.", answer=answer.text) from error
        return _written(*_table(values, answer, takes_lists_apart=delimiter is not None), delimiter)
    names: list[str] | None = None
    if len(rows) in (expected, expected + 1) and _begins_with_a_header(answer, rows):
        if len(rows) == expected:
            raise ModelFailed(
                f"The model's answer has as many lines as there are records ({expected}), and the first looks like a "
                f"header: {answer.text[:_BEGINNING_CHARACTERS]!r}.",
                "If it is one, the model left a record without a prediction: repair that. If it is a prediction, let the "
                "model answer JSON, where that can be told. Then drop the file again.",
                answer=answer.text,
            )
        names = [name.decode("utf-8", "replace") for name in RFC4180.values(rows[0])]
        rows = rows[1:]
    elif len(rows) == 1 < expected and len(values := RFC4180.fields(rows[0])) == expected:
        if list(columns) != _names(1) and (columns or expected <= _FEW):
            raise RowCountMismatch(
                f"The model answered one line of {expected} values to {expected} records: it cannot be told whether they "
                "are a prediction for each, or one record's.",
                "Let the model answer a line for each record (XGBoost's container does with SAGEMAKER_BATCH=true, which "
                "protocol=sagemaker sets), then drop the file again.",
                answer=answer.text,
            )
        # As XGBoost's container answers, unless it is told that it scores a batch.
        rows = [value.strip() for value in values]
    if delimiter is None:
        return _json_cells(names, rows, answer)
    width = len(names) if names else _columns(rows[0]) if rows else 1
    if (names or b"," in body) and any(_columns(row) != width for row in rows):
        raise ModelFailed("The model's answer has rows of different lengths.", answer=answer.text)
    if delimiter != b"," and (b"," in body or b'"' in body or delimiter in body):
        # The model writes commas whatever the file does.
        rows = [redelimited(row, delimiter) for row in rows]
    return names or _names(width), rows


def _begins_with_a_header(answer: Answer, rows: list[bytes]) -> bool:
    """Whether the first line names columns: said by the content type, or a line of texts above a column of numbers."""
    if told := _HEADER_PARAMETER.search(answer.media_type):
        return told[1].lower() == "present"
    if len(rows) < 2:
        return False
    names = RFC4180.values(rows[0])
    if len(set(names)) != len(names) or any(not name.strip() or _is_number(name) for name in names):
        return False
    numeric = set(range(len(names)))
    for row in rows[1:]:
        values = RFC4180.values(row)
        numeric = {place for place in numeric if place < len(values) and _is_number(values[place])}
        if not numeric:
            return False
    return True


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _json_cells(names: list[str] | None, rows: Iterable[bytes], answer: Answer) -> tuple[list[str], Rows]:
    """Lines of an answer as JSON: values as they are, objects by their names; what is no JSON is text."""
    if names:
        table = [[_scalar(value) for value in RFC4180.values(row)] for row in rows]
        if any(len(row) != len(names) for row in table):
            raise ModelFailed("The model's answer has rows of different lengths.", answer=answer.text)
    else:
        names, table = _table([_json_value(row.strip()) for row in rows], answer, takes_lists_apart=False)
    return _written(names, table, None)


def _json_value(line: bytes) -> Any:
    try:
        return jsontext.loads(line)
    except ValueError:
        return [_scalar(value) for value in RFC4180.values(line)] if b"," in line else _scalar(line)


def _scalar(text: bytes) -> Any:
    try:
        return jsontext.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def field(value: Any, delimiter: bytes = b",") -> bytes:
    """A JSON value as a CSV field: nothing for null, quoted where CSV needs it."""
    if value is None:
        return b""
    text = value if isinstance(value, str) else jsontext.dumps(value)
    return quoted(text.encode("utf-8", "replace"), delimiter)


def _names(columns: int) -> list[str]:
    return ["prediction"] if columns == 1 else [f"prediction_{number}" for number in range(columns)]


def _columns(row: bytes) -> int:
    return len(RFC4180.fields(row)) if b'"' in row else 1 + row.count(b",")


def said(answer: Answer) -> str:
    """The message in the JSON of an error, as servers word it; empty for any other answer."""
    document = answer.document
    for key in ("message", "error_message", "detail", "error", "errorMessage"):
        found = document.get(key) if isinstance(document, dict) else None
        if isinstance(found, dict):
            found = found.get("message")
        if isinstance(found, str) and found.strip():
            return found.strip()
        if isinstance(found, list) and found:
            # FastAPI's: what is wrong, and where.
            return json.dumps(found)
    return ""
