"""Gets a batch of records scored, whatever the model or the route to it does to single requests."""

from __future__ import annotations

import math
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
    abridged,
)
from scoring.files.formats import Batch, Format
from scoring.files.inspection import bad_record
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import Answer, NoAnswer, NoConnection, NotReading, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.job import Job
from scoring.streaming.pace import Pace
from scoring.streaming.turns import Turns

# A single record that takes a model longer than this is no matter of the batch's size, of the Lambda's last minutes, or
# of a queue of what was given up and is worked on still.
_PATIENCE_FOR_ONE_RECORD_SECONDS = 300.0
# Between two tries: doubled each time, up to the most, which is less for a model that may be gone.
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS, _MOST_SILENT_PAUSE_SECONDS = 0.25, 30.0, 4.0
# A route may be away for a moment: some ten seconds of the pauses above.
_TRIES_TO_CONNECT = 6
# Of a model's words in the list of bad records.
_WORDS_CHARACTERS = 400
# So many others are asked about before a model is said to refuse all records.
_OTHERS = 8
# What a model answers to records that it cannot score.
_OF_RECORDS = (400, 422, 500)


class OutOfTime(Exception):
    """The Lambda ends before the model answers: the next one goes on, after `wait_seconds`."""

    def __init__(self, wait_seconds: int = 1) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


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
    body: bytes = b""
    refusals: int = 0
    alone: ModelFailed | RowCountMismatch | None = None
    """What the record was refused with that stood alone last."""
    asked_again: int | None = None
    """The place of the record that was asked for once more, since the model has taken another one."""


