"""Gets a block of records scored, whatever the model or the route to it does to single requests."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from scoring.errors import AwsThrottled, ClusterUnreachable, DropscoreError, ModelFailed, ModelTimeout
from scoring.files import records
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer, NoConnection, NotReading, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.job import Job
from scoring.streaming.pace import Pace

# A single record that takes a model longer than this is no matter of the batch's size, of the Lambda's last minutes, or
# of a queue of what was given up and is worked on still.
_PATIENCE_FOR_ONE_RECORD_SECONDS = 300.0
# Between two tries: doubled each time, up to the most, which is less for a model that may be gone.
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS, _MOST_SILENT_PAUSE_SECONDS = 0.25, 30.0, 4.0
# A route may be away for a moment: some ten seconds of the pauses above.
_TRIES_TO_CONNECT = 6


class OutOfTime(Exception):
    """The Lambda ends before the model answers: the next one goes on, after `wait_seconds`."""

    def __init__(self, wait_seconds: int = 1) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


def other_columns(columns: list[str]) -> ModelFailed:
    """What to raise when the model's columns change on the way."""
    return ModelFailed("The model's answers have other columns than those before.", columns=columns[:50])


def _too_much(row: int, error: DropscoreError) -> ModelFailed:
    return ModelFailed(
        f"Record {row} alone is too much for the model: {error.summary}",
        "Shorten this record, or raise the limit of the model or of the route to it.",
    )


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
        self, block: bytes, rows: int, row: int, *, trouble: int = 0, since: float = 0.0, throttled: int = 0
    ) -> tuple[list[str], bytes, float]:
        """As `score`, of a block that was sent before, first at the time `since`, and `throttled` so many times.

        `trouble` is how often in a row the route gave no answer to it, or to what it is a part of.
        """
        budget, began = self.job.budget(), time.monotonic()
        if budget <= 0 or self.stopped.is_set():
            raise OutOfTime
        try:
            answer = self.protocol.submit(self.header, block, budget)
        except TooMany as error:
            self.pace.throttled()
            self._wait(throttled, budget, _MOST_PAUSE_SECONDS, error.seconds)
            return self._answered(block, rows, row, trouble=trouble, since=since, throttled=throttled + 1)
        except TooMuch as error:
            self.pace.refused(len(block), for_good=True)
            if rows == 1:
                raise _too_much(row, error) from error
            return self._halved(block, row)
        except (TookTooLong, NoAnswer) as error:
            self._check_pod()
            self._wait(trouble, budget, self._longest_pause(error, rows, row, trouble, since))
            # It may pass, or it may be for the size of what was sent.
            if not trouble or rows == 1 or isinstance(error, NoConnection):
                return self._answered(block, rows, row, trouble=trouble + 1, since=since or began, throttled=throttled)
            try:
                return self._halved(block, row, trouble + 1)
            finally:
                # Also when time runs out on the way: the next step shall begin with what may get through.
                self.pace.refused(len(block))
        except NotReading as error:
            # It works on what an earlier step has sent, and so it may well be minutes.
            self.pace.throttled()
            raise OutOfTime(self.job.pause()) from error
        except StillBusy as error:
            self.pace.refused(len(block))
            passed = time.monotonic() - began
            if rows > 1 or passed < _PATIENCE_FOR_ONE_RECORD_SECONDS:
                raise OutOfTime from error
            raise ModelTimeout(f"The model did not answer record {row} alone in {passed:.0f} s.") from error
        seconds = time.monotonic() - began
        return *self.protocol.scored(self.header, block, answer, rows, self.job.delimiter), seconds

    def _longest_pause(self, error: DropscoreError, rows: int, row: int, trouble: int, since: float) -> float:
        """The longest pause before the next try; raises the error if there is no use in one."""
        if isinstance(error, NoConnection):
            if trouble >= _TRIES_TO_CONNECT:
                raise error
        elif isinstance(error, TookTooLong):
            if not trouble:
                self.pace.throttled()
            if rows == 1:
                if since and time.monotonic() - since > _PATIENCE_FOR_ONE_RECORD_SECONDS:
                    raise _too_much(row, error) from error
                return _MOST_PAUSE_SECONDS
        elif rows == 1 and since:
            raise NoAnswer(f"{error.summary} It was sent record {row} alone.") from error
        return _MOST_SILENT_PAUSE_SECONDS

    def _check_pod(self) -> None:
        """Raise what became of the pod; a cluster that cannot be asked just now is asked again before anybody is blamed."""
        with suppress(ClusterUnreachable, AwsThrottled):
            self.job.check_pod()

    def _halved(self, block: bytes, row: int, trouble: int = 0) -> tuple[list[str], bytes, float]:
        columns: list[str] = []
        bodies: list[bytes] = []
        seconds = 0.0
        for half, rows in records.halves(block):
            # When the first one went well, the second has a new start.
            named, body, took = self._answered(half, rows, row, trouble=0 if bodies else trouble)
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
            raise OutOfTime(self.job.pause(seconds))
