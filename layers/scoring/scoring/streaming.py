"""From S3 through the model and back to S3: the work of stream_file, in steps that each fit one Lambda.

The `scoring` of an attempt's state goes through OPENED (the upload has an id, so whatever happens later can be aborted),
RUNNING (come back) and DONE (all parts are uploaded).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scoring import objects, records
from scoring.errors import EmptyFile, ModelFailed, ModelTimeout, RowCountMismatch
from scoring.identity import Source
from scoring.protocols import PROTOCOLS, RowProtocol, Sas
from scoring.protocols.model import Model, StillBusy

# What is left of a Lambda's time for closing down in good order.
_RESERVE_SECONDS = 20.0
# How long one invocation waits for a model that works on after its POST, before the state machine waits for less money.
_POLL_SECONDS, _POLL_PAUSE_SECONDS = 10.0, 0.5
_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 10, 300
_FIRST_BLOCK_BYTES, _MOST_BLOCK_BYTES = 64 << 10, 4 << 20
_GOOD_LATENCY_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """All that stream_file works with. `seconds_left` tells how long this Lambda still lives; `now` is the clock."""

    s3: Any
    model: Model
    source: Source
    request: Mapping[str, Any]
    pod_uid: str
    scoring: Mapping[str, Any]
    seconds_left: Callable[[], float]
    now: Callable[[], datetime]

    def budget(self) -> float:
        """Seconds that one call of the model may take: what the Lambda and the scoring deadline leave of them.

        Raises
        ------
        ModelTimeout
            The scoring deadline has passed.
        """
        limit = self.request["deadlines"]["scoring_seconds"]
        left = limit - self.elapsed()
        if left <= 0:
            raise ModelTimeout(f"The model was not done with the file after {limit} s.")
        return min(left, self.seconds_left() - _RESERVE_SECONDS)

    def elapsed(self) -> float:
        """Seconds since the file was begun."""
        return (self.now() - datetime.fromisoformat(self.scoring["started"])).total_seconds()

    def upload(self) -> objects.Upload:
        output = self.request["output"]
        checkpoint = self.scoring.get("checkpoint") or {}
        return objects.Upload(
            self.s3, output["bucket"], output["key"], self.scoring["upload_id"], checkpoint.get("part", 0)
        )


def open_upload(
    s3: Any, source: Source, request: Mapping[str, Any], tags: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """The first step: refuse an empty file, begin the upload of the outcome.

    Raises
    ------
    EmptyFile, AccessDenied, AwsThrottled
    """
    if not source.size:
        raise EmptyFile(f"The file {source.uri} is empty.")
    upload_id = objects.Upload.create(s3, request["output"]["bucket"], request["output"]["key"], tags)
    return {"status": "OPENED", "upload_id": upload_id, "started": now.isoformat()}


def advance(job: Job) -> dict[str, Any]:
    """Go on with the file as far as this Lambda's time allows.

    Returns
    -------
    dict
        The `scoring` of the attempt's state with a `status` of RUNNING, to be gone on with after `wait_seconds`, or DONE;
        with DONE come `rows`, `bytes` and `parts`.

    Raises
    ------
    ModelFailed, ModelTimeout, RowCountMismatch, EmptyFile, SourceGone, SourceChanged
        What the file or the model did.
    NoAnswer
        The model fell silent: the pod's state tells why.
    """
    protocol = PROTOCOLS[job.request["protocol"]](job.model)
    return _whole_file(job, protocol) if isinstance(protocol, Sas) else _by_rows(job, protocol)


def _whole_file(job: Job, protocol: Sas) -> dict[str, Any]:
    scoring = dict(job.scoring)
    # An execution lives in the memory of one pod: on a fresh pod the file is sent again.
    if scoring.get("execution_pod") != job.pod_uid:
        sent = records.Counter()
        chunks = sent.pass_on(objects.read(job.s3, job.source))
        seconds = job.budget()
        try:
            scoring["execution_id"] = protocol.submit(chunks, job.source.size, seconds)
        except StillBusy as error:
            raise ModelTimeout(
                f"The model held the request open for {seconds:.0f} s, longer than one call may take.",
                "Drop the file in smaller pieces, or give the model more cpu with the tag cpu.",
            ) from error
        if sent.records < 2:
            raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
        scoring |= {"execution_pod": job.pod_uid, "rows_sent": sent.records - 1}
    if not _ended(job, protocol, scoring["execution_id"]):
        return scoring | {"status": "RUNNING", "wait_seconds": next_wait(job.elapsed())}
    upload, scored = job.upload(), records.Counter()
    for chunk in scored.pass_on(protocol.collect(scoring["execution_id"])):
        upload.write(chunk)
        upload.checkpoint()
    rows = scored.records - 1
    if rows != scoring["rows_sent"]:
        raise RowCountMismatch(f"The model answered {max(rows, 0)} rows to {scoring['rows_sent']} records.")
    upload.close()
    return scoring | {"status": "DONE", "rows": rows, "bytes": upload.bytes_written, "parts": upload.part}


def _ended(job: Job, protocol: Sas, execution_id: str) -> bool:
    until = time.monotonic() + min(_POLL_SECONDS, job.budget())
    while not protocol.poll(execution_id):
        if time.monotonic() > until:
            return False
        # The container tells nobody when it is done; there is nothing to wait for but the clock.
        time.sleep(_POLL_PAUSE_SECONDS)
    return True


def _by_rows(job: Job, protocol: RowProtocol) -> dict[str, Any]:
    first = {"offset": 0, "part": 0, "rows": 0, "bytes": 0, "columns": ""}
    begun_at = checkpoint = dict(job.scoring.get("checkpoint") or first)
    start, columns = checkpoint["offset"], checkpoint["columns"]
    blocks = records.Blocks(objects.read(job.s3, job.source, start), _FIRST_BLOCK_BYTES, start)
    header = (records.Blocks(objects.read(job.s3, job.source), _FIRST_BLOCK_BYTES) if start else blocks).header()
    if not header.strip():
        raise EmptyFile(f"The file {job.source.uri} holds no header and no record.")
    upload, rows, bytes_before = job.upload(), checkpoint["rows"], checkpoint["bytes"]
    for block in blocks:
        if job.seconds_left() < 2 * _RESERVE_SECONDS:
            if checkpoint is begun_at:
                # To go on from there would be to do the same again, and again.
                raise ModelTimeout(
                    f"The model is too slow: it scored {rows - checkpoint['rows']} records in the time of one function, "
                    "less than what can be uploaded and gone on from.",
                    "Drop the file in smaller pieces, or give the model more cpu with the tag cpu.",
                )
            return dict(job.scoring) | {"status": "RUNNING", "wait_seconds": 0, "checkpoint": checkpoint}
        budget = job.budget()
        expected = records.split(block)
        began = time.monotonic()
        try:
            answer = protocol.submit(header, block, budget) if expected else b""
        except StillBusy as error:
            raise ModelTimeout(
                f"The model did not answer a batch of {len(expected)} records in {budget:.0f} s."
            ) from error
        blocks.size = next_size(blocks.size, time.monotonic() - began)
        if expected:
            names, predictions = protocol.collect(answer, len(expected))
            if not rows:
                columns = fingerprint(names)
                upload.write(joined_header(header, names))
            if fingerprint(names) != columns:
                raise ModelFailed("The model's answers have other columns than those before.", columns=names[:50])
            upload.write(joined(expected, predictions, line_end(header)))
        rows += len(expected)
        if upload.checkpoint():
            done = {"offset": start + blocks.consumed, "part": upload.part, "columns": columns}
            checkpoint = done | {"rows": rows, "bytes": bytes_before + upload.bytes_written}
    if not rows:
        raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
    upload.close()
    done = {"status": "DONE", "rows": rows, "bytes": bytes_before + upload.bytes_written, "parts": upload.part}
    return dict(job.scoring) | done


def next_wait(elapsed: float) -> int:
    """Seconds until a model that has worked on for `elapsed` is asked again: a twentieth of that, within bounds.

    Each time is nine events in the history of an execution, which holds 25,000, and the time of a function.
    """
    return int(min(max(elapsed / 20, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS))


def next_size(size: int, seconds: float) -> int:
    """The size of the next block in bytes: twice as much while the model answers within a second, else half."""
    if seconds > _GOOD_LATENCY_SECONDS:
        return max(size // 2, _FIRST_BLOCK_BYTES)
    return min(size * 2, _MOST_BLOCK_BYTES)


def fingerprint(names: list[str]) -> str:
    """What tells one list of columns from another: of any length, in a state that has little room."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def line_end(header: bytes) -> bytes:
    return b"\r\n" if header.endswith(b"\r\n") else b"\n"


def joined_header(header: bytes, names: list[str]) -> bytes:
    """The header of the output: the file's own columns, then the model's under names that the file does not have yet."""
    own = header.rstrip(b"\r\n")
    taken = {name.strip(b'" ') for name in own.removeprefix(records.BOM).split(b",")}
    columns = []
    for name in names:
        column = name.encode("utf-8", "replace")
        while column in taken:
            column += b"_model"
        taken.add(column)
        columns.append(b'"' + column.replace(b'"', b'""') + b'"' if set(column) & set(b',"\r\n') else column)
    return b",".join([own, *columns]) + line_end(header)


def joined(rows: list[bytes], predictions: list[bytes], end: bytes) -> bytes:
    """Each record with its prediction, one a line; the record's own bytes are untouched."""
    return end.join(map(b",".join, zip(rows, predictions, strict=True))) + end
