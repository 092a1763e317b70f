"""A model gets batches of whole records; the output stays in the order of the input."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from scoring.errors import EmptyFile, InvalidFile, ModelFailed, PodLost, ScoringFailed
from scoring.files import content, objects, rejects
from scoring.files.blocks import Blocks
from scoring.files.checksums import Digest
from scoring.files.formats import Batch, Format
from scoring.files.inspection import first_records, format_of
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer
from scoring.streaming.job import Job
from scoring.streaming.pace import FIRST_BYTES, Pace
from scoring.streaming.progress import Progress
from scoring.streaming.scored import Scored
from scoring.streaming.scorer import OutOfTime, Scorer
from scoring.streaming.uploads import Uploads

# A slow model fills no part for a long time; what it has done is kept, and told to whoever looks, all the same.
_SAVE_SECONDS = 15.0
# Records without a prediction wait for the first one that tells how many columns there are; so many bytes of them.
_MOST_HELD_BYTES = 16 << 20


def advance(job: Job, protocol: RowProtocol | SasRows) -> dict[str, Any]:
    """One step; see `streaming.advance`."""
    progress = Progress.load(job.s3, job.request["output"])
    with job.uploads(progress) as uploads:
        return _advance(job, protocol, progress, uploads)


def _advance(job: Job, protocol: RowProtocol | SasRows, progress: Progress, uploads: Uploads) -> dict[str, Any]:
    spec, shard = job.spec, job.shard
    start = progress.offset or (shard.start if shard else 0)
    chunks, digest, passed = content.read(
        job.s3,
        job.source,
        spec.compression,
        spec.encoding,
        start,
        lambda offset: job.digest(offset, progress.crc if offset else 0),
        shard.stop if shard else None,
    )
    # Not every server takes a single record.
    blocks = Blocks(chunks, FIRST_BYTES, spec.dialect, start, passed, joins_last=True)
    file = format_of(spec)
    first = content.text(objects.read(job.s3, job.source), spec.compression, spec.encoding) if start else chunks
    file.open(Blocks(first, FIRST_BYTES, spec.dialect) if start else blocks)
    protocol.open(file, lambda: first_records(spec, objects.read(job.s3, job.source)))
    progress.offset = began_at = start or blocks.position
    progress.crc = digest.crc
    pace = Pace(protocol.most_bytes, protocol.most_in_flight, protocol.patience)
    pace.resume(progress.pace)
    output = _Output(job, protocol, file, progress, uploads)
    scorer = Scorer(job, protocol, file, pace, threading.Event(), output.allowed, progress.columns)
    feed = _Feed(scorer, blocks, digest, (shard.row - 1 if shard else 0) + progress.rows, uploads)
    wait_seconds, failure, is_done = 1, None, False
    saved = before = time.monotonic()
    with ThreadPoolExecutor(protocol.most_in_flight + 1) as pool:
        for batch, future in feed.scored(pool):
            asked = time.monotonic()
            try:
                scored = future.result()
                now = time.monotonic()
                pace.waited(now - asked, now - before)
                before = now
                if scored.seconds:
                    pace.answered(len(batch.block), scored.size, scored.seconds, now)
                    scorer.turns.look_again()
                output.take(batch, scored, scorer)
            except OutOfTime as out_of_time:
                wait_seconds = out_of_time.wait_seconds
                break
            except (NoAnswer, PodLost, ModelFailed) as lost:
                # A 404 may be the route's: what is done is kept, and tells that the model has loaded.
                failure = lost
                break
            progress.pace = pace.to_json()
            if uploads.checkpoint():
                saved = time.monotonic()
            elif time.monotonic() - saved > _SAVE_SECONDS:
                uploads.save()
                saved = time.monotonic()
        else:
            is_done = feed.ended
    if is_done and shard and output.is_held:
        try:
            output.learn(scorer)
        except OutOfTime as out_of_time:
            wait_seconds, is_done = out_of_time.wait_seconds, False
        except (NoAnswer, PodLost) as lost:
            failure = lost
    if failure or not is_done:
        progress.pace = pace.to_json()
        uploads.save()
        if failure:
            raise failure
        # Each time counts in the history of an execution, so a step that came to nothing is not repeated at once.
        return job.running(wait_seconds if progress.offset > began_at else job.pause(wait_seconds))
    if not shard:
        digest.check()
    output.close()
    return job.done(progress)


class _Feed:
    """Batches in the order of the input: as many as the pace has in flight, and one that is made ready meanwhile. It has
    `ended` when the file has.
    """

    def __init__(self, scorer: Scorer, blocks: Blocks, digest: Digest, rows: int, uploads: Uploads) -> None:
        self.ended = False
        self._scorer, self._blocks, self._digest, self._row = scorer, blocks, digest, rows + 1
        self._uploads = uploads

    def scored(self, pool: ThreadPoolExecutor) -> Iterator[tuple[Batch, Future[Scored]]]:
        """Each batch and what comes of it; ends when the file does, or the time of the Lambda."""
        under_way: deque[tuple[Batch, Future[Scored]]] = deque()
        scorer, pace, blocks = self._scorer, self._scorer.pace, self._blocks
        source, more, is_held = iter(blocks), True, False
        # How long records are is not known yet: a byte at least.
        most_bytes = min(pace.size, scorer.protocol.most_records)
        try:
            while more or under_way:
                while more and len(under_way) < pace.in_flight + bool(scorer.columns):
                    if not scorer.job.has_time_for(pace.seconds):
                        more = False
                        break
                    size = pace.block_bytes(self._uploads.held_bytes, is_held=is_held)
                    blocks.size, blocks.row = min(size, most_bytes), self._row
                    block = next(source, None)
                    if block is None:
                        more, self.ended = False, True
                        break
                    batch = scorer.file.batch(block, blocks.position - len(block), self._row, self._digest.crc)
                    batch = scorer.protocol.fitted(scorer.file, batch)
                    rows, is_held = batch.count, batch.is_held
                    most_bytes = max(len(block) * scorer.protocol.most_records // max(rows, 1), 1)
                    under_way.append((batch, pool.submit(scorer.score, batch)))
                    self._row += rows
                if under_way:
                    yield under_way.popleft()
        finally:
            scorer.stopped.set()
            for _, future in under_way:
                future.cancel()


class _Output:
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