class _TooManyBad(Exception):
    """One bad record more than there may be."""


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
    _memory: threading.Lock = field(default_factory=threading.Lock)
    """Whoever has it takes an answer apart: two at once would be no faster, and take twice the memory."""

    def __post_init__(self) -> None:
        self.turns = Turns(lambda: self.pace.in_flight)

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
        with suppress(_TooManyBad):
            # A block is cut by bytes: how many records it has is known only now.
            places, most = batch.good, self.protocol.most_records
            for begin in range(0, len(places), most):
                self._answered(batch, places[begin : begin + most], scored, _Trouble())
        if scored.names is not None and not scored.error:
            with self._memory:
                scored.body = self.protocol.joined(self.file, batch, scored.names, scored.predictions)
            scored.predictions = []
        return scored

    def _answered(self, batch: Batch, places: Sequence[int], scored: Scored, trouble: _Trouble) -> None:
        """Fill in the predictions of the records at these places."""
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
            return self._answered(batch, places, scored, again)
        except _AsBefore:
            return self._halved(batch, places, scored, trouble)
        except TooMuch as error:
            if is_one:
                return self._reject(batch, places[0], _too_much(error), scored, "Record {row} {summary}")
            self.pace.refused(batch.size(places), for_good=True)
            return self._halved(batch, places, scored, _Trouble())
        except (TookTooLong, NoAnswer) as error:
            self._check_pod()
            longest = self._longest_pause(error, is_one, batch.row + places[0], trouble)
            if longest is None:
                return self._reject(batch, places[0], _too_much(error), scored, "Record {row} {summary}")
            self._wait(trouble.times, budget, longest)
            # It may pass, or it may be for the size of what was sent.
            if not trouble.times or is_one or isinstance(error, NoConnection):
                again = _Trouble(trouble.times + 1, trouble.since or began, trouble.throttled)
                return self._answered(batch, places, scored, again)
            try:
                return self._halved(batch, places, scored, _Trouble(trouble.times + 1))
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
            return self._refused(batch, places, refusal, scored)
        try:
            names, predictions = self._predictions(answer, len(places), scored)
        except (ModelFailed, RowCountMismatch) as wrong:
            return self._refused(batch, places, wrong, scored, is_answered=True)
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

    def _predictions(self, answer: Answer, expected: int, scored: Scored) -> tuple[list[str], Sequence[Any]]:
        columns = self.columns or scored.names or []
        with self._memory:
            names, predictions = self.protocol.collect(self.file, answer, expected, columns)
        if columns and names != columns:
            raise ModelFailed("The model's answers have other columns than those before.", columns=names[:50])
        return names, predictions

    def _refused(
        self,
        batch: Batch,
        places: Sequence[int],
        refusal: ModelFailed | RowCountMismatch,
        scored: Scored,
        *,
        is_answered: bool = False,
    ) -> None:
        """Find the record for which the model refuses a batch, or answers it wrongly: in halves, until it stands alone."""
        status, place = refusal.details.get("status"), places[0]
        if status is not None and status not in _OF_RECORDS:
            raise _worded(refusal, f"{refusal.summary.rstrip('.')} to a batch of records.") from refusal
        if status == 500 and (len(places) == 1 or not scored.refusals):
            # Anybody's server may stumble once.
            self._wait(0, self.job.budget(), _LEAST_PAUSE_SECONDS)
        if len(places) == 1 and isinstance(self.protocol, RowProtocol) and self.protocol.most_records > 1:
            # SageMaker's own toolkit makes a vector of one record of CSV, and answers 500 to each.
            scored.alone = refusal
            return self._answered(batch, [place, place], scored, _Trouble())
        if place == places[-1]:
            scored.refusals, refusal = 0, scored.alone or refusal
            may_have_stumbled = 500 in (status, refusal.details.get("status"))
            refused_too = self._refused_as_well(batch, place, scored, even_if_taken=may_have_stumbled)
            may_be_taken = may_have_stumbled or self.protocol.most_records == 1
            if refused_too is None and may_be_taken and scored.asked_again != place:
                # The model takes others: if it does not take this one now, it did not merely stumble before.
                scored.asked_again = place
                return self._answered(batch, [place], scored, _Trouble())
            if refused_too is None:
                return self._reject(batch, place, refusal, scored, "{summary}, for row {row} alone.")
            if status == 500 or (may_have_stumbled and scored.names is not None):
                both = f"{refusal.summary.rstrip('.')} to rows {batch.row + place} and {batch.row + refused_too}, each alone."
                raise NoAnswer(both, **refusal.details) from refusal
            sentence = (
                "{summary}, for row {row} alone, and for row "
                f"{batch.row + refused_too} as well: it may refuse all records of this kind."
            )
            return self._reject(batch, place, refusal, scored, sentence)
        scored.refusals += 1
        # A culprit among n records is found with two requests for each of log2(n) levels; whoever refuses more often than
        # that without one does so for what they are together.
        if scored.refusals > 2 * math.ceil(math.log2(batch.count)):
            raise _of_batch(refusal, batch, places)
        before = len(scored.bad)
        self._halved(batch, places, scored, _Trouble())
        if len(scored.bad) == before:
            if is_answered:
                # Whoever miscounts, or answers rows of different lengths, may have mixed them up as well.
                raise _of_batch(refusal, batch, places)
            # Both halves went well: it was the size.
            self.pace.refused(batch.size(places))
        return None

    def _refused_as_well(self, batch: Batch, place: int, scored: Scored, *, even_if_taken: bool) -> int | None:
        """The place of another record that the model refuses, so that it may be none's fault; None if it takes one of the
        batch (`even_if_taken` asks once more for one that it has taken), or nothing can be told.
        """
        if not isinstance(self.protocol, RowProtocol) or (scored.names is not None and not even_if_taken):
            return None
        taken = [other for other, found in enumerate(scored.predictions) if found is not None][:1]
        # Bad records may stand together, or at both ends: some from all over the batch are asked about.
        step = max(len(batch.good) // _OTHERS, 1)
        refused = None
        for other in taken or [other for other in batch.good[::-step] if other != place][:_OTHERS]:
            try:
                if self._takes(batch, other, scored):
                    return None
            except (NoAnswer, StillBusy, TookTooLong, TooMany, TooMuch):
                return None
            refused = other if refused is None else refused
        return refused

    def _takes(self, batch: Batch, place: int, scored: Scored) -> bool:
        """Whether the model scores a record now, by itself or twice."""
        for copies in range(1, min(2, self.protocol.most_records) + 1):
            with suppress(ModelFailed, RowCountMismatch):
                with self.turns.one():
                    answer = self.protocol.submit(self.file, batch, [place] * copies, self.job.budget())
                self._predictions(answer, copies, scored)
                return True
        return False

    def _reject(self, batch: Batch, place: int, error: DropscoreError, scored: Scored, sentence: str) -> None:
        """Take note of a record that cannot be scored."""
        told = self._of_record(batch, place, error, sentence)
        # A traceback of thousands of characters for each of thousands of records helps nobody.
        words = abridged(str(error.details.get("answer", "")).strip(), _WORDS_CHARACTERS)
        scored.bad[place] = error.summary if ": " in error.summary else f"{error.summary} {words}".strip()
        if len(scored.bad) > self.allowed():
            scored.error = told
            raise _TooManyBad

    def _of_record(self, batch: Batch, place: int, error: DropscoreError, sentence: str) -> DropscoreError:
        """The error of a file that ends for one record."""
        (bad,) = self.file.bad_records(batch, {place: error.summary})
        summary = sentence.format(summary=error.summary.rstrip("."), row=bad.row)
        return _worded(error, summary, row=bad.row, offset=bad.offset, record=bad.text)

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

    def _halved(self, batch: Batch, places: Sequence[int], scored: Scored, trouble: _Trouble) -> None:
        middle = len(places) // 2
        self._answered(batch, places[:middle], scored, trouble)
        # When the first one went well, the second has a new start.
        self._answered(batch, places[middle:], scored, _Trouble())

    def _wait(self, tries: int, budget: float, most: float, asked: float | None = None) -> None:
        """Leave the model alone, for as long as it asked for; longer than a Lambda should be paid for, without one."""
        seconds = max(min(_LEAST_PAUSE_SECONDS * 2**tries, most), asked or 0.0)
        if seconds > min(budget, _MOST_PAUSE_SECONDS) or self.stopped.wait(seconds):
            # Each time counts in the history of an execution: the longer this has gone on, the rarer it is.
            raise OutOfTime(self.job.pause(seconds))


def _too_much(error: DropscoreError) -> ModelFailed:
    return ModelFailed(
        f"alone is too much for the model: {error.summary}",
        "Shorten this record, or raise the limit of the model or of the route to it.",
    )


def _of_batch(refusal: DropscoreError, batch: Batch, places: Sequence[int]) -> DropscoreError:
    """What to raise when it is the batch that the model refuses, and none of its records."""
    rows = f"rows {batch.row + places[0]} to {batch.row + places[-1]}"
    return _worded(refusal, f"{refusal.summary.rstrip('.')}, for {rows} together, but for none of them alone.")


def _worded(error: DropscoreError, summary: str, **more: Any) -> DropscoreError:
    """The same error in other words."""
    return type(error)(summary, error.remedy, **{**error.details, **more})
