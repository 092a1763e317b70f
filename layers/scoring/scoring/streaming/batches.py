"""A model gets batches of whole records; the output stays in the order of the input."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from scoring.errors import EmptyFile, PodLost
from scoring.files import objects, records
from scoring.files.checksums import Digest
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer
from scoring.streaming.job import Job
from scoring.streaming.pace import FIRST_BYTES, Pace
from scoring.streaming.progress import Progress
from scoring.streaming.scorer import OutOfTime, Scorer, other_columns

# A slow model fills no part for a long time; what it has done is kept all the same.
_SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class _Batch:
    """A block on its way: where it ends in the input, how many records it holds, and its scored rows to come.

    `crc` is that of the input up to its end.
    """

    end: int
    crc: int
    size: int
    rows: int
    scored: Future[tuple[list[str], bytes, float]]


def advance(job: Job, protocol: RowProtocol | SasRows) -> dict[str, Any]:
    """One step; see `streaming.advance`."""
    output = job.request["output"]
    progress = Progress.load(job.s3, output)
    start = progress.offset
    digest = job.digest(start, progress.crc)
    blocks = records.Blocks(objects.read(job.s3, job.source, start), FIRST_BYTES, start, digest.update)
    first = records.Blocks(objects.read(job.s3, job.source), FIRST_BYTES) if start else blocks
    header = first.header()
    if not header.strip():
        raise EmptyFile(f"The file {job.source.uri} holds no header and no record.")
    progress.offset = began_at = start or blocks.consumed
    progress.crc = digest.crc
    pace = Pace(protocol.most_bytes, protocol.most_in_flight, protocol.patience)
    pace.resume(progress.pace)
    scorer = Scorer(job, protocol, header, pace, threading.Event())
    upload, saved = job.upload(progress), time.monotonic()
    wait_seconds, failure = 1, None
    with ThreadPoolExecutor(protocol.most_in_flight) as pool:
        for batch in _scored(scorer, blocks, digest, pool, start, progress.rows):
            try:
                columns, body, seconds = batch.scored.result()
            except OutOfTime as out_of_time:
                wait_seconds = out_of_time.wait_seconds
                break
            except (NoAnswer, PodLost) as lost:
                failure = lost
                break
            pace.answered(batch.size, len(body), seconds, time.monotonic())
            if batch.rows:
                body = _with_header(protocol, header, columns, body, progress, job.delimiter)
                upload.write(body)
            progress.offset, progress.crc, progress.rows = batch.end, batch.crc, progress.rows + batch.rows
            progress.written += len(body)
            if upload.checkpoint() or time.monotonic() - saved > _SAVE_SECONDS:
                saved = time.monotonic()
                progress.pace = pace.to_json()
                job.save(progress, upload)
    if failure or progress.offset < job.source.size:
        progress.pace = pace.to_json()
        job.save(progress, upload)
        if failure:
            raise failure
        # Each time counts in the history of an execution, so a step that came to nothing is not repeated at once.
        return job.running(wait_seconds if progress.offset > began_at else job.pause(wait_seconds))
    digest.check()
    if not progress.rows:
        raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
    upload.close()
    progress.part = upload.part
    return job.done(progress)


def _scored(
    scorer: Scorer, blocks: records.Blocks, digest: Digest, pool: ThreadPoolExecutor, start: int, row: int
) -> Iterator[_Batch]:
    """Batches in the order of the input, as many under way as the pace says; ends when the time of the Lambda does."""
    under_way: deque[_Batch] = deque()
    source, more = iter(blocks), True
    pace = scorer.pace
    most_bytes = pace.size
    try:
        while more or under_way:
            while more and len(under_way) < pace.in_flight:
                blocks.size = min(pace.block_bytes, most_bytes)
                block = next(source, None) if scorer.job.has_time_for(pace.seconds) else None
                if block is None:
                    more = False
                    break
                rows = records.count(block)
                most_bytes = max(len(block) * scorer.protocol.most_records // max(rows, 1), 1)
                end = start + blocks.consumed
                future = pool.submit(scorer.score, block, rows, row + 1)
                under_way.append(_Batch(end, digest.crc, len(block), rows, future))
                row += rows
            if under_way:
                yield under_way.popleft()
    finally:
        scorer.stopped.set()
        for batch in under_way:
            batch.scored.cancel()


def _with_header(
    protocol: RowProtocol | SasRows,
    header: bytes,
    columns: list[str],
    body: bytes,
    progress: Progress,
    delimiter: bytes,
) -> bytes:
    if not progress.rows:
        progress.columns = columns
        return protocol.header(header, columns, delimiter) + body
    if columns != progress.columns:
        raise other_columns(columns)
    return body
