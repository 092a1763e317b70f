"""Gets a batch of records scored, whatever the model or the route to it does to single requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from scoring.errors import (
    AwsThrottled,
    ClusterUnreachable,
    DropscoreError,
    ModelFailed,
    ModelTimeout,
    RowCountMismatch,
)
from scoring.files.formats import Batch, Format
from scoring.files.inspection import bad_record
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import Answer, NoAnswer, NoConnection, NotReading, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.culprits import Culprits
from scoring.streaming.job import Job
from scoring.streaming.pace import Pace
from scoring.streaming.scored import Scored, TooManyBad
from scoring.streaming.turns import Turns

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


class _AsBefore(Exception):
    """A batch of this size was too much."""


@dataclass(frozen=True)
class _Trouble:
    """What became of earlier tries of the same records: how often in a row the route gave no answer to them, or to what
    they are a part of; since when; how often they were throttled.
    """

    times: int = 0
    since: float = 0.0
    throttled: int = 0


_NO_TROUBLE = _Trouble()


@dataclass
class Scorer:
    """Scores batches, in any thread, until it is `stopped`.

    `columns` are the model's, once they are known; `allowed` tells how many more records may be bad.
    """

    job: Job
    protocol: RowProtocol | SasRows
    file: Format
    pace: Pace
    stopped: threading.Event
    allowed: Callable[[], float]
    columns: list[str] = field(default_factory=list)
    turns: Turns = field(init=False)
    _culprits: Culprits = field(init=False)
    _memory: threading.Lock = field(default_factory=threading.Lock)
    """Whoever has it takes an answer apart: two at once would be no faster, and take twice the memory."""

    def __post_init__(self) -> None:
        self.turns = Turns(lambda: self.pace.in_flight)
        self._culprits = Culprits(self, self.protocol, self.file, self.pace, self.allowed)

    def score(self, batch: Batch) -> Scored:
        """Get the records of a batch scored; those that are bad are found out.

        Raises
        ------
        ModelFailed, ModelTimeout, RowCountMismatch, NoAnswer, OutOfTime
        PodCrashed, PodLost
            What became of a model that fell silent.
        """
        scored = Scored([None] * batch.count)
        allowed = self.allowed()
        for place, reason in batch.bad.items():
            scored.bad[place] = reason
            if len(scored.bad) > allowed:
                scored.error = bad_record(self.file, batch, place, reason)
                return scored
        with suppress(TooManyBad):
            # A block is cut by bytes: how many records it has is known only now.
            places, most = batch.good, self.protocol.most_records
            for begin in range(0, len(places), most):
                self.ask(batch, places[begin : begin + most], scored)
        if scored.names is not None and not scored.error:
            with self._memory:
                scored.body = self.protocol.joined(self.file, batch, scored.names, scored.predictions)
            scored.predictions = []
        return scored

    def ask(self, batch: Batch, places: Sequence[int], scored: Scored, trouble: _Trouble = _NO_TROUBLE) -> None:
        """Fill in the predictions of the records at these places, in as many requests as it takes."""
        # One record alone goes twice where a model takes no single one.
        is_one = places[0] == places[-1]
        try:
            with self.turns.one():
                budget, began = self.job.budget(), time.monotonic()
                if budget <= 0 or self.stopped.is_set():
                    raise OutOfTime
                if not is_one and batch.is_all(places) and self.pace.is_too_much(len(batch.block)):
                    raise _AsBefore
                answer = self.protocol.submit(self.file, batch, places, budget)
                seconds = time.monotonic() - began
        except TooMany as error:
            self.pace.throttled()
            self._wait(trouble.throttled, budget, _MOST_PAUSE_SECONDS, error.seconds)
            again = _Trouble(trouble.times, trouble.since, trouble.throttled + 1)
            return self.ask(batch, places, scored, again)
        except _AsBefore:
            return self.ask_in_halves(batch, places, scored, trouble)
        except TooMuch as error:
            if is_one:
                return self._culprits.too_much(batch, places, error, scored)
            self.pace.refused(batch.size(places), for_good=True)
            return self.ask_in_halves(batch, places, scored)
        except (TookTooLong, NoAnswer) as error:
            self._check_pod()
            longest = self._longest_pause(error, is_one, batch.row + places[0], trouble)
            if longest is None:
                return self._culprits.too_much(batch, places, error, scored)
            self._wait(trouble.times, budget, longest)
            # It may pass, or it may be for the size of what was sent.
            if not trouble.times or is_one or isinstance(error, NoConnection):
                again = _Trouble(trouble.times + 1, trouble.since or began, trouble.throttled)
                return self.ask(batch, places, scored, again)
            try:
                return self.ask_in_halves(batch, places, scored, _Trouble(trouble.times + 1))
            finally:
                # Also when time runs out on the way: the next step shall begin with what may get through.
                self.pace.refused(batch.size(places))
        except NotReading as error:
            # It works on what an earlier step has sent, and so it may well be minutes.
            self.pace.throttled()
            raise OutOfTime(self.job.pause()) from error
        except StillBusy as error:
            self.pace.refused(batch.size(places))
            passed = time.monotonic() - began
            if not is_one or passed < _PATIENCE_FOR_ONE_RECORD_SECONDS:
                raise OutOfTime from error
            row = batch.row + places[0]
            raise ModelTimeout(f"The model did not answer record {row} alone in {passed:.0f} s.") from error
        except ModelFailed as refusal:
            return self._culprits.refused(batch, places, refusal, scored)
        try:
            names, predictions = self._predictions(answer, len(places), scored)
        except (ModelFailed, RowCountMismatch) as wrong:
            return self._culprits.refused(batch, places, wrong, scored, is_answered=True)
        if is_one and len(places) > 1:
            places, predictions = places[:1], predictions[:1]
        scored.seconds += seconds
        scored.names = names
        if len(places) == batch.count or self.protocol.any_rows:
            scored.predictions = [*(found for found in scored.predictions if found is not None), *predictions]
        else:
            for place, found in zip(places, predictions, strict=True):
                scored.predictions[place] = found
        return None

    def ask_in_halves(
        self, batch: Batch, places: Sequence[int], scored: Scored, trouble: _Trouble = _NO_TROUBLE
    ) -> None:
        """Fill in the predictions of the records at these places, half of them at a time."""
        middle = len(places) // 2
        self.ask(batch, places[:middle], scored, trouble)
        # When the first one went well, the second has a new start.
        self.ask(batch, places[middle:], scored)

    def ask_once(self, batch: Batch, places: Sequence[int], scored: Scored) -> None:
        """Look whether the model scores the records at these places now.

        Raises
        ------
        ModelFailed, RowCountMismatch, NoAnswer, StillBusy, TookTooLong, TooMany, TooMuch
            It does not.
        """
        with self.turns.one():
            answer = self.protocol.submit(self.file, batch, places, self.job.budget())
        self._predictions(answer, len(places), scored)

    def has_time_for(self, seconds: float) -> bool:
        """Whether something may be asked that takes about so long and brings no record further."""
        return not self.stopped.is_set() and self.job.has_time_for(seconds)

    def rest(self) -> None:
        """Leave the model alone for a moment."""
        self._wait(0, self.job.budget(), _LEAST_PAUSE_SECONDS)

    def _predictions(self, answer: Answer, expected: int, scored: Scored) -> tuple[list[str], Sequence[Any]]:
        columns = self.columns or scored.names or []
        with self._memory:
            names, predictions = self.protocol.collect(self.file, answer, expected, columns)
        if columns and names != columns:
            raise ModelFailed("The model's answers have other columns than those before.", columns=names[:50])
        return names, predictions

    def _longest_pause(self, error: DropscoreError, is_one: bool, row: int, trouble: _Trouble) -> float | None:
        """The longest pause before the next try; raises the error if there is no use in one. None: it is the record."""
        if isinstance(error, NoConnection):
            if trouble.times >= _TRIES_TO_CONNECT:
                raise error
        elif isinstance(error, TookTooLong):
            if not trouble.times:
                self.pace.throttled()
            if is_one:
                if trouble.since and time.monotonic() - trouble.since > _PATIENCE_FOR_ONE_RECORD_SECONDS:
                    return None
                return _MOST_PAUSE_SECONDS
        elif is_one and trouble.since:
            alone = f"{error.summary.rstrip('.')}. It was sent record {row} alone."
            raise NoAnswer(alone, **error.details) from error
        return _MOST_SILENT_PAUSE_SECONDS

    def _check_pod(self) -> None:
        """Raise what became of the pod; a cluster that cannot be asked just now is asked again before anybody is blamed."""
        with suppress(ClusterUnreachable, AwsThrottled):
            self.job.check_pod()

    def _wait(self, tries: int, budget: float, most: float, asked: float | None = None) -> None:
        """Leave the model alone, for as long as it asked for; longer than a Lambda should be paid for, without one."""
        seconds = max(min(_LEAST_PAUSE_SECONDS * 2**tries, most), asked or 0.0)
        if seconds > min(budget, _MOST_PAUSE_SECONDS) or self.stopped.wait(seconds):
            # Each time counts in the history of an execution: the longer this has gone on, the rarer it is.
            raise OutOfTime(self.job.pause(seconds))
