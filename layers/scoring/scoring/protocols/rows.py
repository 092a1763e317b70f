"""What the protocols of models that answer one prediction for each record have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from scoring.errors import ModelFailed, abridged
from scoring.files.formats import Batch, Format
from scoring.protocols import answers
from scoring.protocols.model import Answer, Model, NoAnswer, check_load
from scoring.protocols.predictions import Rows

_SAID_CHARACTERS = 400


Body = bytes | tuple[bytes, ...]
"""Of a request; in pieces where together they would be a copy in memory."""


class RowProtocol(ABC):
    """Batches of whole records in, one prediction for each record out."""

    name: str
    ping = "/ping"
    # Larger ones make no server that we know faster, and some slower (`make sweep`).
    most_bytes, most_in_flight, patience = 2 << 20, 8, 1.0
    # Each record is an object in memory for a moment, which counts when records are short.
    most_records = 65_536
    any_rows = False

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

    def submit(self, file: Format, batch: Batch, places: Sequence[int], seconds: float) -> Answer:
        """Send records of a batch and give the model's answer.

        Raises
        ------
        ModelFailed
            Any status but 2xx.
        NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        body, media_type = self.body(file, batch, places)
        headers = {"Content-Type": media_type, "Accept": self.accept}
        answer = self._model.request("POST", self.path, seconds, body=body, headers=headers)
        check_load(answer)
        if answer.status == 500 and not answer.body.strip():
            raise NoAnswer(f"The model answered 500 to POST {self.path} without a word.")
        if answer.status // 100 != 2:
            said = abridged(answers.said(answer), _SAID_CHARACTERS)
            told = f"The model answered {answer.status}" + (f": {said}" if said else "")
            raise ModelFailed(told, status=answer.status, answer=answer.text)
        return answer

    def collect(
        self, file: Format, answer: Answer, expected: int, columns: Sequence[str] = ()
    ) -> tuple[list[str], Rows]:
        """Names of the prediction columns, and the predictions for each of the `expected` records; `columns` are the names
        that earlier answers had.

        Raises
        ------
        ModelFailed
            The answer cannot be read, or may mean two things.
        RowCountMismatch
        """
        return answers.read(answer, expected, file.answers, columns)

    def header(self, file: Format, names: list[str]) -> bytes:
        """What the scored file begins with."""
        return file.header(names)

    def joined(self, file: Format, batch: Batch, names: list[str], predictions: Sequence[Any | None]) -> list[bytes]:
        """The records of a batch with their predictions, in pieces; None for one that has none."""
        return file.joined(batch, names, predictions)

    accept: str

    @abstractmethod
    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[Body, str]:
        """What is sent for records, and its media type."""
