"""The scored file and the list of bad records, as they come of batches."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace

from scoring.errors import EmptyFile, InvalidFile, ModelFailed, ScoringFailed
from scoring.files import objects, rejects
from scoring.files.blocks import Blocks
from scoring.files.formats import Batch, Format
from scoring.files.inspection import format_of
from scoring.protocols import RowProtocol, SasRows
from scoring.streaming.job import Job
from scoring.streaming.pace import FIRST_BYTES
from scoring.streaming.progress import Progress
from scoring.streaming.scored import Scored
from scoring.streaming.scorer import Scorer
from scoring.streaming.uploads import Uploads

# Records without a prediction wait for the first one that tells how many columns there are; so many bytes of them.
_MOST_HELD_BYTES = 16 << 20


class Output:
    """The scored file and the list of bad records, as they are written."""

    def __init__(
        self, job: Job, protocol: RowProtocol | SasRows, file: Format, progress: Progress, uploads: Uploads
    ) -> None:
        self._job, self._protocol, self._file, self._progress = job, protocol, file, progress
        self._limit, self._is_own_text, self._shard = job.limit, job.spec.is_own_text, job.shard
        self._uploads, self._upload, self._rejects = uploads, uploads.scored, uploads.rejects
        # Batches without any prediction, while no batch has told the model's columns.
        self._held: list[tuple[Batch, Scored]] = []

    def allowed(self) -> float:
        """How many more records may be bad, as far as can be told before the end of the file."""
        held = sum(len(scored.bad) for _, scored in self._held)
        return self._limit.allowed(self._most_rows()) - self._progress.rejected - held

    def _most_rows(self) -> float:
        """As many rows as the file can have at most: a record has one byte and a line end, or more."""
        if self._shard:
            return self._shard.total
        if not self._is_own_text:
            return math.inf
        return self._progress.rows + (self._job.source.size - self._progress.offset) / 2 + 1

    def take(self, batch: Batch, scored: Scored, scorer: Scorer) -> None:
        """Write what came of a batch.

        Raises
        ------
        InvalidFile, ModelFailed, RowCountMismatch
            One bad record more than there may be.
        OutOfTime, NoAnswer, PodLost
            As `learn`.
        """
        progress = self._progress
        if scored.error or (scored.names is None and not progress.columns and (batch.count or self._held)):
            self._held.append((batch, scored))
            if scored.error:
                raise self._too_many(scored)
            if sum(len(held.block) for held, _ in self._held) > _MOST_HELD_BYTES:
                if not self._shard:
                    raise self._none_scored()
                self.learn(scorer)
            return
        if scored.names is not None and progress.columns and scored.names != progress.columns:
            raise ModelFailed("The model's answers have other columns than those before.", columns=scored.names[:50])
        if scored.names is not None and not progress.columns:
            self._begin(scored.names, scorer)
        self._write(batch, scored)

    @property
    def is_held(self) -> bool:
        """Whether there are batches that cannot be written, since none has told the model's columns."""
        return bool(self._held)

    def learn(self, scorer: Scorer) -> None:
        """Write what is held: records that other pods have tell the model's columns, though none of this one's does.

        Raises
        ------
        ModelFailed
            None of those can be scored either.
        OutOfTime, NoAnswer, PodLost
        """
        # Those that are bad there count where they are scored.
        asking = replace(scorer, stopped=threading.Event(), allowed=lambda: math.inf)
        for batch in self._elsewhere():
            scored = asking.score(batch)
            if scored.names is not None:
                return self._begin(scored.names, scorer)
        raise self._none_scored()

    def _elsewhere(self) -> Iterator[Batch]:
        """Records behind those of the shard, and at the beginning of the file."""
        shard, job, dialect = self._shard, self._job, self._job.spec.dialect
        assert shard
        if shard.number < shard.count:
            behind = Blocks(objects.read(job.s3, job.source, shard.stop), FIRST_BYTES, dialect, shard.stop)
            yield self._first_of(behind, shard.last_row + 1)
        if shard.number > 1:
            first = Blocks(objects.read(job.s3, job.source), FIRST_BYTES, dialect)
            format_of(job.spec).open(first)
            yield self._first_of(first, 1)

    def _first_of(self, blocks: Blocks, row: int) -> Batch:
        block = next(iter(blocks))
        batch = self._file.batch(block, blocks.position - len(block), row)
        return self._protocol.fitted(self._file, batch)

    def _begin(self, names: list[str], scorer: Scorer) -> None:
        """Write the header, if it is to be here, and what is held."""
        self._progress.columns = scorer.columns = names
        if not self._shard or self._shard.number == 1:
            header = self._protocol.header(self._file, names)
            self._upload.write(header)
            self._progress.written += len(header)
        for each, found in self._held:
            self._write(each, found)
        self._held = []

    def _write(self, batch: Batch, scored: Scored) -> None:
        progress, body = self._progress, scored.body
        if scored.names is None and batch.count:
            body = self._protocol.joined(self._file, batch, progress.columns, [None] * batch.count)
        for piece in body:
            self._upload.write(piece)
            progress.written += len(piece)
        if scored.bad and self._rejects:
            bad = self._file.bad_records(batch, scored.bad)
            is_begun = progress.rejected or self._shard
            lines = (b"" if is_begun else rejects.HEADER) + b"".join(one.to_csv() for one in bad)
            self._rejects.write(lines)
            progress.rejected_written += len(lines)
            progress.rejected += len(bad)
            progress.first = [*progress.first, *(one.to_json() for one in bad)][: rejects.TOLD]
        progress.offset, progress.crc = batch.end, batch.crc
        progress.rows, progress.padded = progress.rows + batch.count, progress.padded + batch.padded

    def _too_many(self, scored: Scored) -> Exception:
        error = scored.error
        assert error
        if not self._limit:
            return error
        told = [*self._progress.first]
        for batch, held in self._held:
            told += [one.to_json() for one in self._file.bad_records(batch, held.bad)]
        summary = f"More records are bad than max_errors allows ({self._limit}); the last of them: {error.summary}"
        return type(error)(summary, error.remedy, **{**error.details, "rejected": told[: rejects.TOLD]})

    def _none_scored(self, which: str = "first {} records") -> Exception:
        told = [one for batch, held in self._held for one in self._file.bad_records(batch, held.bad)]
        if self._shard:
            which = f"{{}} records from row {self._shard.row} on, which one pod had, and none of those elsewhere"
        return ModelFailed(
            f"None of the {which.format(len(told))} could be scored. {told[0].reason}",
            rejected=[one.to_json() for one in told[: rejects.TOLD]],
        )

    def close(self) -> None:
        """Upload the rest.

        Raises
        ------
        EmptyFile, InvalidFile, ModelFailed
            There is no record, or no good one, or there are too many bad ones.
        """
        progress = self._progress
        if self._held:
            raise self._none_scored("file's {} records")
        if self._shard and progress.rows != self._shard.records:
            raise ScoringFailed(
                f"{progress.rows} records were found from row {self._shard.row} on, where {self._shard.records} had been "
                "counted.",
                "Tag the file with pods=1, and drop it again.",
            )
        if not progress.rows:
            raise EmptyFile(f"The file {self._job.source.uri} holds no record below its header.")
        if not self._shard and progress.rejected > self._limit.allowed(progress.rows):
            raise InvalidFile(
                f"{progress.rejected} of {progress.rows} records are bad; max_errors allows {self._limit}.",
                "Correct them, or allow for more with the tag max_errors, and drop the file again.",
                rejected=progress.first,
            )
        self._uploads.close()
