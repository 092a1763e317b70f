"""What has come of a batch so far, while its records are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scoring.errors import DropscoreError, ModelFailed, RowCountMismatch


@dataclass
class Scored:
    """What came of a batch: `names` of the model's columns (None if it has scored none of the records) and a prediction
    for each record, None for a `bad` one. `seconds` are those of requests that were answered well.

    `error` is that of the record that was one bad one too many: nothing behind it counts.
    """

    predictions: list[Any | None]
    names: list[str] | None = None
    bad: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: DropscoreError | None = None
    body: list[bytes] = field(default_factory=list)
    """What is written of it, in pieces: together they would be in memory twice for a moment."""
    refusals: int = 0
    alone: ModelFailed | RowCountMismatch | None = None
    """What the record was refused with that stood alone last."""
    asked_again: int | None = None
    """The place of the record that was asked for once more, since the model has taken another one."""

    @property
    def size(self) -> int:
        """Bytes of the scored records."""
        return sum(map(len, self.body))


class TooManyBad(Exception):
    """One bad record more than there may be."""
