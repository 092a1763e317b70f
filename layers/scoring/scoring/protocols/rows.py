"""The protocols of models that answer one prediction for each record: SageMaker's and MLflow's.

Sources: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" (`GET /ping`, `POST /invocations`,
text/csv without header); MLflow documentation, "MLflow Model Serving" (the same paths, text/csv with header, and
`{"predictions": […]}` as the answer).
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any

from scoring.errors import ModelFailed, RowCountMismatch
from scoring.files import records
from scoring.files.joining import joined, joined_header, line_end, quoted
from scoring.protocols.model import Model, check_load


class RowProtocol(ABC):
    """Batches of whole records in, one prediction for each record out."""

    ping = "/ping"
    most_bytes, most_in_flight, patience = 512 << 10, 8, 1.0
    # Each record is an object in memory for a moment, which counts when records are short.
    most_records = 16_384

    def __init__(self, model: Model) -> None:
        self._model = model

    def ready(self) -> str | None:
        """None if the model is ready, else what it answered."""
        answer = self._model.request("GET", self.ping, 5.0)
        return None if answer.status == 200 else f"{answer.status} {answer.text}"

    def submit(self, header: bytes, block: bytes, seconds: float) -> bytes:
        """Send a block of whole records and give the model's answer; `header` is the file's own header line.

        Raises
        ------
        ModelFailed
            Any status but 200.
        NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        headers = {"Content-Type": "text/csv", "Accept": self.accept}
        answer = self._model.request("POST", "/invocations", seconds, body=self.body(header, block), headers=headers)
        check_load(answer)
        if answer.status != 200:
            raise ModelFailed(
                f"The model answered {answer.status} to a batch of records.", status=answer.status, answer=answer.text
            )
        return answer.body

    def collect(self, answer: bytes, expected: int, delimiter: bytes = b",") -> tuple[list[str], list[bytes]]:
        """Names of the prediction columns, and their CSV text for each of the `expected` records.

        Raises
        ------
        ModelFailed
            The answer cannot be read.
        RowCountMismatch
        """
        try:
            names, rows = self.parse(answer, delimiter)
        except RecursionError as error:
            raise ModelFailed("The model's answer is nested too deeply.", answer=_snippet(answer)) from error
        if len(rows) != expected:
            raise RowCountMismatch(f"The model answered {len(rows)} predictions to {expected} records.")
        return names, rows

    def scored(
        self, header: bytes, block: bytes, answer: bytes, expected: int, delimiter: bytes
    ) -> tuple[list[str], bytes]:
        """The model's columns, and the `expected` records of the block with their predictions behind them.

        Raises
        ------
        ModelFailed, RowCountMismatch
        """
        names, predictions = self.collect(answer, expected, delimiter)
        return names, joined(records.split(block), predictions, delimiter, line_end(header))

    def header(self, header: bytes, columns: list[str], delimiter: bytes) -> bytes:
        """The header of the output."""
        return joined_header(header, columns, delimiter)

    accept: str

    @abstractmethod
    def body(self, header: bytes, block: bytes) -> bytes:
        """What is sent for a block."""

    @abstractmethod
    def parse(self, answer: bytes, delimiter: bytes) -> tuple[list[str], list[bytes]]:
        """Column names and rows of an answer."""


class SageMaker(RowProtocol):
    accept = "text/csv"

    def body(self, header: bytes, block: bytes) -> bytes:  # noqa: ARG002  (the other protocol needs it)
        return block

    def parse(self, answer: bytes, delimiter: bytes) -> tuple[list[str], list[bytes]]:
        rows = records.split(answer)
        columns = _columns(rows[0]) if rows else 1
        if b"," in answer and any(_columns(row) != columns for row in rows):
            raise ModelFailed("The model's answer has rows of different lengths.", answer=_snippet(answer))
        if delimiter != b"," and (b"," in answer or b'"' in answer or delimiter in answer):
            # The model writes commas whatever the file does.
            rows = [delimiter.join(_field(field, delimiter) for field in records.fields(row, b",")) for row in rows]
        return _names(columns), rows


class MLflow(RowProtocol):
    accept = "application/json"

    def body(self, header: bytes, block: bytes) -> bytes:
        return header.removeprefix(records.BOM) + block

    def parse(self, answer: bytes, delimiter: bytes) -> tuple[list[str], list[bytes]]:
        numbers = _NUMBERS.fullmatch(answer)
        try:
            if numbers:
                # Nothing but numbers, as most models answer: checked as JSON, then taken as they were written. (int()
                # would refuse more than 4,300 digits.)
                json.loads(answer, parse_int=float)
                return _names(1), numbers[1].translate(None, b" \t\r\n").split(b",")
            # Numbers stay the text that the model wrote: no digit is lost on the way into the file.
            document = json.loads(answer, parse_float=_Number, parse_int=_Number)
            predictions = document["predictions"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFailed(
                'The model\'s answer is not JSON of the form {"predictions": […]}.', answer=_snippet(answer)
            ) from error
        if not isinstance(predictions, list):
            raise ModelFailed("The model's predictions are not a list.", answer=_snippet(answer))
        first = predictions[0] if predictions else None
        if isinstance(first, dict):
            names = [str(name) for name in first]
            table = [
                [row[name] for name in names] if isinstance(row, dict) and row.keys() == first.keys() else None
                for row in predictions
            ]
        elif isinstance(first, list):
            names = _names(len(first))
            table = [row if isinstance(row, list) and len(row) == len(names) else None for row in predictions]
        else:
            names, table = _names(1), [[value] for value in predictions]
        rows = [delimiter.join(field(value, delimiter) for value in row) for row in table if row is not None]
        if len(rows) != len(predictions):
            raise ModelFailed("The model's predictions have different shapes.", answer=_snippet(answer))
        return names, rows


_NUMBERS = re.compile(rb'\s*\{\s*"predictions"\s*:\s*\[([-+.eE0-9, \t\r\n]*[0-9]\s*)\]\s*\}\s*')


class _Number(str):
    """A number of a JSON document, as it was written."""


def field(value: Any, delimiter: bytes = b",") -> bytes:
    """A JSON value as a CSV field: nothing for null, quoted where CSV needs it."""
    if value is None:
        return b""
    text = value if isinstance(value, str) else _json(value)
    return quoted(text.encode("utf-8", "replace"), delimiter)


def _field(written: bytes, delimiter: bytes) -> bytes:
    """A field that the model wrote between commas, fit to stand between other delimiters."""
    return quoted(written, delimiter) if len(records.fields(written, delimiter)) > 1 else written


def _json(value: Any) -> str:
    """A JSON value as text again, its numbers as they were written."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_json(name)}: {_json(item)}' for name, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _names(columns: int) -> list[str]:
    return ["prediction"] if columns == 1 else [f"prediction_{number}" for number in range(columns)]


def _columns(row: bytes) -> int:
    outside = row.split(b'"')[::2] if b'"' in row else [row]
    return 1 + sum(part.count(b",") for part in outside)


def _snippet(answer: bytes) -> str:
    return answer[:2_000].decode("utf-8", "replace")
