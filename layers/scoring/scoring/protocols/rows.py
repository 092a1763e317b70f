"""The protocols of models that answer one prediction for each record: SageMaker's and MLflow's.

Sources: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" (`GET /ping`, `POST /invocations`,
text/csv without header); MLflow documentation, "MLflow Model Serving" (the same paths, text/csv with header, and
`{"predictions": […]}` as the answer).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from scoring import records
from scoring.errors import ModelFailed, RowCountMismatch
from scoring.protocols.model import Model


class RowProtocol(ABC):
    """Batches of whole records in, one prediction for each record out."""

    ping = "/ping"

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
        NoAnswer, StillBusy
        """
        headers = {"Content-Type": "text/csv", "Accept": self.accept}
        answer = self._model.request("POST", "/invocations", seconds, body=self.body(header, block), headers=headers)
        if answer.status != 200:
            raise ModelFailed(
                f"The model answered {answer.status} to a batch of records.", status=answer.status, answer=answer.text
            )
        return answer.body

    def collect(self, answer: bytes, expected: int) -> tuple[list[str], list[bytes]]:
        """Names of the prediction columns, and their CSV text for each of the `expected` records.

        Raises
        ------
        ModelFailed
            The answer cannot be read.
        RowCountMismatch
        """
        try:
            names, rows = self.parse(answer)
        except RecursionError as error:
            raise ModelFailed("The model's answer is nested too deeply.", answer=_snippet(answer)) from error
        if len(rows) != expected:
            raise RowCountMismatch(f"The model answered {len(rows)} predictions to {expected} records.")
        return names, rows

    accept: str

    @abstractmethod
    def body(self, header: bytes, block: bytes) -> bytes:
        """What is sent for a block."""

    @abstractmethod
    def parse(self, answer: bytes) -> tuple[list[str], list[bytes]]:
        """Column names and rows of an answer."""


class SageMaker(RowProtocol):
    accept = "text/csv"

    def body(self, header: bytes, block: bytes) -> bytes:  # noqa: ARG002  (the other protocol needs it)
        return block

    def parse(self, answer: bytes) -> tuple[list[str], list[bytes]]:
        rows = records.split(answer)
        columns = _columns(rows[0]) if rows else 1
        if b"," in answer and any(_columns(row) != columns for row in rows):
            raise ModelFailed("The model's answer has rows of different lengths.", answer=_snippet(answer))
        return _names(columns), rows


class MLflow(RowProtocol):
    accept = "application/json"

    def body(self, header: bytes, block: bytes) -> bytes:
        return header.removeprefix(records.BOM) + block

    def parse(self, answer: bytes) -> tuple[list[str], list[bytes]]:
        try:
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
            table = [[row.get(name) for name in names] if isinstance(row, dict) else None for row in predictions]
        elif isinstance(first, list):
            names = _names(len(first))
            table = [row if isinstance(row, list) and len(row) == len(names) else None for row in predictions]
        else:
            return _names(1), [field(value) for value in predictions]
        rows = [b",".join(map(field, row)) for row in table if row is not None]
        if len(rows) != len(predictions):
            raise ModelFailed("The model's predictions have different shapes.", answer=_snippet(answer))
        return names, rows


class _Number(str):
    """A number of a JSON document, as it was written."""


def field(value: Any) -> bytes:
    """A JSON value as a CSV field: nothing for null, quoted where CSV needs it."""
    if value is None:
        return b""
    text = value if isinstance(value, str) else _json(value)
    if any(mark in text for mark in ',"\n\r'):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode("utf-8", "replace")


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
