"""Finds the records for which a model refuses a batch, or answers it wrongly: in halves, until one stands alone.

A server may stumble, refuse single records for being single, or refuse all of them: others are asked about before a record
is blamed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scoring.errors import DropscoreError, ModelFailed, ModelTimeout, RowCountMismatch, abridged
from scoring.files.formats import Batch, Format
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.pace import Pace
from scoring.streaming.scored import Scored, TooManyBad

# Of a model's words in the list of bad records.
_WORDS_CHARACTERS = 400
# So many others are asked about before a model is said to refuse all records.
_OTHERS = 8
# What a model answers to records that it cannot score.
_OF_RECORDS = (400, 422, 500)


class Asks(Protocol):
    """What sends a model records of a batch (see `Scorer`)."""

    def ask(self, batch: Batch, places: Sequence[int], scored: Scored) -> None:
        """Fill in the predictions of the records at these places, in as many requests as it takes."""

    def ask_in_halves(self, batch: Batch, places: Sequence[int], scored: Scored) -> None:
        """The same, half of them at a time."""

    def ask_once(self, batch: Batch, places: Sequence[int], scored: Scored) -> None:
        """Send one request, and raise what is wrong with the answer."""

    def has_time_for(self, seconds: float) -> bool:
        """Whether something may be asked that takes about so long and brings no record further."""

    def rest(self) -> None:
        """Leave the model alone for a moment."""


@dataclass
class Culprits:
    """Blames records; `allowed` tells how many more may be bad."""

    asks: Asks
    protocol: RowProtocol | SasRows
    file: Format
    pace: Pace
    allowed: Callable[[], float]

    def refused(
        self,
        batch: Batch,
        places: Sequence[int],
        refusal: ModelFailed | RowCountMismatch,
        scored: Scored,
        *,
        is_answered: bool = False,
    ) -> None:
        """Find the record for which the model refuses these, or answers them wrongly (`is_answered`).

        Raises
        ------
        ModelFailed, RowCountMismatch
            The model refuses them for something else than a record.
        NoAnswer
            It answers 500 to each record, so that it may be the server.
        TooManyBad
        """
        status, place = refusal.details.get("status"), places[0]
        if status is not None and status not in _OF_RECORDS:
            raise _worded(refusal, f"{refusal.summary.rstrip('.')} to a batch of records.") from refusal
        if status == 500 and (len(places) == 1 or not scored.refusals):
            # Anybody's server may stumble once.
            self.asks.rest()
        if len(places) == 1 and isinstance(self.protocol, RowProtocol) and self.protocol.most_records > 1:
            # SageMaker's own toolkit makes a vector of one record of CSV, and answers 500 to each.
            scored.alone = refusal
            return self.asks.ask(batch, [place, place], scored)
        if place == places[-1]:
            return self._refused_alone(batch, place, status, scored.alone or refusal, scored)
        # A culprit among n records is found with two requests for each of log2(n) levels; whoever refuses more often than
        # that without one does so for what they are together. Where that is known to be their size, there may be none.
        if not self.pace.is_too_much(batch.size(places)):
            scored.refusals += 1
        if scored.refusals > 2 * math.ceil(math.log2(batch.count)):
            raise _of_batch(refusal, batch, places)
        before = len(scored.bad)
        self.asks.ask_in_halves(batch, places, scored)
        if len(scored.bad) == before:
            if is_answered:
                # Whoever miscounts, or answers rows of different lengths, may have mixed them up as well.
                raise _of_batch(refusal, batch, places)
            if self._is_for_size(batch, places, refusal, scored):
                self.pace.refused(batch.size(places))
        return None

    def _is_for_size(
        self, batch: Batch, places: Sequence[int], refusal: ModelFailed | RowCountMismatch, scored: Scored
    ) -> bool:
        """Whether it was for their size that records were refused which went well in halves: then they are refused again
        now. If not, the server had stumbled.
        """
        if self.pace.is_too_much(batch.size(places)) or not self.asks.has_time_for(scored.seconds):
            return False
        try:
            self.asks.ask_once(batch, places, scored)
        except (ModelFailed, RowCountMismatch) as again:
            return again.details.get("status") == refusal.details.get("status")
        except TooMuch:
            return True
        except (ModelTimeout, NoAnswer, StillBusy, TookTooLong, TooMany):
            # Nothing can be told, and all of them are scored.
            return False
        return False

    def too_much(self, batch: Batch, places: Sequence[int], error: DropscoreError, scored: Scored) -> None:
        """Blame a record that is too much alone for the model, or for the route to it.

        Raises
        ------
        TooManyBad
            And what `refused` raises of one that is too much only twice: that it was refused alone says more.
        """
        if len(places) > 1 and scored.alone:
            return self.refused(batch, places, scored.alone, scored)
        failure = ModelFailed(
            f"alone is too much for the model: {error.summary}",
            "Shorten this record, or raise the limit of the model or of the route to it.",
        )
        return self._reject(batch, places[0], failure, scored, "Record {row} {summary}")

    def _refused_alone(
        self, batch: Batch, place: int, status: int | None, refusal: ModelFailed | RowCountMismatch, scored: Scored
    ) -> None:
        """Blame a record that was refused alone, and was answered `status` last, unless it may be none's fault."""
        scored.refusals = 0
        may_have_stumbled = 500 in (status, refusal.details.get("status"))
        refused_too = self._refused_as_well(batch, place, scored, even_if_taken=may_have_stumbled)
        may_be_taken = may_have_stumbled or self.protocol.most_records == 1
        if refused_too is None and may_be_taken and scored.asked_again != place:
            # The model takes others: if it does not take this one now, it did not merely stumble before.
            scored.asked_again = place
            return self.asks.ask(batch, [place], scored)
        if refused_too is None:
            return self._reject(batch, place, refusal, scored, "{summary}, for row {row} alone.")
        if status == 500 or (may_have_stumbled and scored.names is not None):
            both = (
                f"{refusal.summary.rstrip('.')} to rows {batch.row + place} and {batch.row + refused_too}, each alone."
            )
            raise NoAnswer(both, **refusal.details) from refusal
        sentence = (
            "{summary}, for row {row} alone, and for row "
            f"{batch.row + refused_too} as well: it may refuse all records of this kind."
        )
        return self._reject(batch, place, refusal, scored, sentence)

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
            try:
                self.asks.ask_once(batch, [place] * copies, scored)
            except (ModelFailed, RowCountMismatch):
                continue
            except TooMuch:
                # Twice it may well be; alone it was refused.
                if copies == 1:
                    raise
            else:
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
            raise TooManyBad

    def _of_record(self, batch: Batch, place: int, error: DropscoreError, sentence: str) -> DropscoreError:
        """The error of a file that ends for one record."""
        (bad,) = self.file.bad_records(batch, {place: error.summary})
        summary = sentence.format(summary=error.summary.rstrip("."), row=bad.row)
        return _worded(error, summary, row=bad.row, offset=bad.offset, record=bad.text)


def _of_batch(refusal: DropscoreError, batch: Batch, places: Sequence[int]) -> DropscoreError:
    """What to raise when it is the batch that the model refuses, and none of its records."""
    rows = f"rows {batch.row + places[0]} to {batch.row + places[-1]}"
    return _worded(refusal, f"{refusal.summary.rstrip('.')}, for {rows} together, but for none of them alone.")


def _worded(error: DropscoreError, summary: str, **more: Any) -> DropscoreError:
    """The same error in other words."""
    return type(error)(summary, error.remedy, **{**error.details, **more})
