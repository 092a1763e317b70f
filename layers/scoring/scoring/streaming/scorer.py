"""Gets a block of records scored, whatever the model or the route to it does to single requests."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from scoring import records
from scoring.errors import ModelFailed, ModelTimeout
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer, NoConnection, NotReading, StillBusy, TooMany, TooMuch
from scoring.streaming.job import MOST_PAUSE_SECONDS, Job
from scoring.streaming.pace import Pace

# A single record that takes a model longer than this is no matter of the batch's size or of the Lambda's last minutes.
_PATIENCE_FOR_ONE_RECORD_SECONDS = 300.0
# Between two tries: doubled each time, up to the most, which is less for a model that may be gone.
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS, _MOST_SILENT_PAUSE_SECONDS = 0.25, 30.0, 4.0
# A route may be away for a moment, and a proxy's time-out may come from a queue of what the model works on still: some
# ten seconds of the pauses above for the one, some minutes for the other.
_TRIES_TO_CONNECT, _TRIES_OF_ONE_RECORD = 6, 12


class OutOfTime(Exception):
    """The Lambda ends before the model answers: the next one goes on, after `wait_seconds`."""

    def __init__(self, wait_seconds: int = 1) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


def other_columns(columns: list[str]) -> ModelFailed:
    """What to raise when the model's columns change on the way."""
    return ModelFailed("The model's answers have other columns than those before.", columns=columns[:50])


@dataclass(frozen=True)
class Scorer:
    """Scores blocks, in any thread, until it is `stopped`."""

    job: Job
    protocol: RowProtocol | SasRows
    header: bytes
    pace: Pace
    stopped: threading.Event

    def score(self, block: bytes, rows: int, row: int) -> tuple[list[str], bytes, float]:
        """The model's columns, the scored rows of a block of `rows` records (the first is the file's `row`th), seconds.

        The seconds are those of requests that were answered well.

        Raises
        ------
        ModelFailed, ModelTimeout, RowCountMismatch, NoAnswer, OutOfTime
        PodCrashed, PodLost
            What became of a model that fell silent.
        """
        return self._answered(block, rows, row) if rows else ([], b"", 0.0)

    def _answered(
        self, block: bytes, rows: int, row: int, tries: int = 0, *, again: bool = False
    ) -> tuple[list[str], bytes, float]:
        """As `score`, of a block that came to grief `tries` times, as a part of a larger one or, `again`, as it is."""
        budget, began = self.job.budget(), time.monotonic()
        if budget <= 0 or self.stopped.is_set():
            raise OutOfTime
        try:
            answer = self.protocol.submit(self.header, block, budget)
        except TooMany as error:
            self.pace.throttled()
            self._wait(tries, budget, _MOST_PAUSE_SECONDS, error.seconds)
            return self._answered(block, rows, row, tries + 1, again=True)
        except TooMuch as error:
            self.pace.refused(len(block))
            if rows > 1:
                return self._halved(block, row, 0)
            # Only a size is the record's own; a time-out may come from a queue.
            if error.details["status"] == 413 or tries >= _TRIES_OF_ONE_RECORD:
                raise ModelFailed(
                    f"Record {row} alone is too much for the model: {error.summary}",
                    "Shorten this record, or raise the limit of the model or of the route to it.",
                ) from error
            self._wait(tries, budget, _MOST_PAUSE_SECONDS)
            return self._answered(block, rows, row, tries + 1, again=True)
        except NoAnswer as error:
            self.job.check_pod()
            gone = isinstance(error, NoConnection)
            if gone and tries >= _TRIES_TO_CONNECT:
                raise
            if rows == 1 and again and not gone:
                raise NoAnswer(f"{error.summary} It was sent record {row} alone.") from error
            self._wait(tries, budget, _MOST_SILENT_PAUSE_SECONDS)
            # A connection may break for once, or for the size of what it carried.
            if gone or rows == 1 or not tries:
                return self._answered(block, rows, row, tries + 1, again=True)
            scored = self._halved(block, row, tries + 1)
            self.pace.refused(len(block))
            return scored
        except NotReading as error:
            # It works on what an earlier step has sent, and so it may well be minutes.
            raise OutOfTime(self.job.pause()) from error
        except StillBusy as error:
            self.pace.refused(len(block))
            if rows > 1 or budget < _PATIENCE_FOR_ONE_RECORD_SECONDS:
                raise OutOfTime from error
            raise ModelTimeout(f"The model did not answer record {row} alone in {budget:.0f} s.") from error
        seconds = time.monotonic() - began
        return *self.protocol.scored(self.header, block, answer, rows, self.job.delimiter), seconds

    def _halved(self, block: bytes, row: int, tries: int) -> tuple[list[str], bytes, float]:
        columns: list[str] = []
        bodies: list[bytes] = []
        seconds = 0.0
        for half, rows in records.halves(block):
            # The route took the first one: the second has a new start, but is not sent as it is time and again.
            named, body, took = self._answered(half, rows, row, min(tries, 1) if bodies else tries)
            if bodies and named != columns:
                raise other_columns(named)
            columns, seconds = named, seconds + took
            bodies.append(body)
            row += rows
        return columns, b"".join(bodies), seconds

    def _wait(self, tries: int, budget: float, most: float, asked: float | None = None) -> None:
        """Leave the model alone, for as long as it asked for; longer than a Lambda should be paid for, without one."""
        seconds = max(min(_LEAST_PAUSE_SECONDS * 2**tries, most), asked or 0.0)
        if seconds > min(budget, _MOST_PAUSE_SECONDS) or self.stopped.wait(seconds):
            # Each time counts in the history of an execution: the longer this has gone on, the rarer it is.
            raise OutOfTime(max(min(math.ceil(seconds), MOST_PAUSE_SECONDS), self.job.pause()))
