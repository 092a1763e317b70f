"""A model gets batches of whole records; the output stays in the order of the input."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from scoring import objects, records
from scoring.errors import EmptyFile, ModelFailed, ModelTimeout
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import NoAnswer, NoConnection, StillBusy, TooMany, TooMuch
from scoring.streaming.job import MOST_PAUSE_SECONDS, Job
from scoring.streaming.pace import FIRST_BYTES, Pace
from scoring.streaming.progress import Progress

# A slow model fills no part for a long time; what it has done is kept all the same.
_SAVE_SECONDS = 60.0
# A single record that takes a model longer than this is no matter of the batch's size or of the Lambda's last minutes.
_PATIENCE_FOR_ONE_RECORD_SECONDS = 300.0


# What a model that has enough requests is left alone for at least: doubled each time, up to the most.
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.25, 30.0


class _OutOfTime(Exception):
    """The Lambda ends before the model answers: the next one goes on, after `wait_seconds`."""

    def __init__(self, wait_seconds: int = 1) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class _Batch:
    """A block on its way: where it ends in the input, how many records it holds, and its scored rows to come."""

    end: int
    size: int
    rows: int
    scored: Future[tuple[list[str], bytes, float]]


def advance(job: Job, protocol: RowProtocol | SasRows) -> dict[str, Any]:
    """One step; see `streaming.advance`."""
    output = job.request["output"]
    progress = Progress.load(job.s3, output)
    blocks = records.Blocks(objects.read(job.s3, job.source, progress.offset), FIRST_BYTES, progress.offset)
    start = progress.offset
    first = records.Blocks(objects.read(job.s3, job.source), FIRST_BYTES) if start else blocks
    header = first.header()
    if not header.strip():
        raise EmptyFile(f"The file {job.source.uri} holds no header and no record.")
    progress.offset = start or blocks.consumed
    pace = Pace(protocol.most_bytes, protocol.most_in_flight, protocol.patience)
    pace.resume(progress.pace)
    scorer = _Scorer(job, protocol, header, pace, threading.Event())
    upload, saved, wait_seconds = job.upload(progress), time.monotonic(), 1
    with ThreadPoolExecutor(protocol.most_in_flight) as pool:
        for batch in _scored(scorer, blocks, pool, start, progress.rows):
            try:
                columns, body, seconds = batch.scored.result()
            except _OutOfTime as out_of_time:
                wait_seconds = out_of_time.wait_seconds
                break
            pace.answered(batch.size, seconds, time.monotonic())
            if batch.rows:
                body = _with_header(protocol, header, columns, body, progress, job.delimiter)
                upload.write(body)
            progress.offset, progress.rows = batch.end, progress.rows + batch.rows
            progress.written += len(body)
            if upload.checkpoint() or time.monotonic() - saved > _SAVE_SECONDS:
                saved = time.monotonic()
                progress.pace = pace.to_json()
                job.save(progress, upload)
    if progress.offset < job.source.size:
        progress.pace = pace.to_json()
        job.save(progress, upload)
        return job.running(wait_seconds)
    if not progress.rows:
        raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
    upload.close()
    progress.part = upload.part
    return job.done(progress)


def _scored(
    scorer: _Scorer, blocks: records.Blocks, pool: ThreadPoolExecutor, start: int, row: int
) -> Iterator[_Batch]:
    """Batches in the order of the input, as many under way as the pace says; ends when the time of the Lambda does."""
    under_way: deque[_Batch] = deque()
    source, more = iter(blocks), True
    pace = scorer.pace
    most_bytes = pace.size
    try:
        while more or under_way:
            while more and len(under_way) < pace.in_flight:
                blocks.size = min(pace.size, most_bytes)
                block = next(source, None) if scorer.job.has_time_for(pace.seconds) else None
                if block is None:
                    more = False
                    break
                rows = records.count(block)
                most_bytes = max(len(block) * scorer.protocol.most_records // max(rows, 1), 1)
                end = start + blocks.consumed
                future = pool.submit(scorer.score, block, rows, row + 1)
                under_way.append(_Batch(end, len(block), rows, future))
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
        raise ModelFailed("The model's answers have other columns than those before.", columns=columns[:50])
    return body


@dataclass(frozen=True)
class _Scorer:
    """Scores blocks, in any thread, until it is `stopped`."""

    job: Job
    protocol: RowProtocol | SasRows
    header: bytes
    pace: Pace
    stopped: threading.Event

    def score(self, block: bytes, rows: int, row: int) -> tuple[list[str], bytes, float]:
        """The model's columns, the scored rows of a block of `rows` records (the first is the file's `row`th), seconds.

        Raises
        ------
        ModelFailed, ModelTimeout, RowCountMismatch, NoAnswer
        """
        if not rows:
            return [], b"", 0.0
        began = time.monotonic()
        columns, body = self._answered(block, rows, row)
        return columns, body, time.monotonic() - began

    def _answered(
        self, block: bytes, rows: int, row: int, *, lost: bool = False, throttled: int = 0
    ) -> tuple[list[str], bytes]:
        budget = self.job.budget()
        try:
            answer = self.protocol.submit(self.header, block, budget)
        except TooMany as error:
            self._wait(error, throttled, budget)
            return self._answered(block, rows, row, lost=lost, throttled=throttled + 1)
        except TooMuch as error:
            self.pace.refused(len(block))
            if rows == 1:
                raise ModelFailed(
                    f"Record {row} alone is too much for the model: {error.summary}",
                    "Shorten this record, or raise the limit of the model or of the route to it.",
                ) from error
        except NoAnswer as error:
            # A connection may break for once, or for the size of what it carried; a model that is gone takes none.
            if lost and isinstance(error, NoConnection):
                raise
            if lost and rows == 1:
                raise NoAnswer(f"{error.summary} It was sent record {row} alone.") from error
            lost = True
            self.pace.refused(len(block))
        except StillBusy as error:
            self.pace.refused(len(block))
            if rows > 1 or budget < _PATIENCE_FOR_ONE_RECORD_SECONDS:
                raise _OutOfTime from error
            raise ModelTimeout(f"The model did not answer record {row} alone in {budget:.0f} s.") from error
        else:
            return self.protocol.scored(self.header, block, answer, rows, self.job.delimiter)
        columns: list[str] = []
        bodies: list[bytes] = []
        for half, count in records.halves(block):
            columns, body = self._answered(half, count, row, lost=lost)
            bodies.append(body)
            row += count
        return columns, b"".join(bodies)

    def _wait(self, error: TooMany, times: int, budget: float) -> None:
        """Leave the model alone for as long as it asks for; longer than a Lambda should be paid for, without one."""
        self.pace.throttled()
        seconds = max(min(_LEAST_PAUSE_SECONDS * 2**times, _MOST_PAUSE_SECONDS), error.seconds or 0.0)
        if seconds > min(budget, _MOST_PAUSE_SECONDS) or self.stopped.wait(seconds):
            raise _OutOfTime(min(math.ceil(seconds), MOST_PAUSE_SECONDS)) from error
