"""A model gets batches of whole records; the output stays in the order of the input."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from scoring.errors import ModelFailed, PodLost
from scoring.files import content, objects
from scoring.files.blocks import Blocks
from scoring.files.checksums import Digest
from scoring.files.formats import Batch
from scoring.files.inspection import first_records, format_of
from scoring.files.ranges import Connections
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer
from scoring.streaming.job import Job
from scoring.streaming.output import Output
from scoring.streaming.pace import FIRST_BYTES, Pace
from scoring.streaming.progress import Progress
from scoring.streaming.scored import Scored
from scoring.streaming.scorer import OutOfTime, Scorer
from scoring.streaming.uploads import Uploads

# A slow model fills no part for a long time; what it has done is kept, and told to whoever looks, all the same.
_SAVE_SECONDS = 15.0


def advance(job: Job, protocol: RowProtocol | SasRows) -> dict[str, Any]:
    """One step; see `streaming.advance`."""
    progress = Progress.load(job.s3, job.request["output"])
    with job.uploads(progress) as uploads:
        return _advance(job, protocol, progress, uploads)


def _advance(job: Job, protocol: RowProtocol | SasRows, progress: Progress, uploads: Uploads) -> dict[str, Any]:
    spec, shard = job.spec, job.shard
    start = progress.offset or (shard.start if shard else 0)
    connections = Connections()
    chunks, digest, passed = content.read(
        job.s3,
        job.source,
        spec.compression,
        spec.encoding,
        start,
        lambda offset: job.digest(offset, progress.crc if offset else 0),
        shard.stop if shard else None,
        connections,
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
    output = Output(job, protocol, file, progress, uploads)
    scorer = Scorer(job, protocol, file, pace, threading.Event(), output.allowed, progress.columns)
    feed = _Feed(scorer, blocks, digest, (shard.row - 1 if shard else 0) + progress.rows, (uploads, connections))
    wait_seconds, failure, is_done = 1, None, False
    saved = time.monotonic()
    with ThreadPoolExecutor(protocol.most_in_flight + 1) as pool:
        for batch, future in feed.scored(pool):
            try:
                scored = future.result()
                if scored.seconds:
                    pace.answered(len(batch.block), scored.size, scored.seconds, time.monotonic())
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


class _Holds(Protocol):
    """What has memory beside the batches."""

    @property
    def held_bytes(self) -> int: ...


class _Feed:
    """Batches in the order of the input: as many as the pace has in flight, and one that is made ready meanwhile. It has
    `ended` when the file has.
    """

    def __init__(self, scorer: Scorer, blocks: Blocks, digest: Digest, rows: int, beside: Sequence[_Holds]) -> None:
        self.ended = False
        self._scorer, self._blocks, self._digest, self._row = scorer, blocks, digest, rows + 1
        self._beside = beside

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
                    size = pace.block_bytes(sum(each.held_bytes for each in self._beside), is_held=is_held)
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
