"""The protocols of models that answer one prediction for each record: SageMaker's and MLflow's.

Sources: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" (`GET /ping`, `POST /invocations`,
text/csv without header) and "Use your own inference code with batch transform" (application/jsonlines for lines of JSON);
MLflow documentation, "MLflow Model Serving" (the same paths, text/csv with header or JSON `dataframe_records`, and
`{"predictions": […]}` as the answer).
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from scoring.errors import ModelFailed, RowCountMismatch
from scoring.files import jsontext
from scoring.files.delimited import Csv
from scoring.files.dialect import RFC4180
from scoring.files.formats import Batch, Format
from scoring.files.joining import quoted, redelimited
from scoring.protocols.model import Model, check_load

Rows = Sequence[Any]
"""Predictions, one for each record: text of CSV, or a list of JSON texts (see `Format.answers`)."""


class RowProtocol(ABC):
    """Batches of whole records in, one prediction for each record out."""

    name: str
    ping = "/ping"
    most_bytes, most_in_flight, patience = 512 << 10, 8, 1.0
    # Each record is an object in memory for a moment, which counts when records are short.
    most_records = 16_384

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def path(self) -> str:
        """Where batches go."""
        return "/invocations"

    def ready(self) -> str | None:
        """None if the model is ready, else what it answered."""
        answer = self._model.request("GET", self.ping, 5.0)
        return None if answer.status == 200 else f"{answer.status} {answer.text}"

    def open(self, file: Format, first: Callable[[], Batch | None]) -> None:  # noqa: B027  (most have nothing to do)
        """Make ready for a file whose header was read; `first` gives its first records, None if there are none."""

    def fitted(self, file: Format, batch: Batch) -> Batch:  # noqa: ARG002
        """A batch as the model can be sent it; what it cannot take of it is bad."""
        return batch

    def submit(self, file: Format, batch: Batch, places: Sequence[int], seconds: float) -> bytes:
        """Send records of a batch and give the model's answer.

        Raises
        ------
        ModelFailed
            Any status but 200.
        NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        body, media_type = self.body(file, batch, places)
        headers = {"Content-Type": media_type, "Accept": self.accept}
        answer = self._model.request("POST", self.path, seconds, body=body, headers=headers)
        check_load(answer)
        if answer.status != 200:
            raise ModelFailed(f"The model answered {answer.status}", status=answer.status, answer=answer.text)
        return answer.body

    def collect(self, file: Format, answer: bytes, expected: int) -> tuple[list[str], Rows]:
        """Names of the prediction columns, and the predictions for each of the `expected` records.

        Raises
        ------
        ModelFailed
            The answer cannot be read.
        RowCountMismatch
        """
        try:
            names, rows = self.parse(answer, file.answers)
        except RecursionError as error:
            raise ModelFailed("The model's answer is nested too deeply.", answer=_snippet(answer)) from error
        if len(rows) != expected:
            raise RowCountMismatch(
                f"The model answered {len(rows)} predictions to {expected} records.", answer=_snippet(answer)
            )
        return names, rows

    def header(self, file: Format, names: list[str]) -> bytes:
        """What the scored file begins with."""
        return file.header(names)

    def joined(self, file: Format, batch: Batch, names: list[str], predictions: Sequence[Any | None]) -> bytes:
        """The records of a batch with their predictions; None for one that has none."""
        return file.joined(batch, names, predictions)

    accept: str

    @abstractmethod
    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:
        """What is sent for records, and its media type."""

    @abstractmethod
    def parse(self, answer: bytes, delimiter: bytes | None) -> tuple[list[str], Rows]:
        """Column names and rows of an answer; without a delimiter, rows of JSON texts."""


class SageMaker(RowProtocol):
    name = "sagemaker"
    accept = "text/csv"

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:
        return file.body(batch, places), file.media_type

    def parse(self, answer: bytes, delimiter: bytes | None) -> tuple[list[str], Rows]:
        if delimiter is None:
            return _json_rows([line.strip() for line in answer.split(b"\n") if line.strip()], answer)
        rows = csv_rows(answer)
        columns = _columns(rows[0]) if rows else 1
        if b"," in answer and any(_columns(row) != columns for row in rows):
            raise ModelFailed("The model's answer has rows of different lengths.", answer=_snippet(answer))
        if delimiter != b"," and (b"," in answer or b'"' in answer or delimiter in answer):
            # The model writes commas whatever the file does.
            rows = [redelimited(row, delimiter) for row in rows]
        return _names(columns), rows


class MLflow(RowProtocol):
    name = "mlflow"
    accept = "application/json"

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:
        if isinstance(file, Csv):
            return file.sent_header + file.body(batch, places), file.media_type
        records = b", ".join(file.records(batch, places))
        return b'{"dataframe_records": [%b]}' % records, "application/json"

    def parse(self, answer: bytes, delimiter: bytes | None) -> tuple[list[str], Rows]:
        numbers = _NUMBERS.fullmatch(answer)
        try:
            if numbers and delimiter is not None:
                # Nothing but numbers, as most models answer: checked as JSON, then taken as they were written. (int()
                # would refuse more than 4,300 digits.)
                json.loads(answer, parse_int=float)
                return _names(1), numbers[1].translate(None, b" \t\r\n").split(b",")
            predictions = jsontext.loads(answer)["predictions"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFailed(
                'The model\'s answer is not JSON of the form {"predictions": […]}.', answer=_snippet(answer)
            ) from error
        if not isinstance(predictions, list):
            raise ModelFailed("The model's predictions are not a list.", answer=_snippet(answer))
        names, table = _table(predictions, answer, takes_lists_apart=delimiter is not None)
        if delimiter is None:
            return names, [[jsontext.encoded(value) for value in row] for row in table]
        return names, [delimiter.join(field(value, delimiter) for value in row) for row in table]


_NUMBERS = re.compile(rb'\s*\{\s*"predictions"\s*:\s*\[([-+.eE0-9, \t\r\n]*[0-9]\s*)\]\s*\}\s*')


def _table(predictions: list[Any], answer: bytes, *, takes_lists_apart: bool) -> tuple[list[str], list[list[Any]]]:
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
        raise ModelFailed("The model's predictions have different shapes.", answer=_snippet(answer))
    return names, rows


def csv_rows(answer: bytes) -> list[bytes]:
    """The rows of an answer in CSV, fit to be written behind others.

    Raises
    ------
    ModelFailed
        It is broken off in the middle of a quoted field, or is no UTF-8.
    """
    pieces = RFC4180.pieces(answer)
    rows = [line for line in RFC4180.lines(answer) if not RFC4180.is_blank(line)]
    try:
        if not answer.isascii():
            answer.decode()
    except UnicodeDecodeError as error:
        raise ModelFailed("The model's answer is not UTF-8.", answer=_snippet(answer)) from error
    if RFC4180.is_open(pieces):
        raise ModelFailed("The model's answer ends in the middle of a quoted field.", answer=_snippet(answer))
    if b"\r" in answer and any(b"\r" in RFC4180.marks(RFC4180.pieces(row)) for row in rows):
        raise ModelFailed("The model's answer has a carriage return in the middle of a row.", answer=_snippet(answer))
    return rows


def _json_rows(rows: list[bytes], answer: bytes) -> tuple[list[str], Rows]:
    """Lines of an answer as JSON: values as they are, objects by their names; what is no JSON is text."""
    values = [_json_value(row) for row in rows]
    names, table = _table(values, answer, takes_lists_apart=False)
    return names, [[jsontext.encoded(value) for value in row] for row in table]


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


def _snippet(answer: bytes) -> str:
    return answer[:2_000].decode("utf-8", "replace")
