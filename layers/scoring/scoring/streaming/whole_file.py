"""A SAS container gets the file whole: sent, waited for, fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from scoring.errors import EmptyFile, ModelFailed, ModelTimeout, RowCountMismatch
from scoring.files import objects, records
from scoring.protocols import Sas
from scoring.protocols.model import NoAnswer, NotReading, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.job import Job
from scoring.streaming.progress import Progress

# How long one step waits for a model that works on after its POST, before the state machine waits for less money.
_POLL_SECONDS, _POLL_PAUSE_SECONDS = 10.0, 0.5
_SHORTEST_TIME_OUT_SECONDS = 25.0


def advance(job: Job, protocol: Sas) -> dict[str, Any]:
    """One step; see `streaming.advance`."""
    try:
        return _advance(job, protocol)
    except TooMany as error:
        # Of the route, mostly: a container has one file, this one.
        return job.running(job.pause(error.seconds or 0.0))
    except NotReading:
        # It works on the file still that a step sent which was killed; nobody but that one was told the execution's id.
        return job.running(job.pause())


def _advance(job: Job, protocol: Sas) -> dict[str, Any]:
    output = job.request["output"]
    progress = Progress.load(job.s3, output)
    # An execution lives in the memory of one pod: on a fresh pod the file is sent again.
    if progress.execution.get("pod") != job.pod_uid:
        # The header of the result is no record.
        progress = Progress(execution=_send(job, protocol), rows=-1, upload_id=progress.upload_id, etag=progress.etag)
        progress.save(job.s3, output)
    # What was sent took its time; to fetch the result is another Lambda's work, if need be.
    if not job.has_time_for(_POLL_SECONDS):
        return job.running()
    if not _ended(job, protocol, progress.execution["id"]):
        return job.running(job.pause())
    upload = job.upload(progress)
    counter = records.Counter(progress.rows, progress.begun.encode())
    try:
        for chunk in counter.pass_on(protocol.collect(progress.execution["id"], progress.written)):
            upload.write(chunk)
            progress.rows, progress.begun = counter.records, counter.begun.decode()
            progress.written += len(chunk)
            enough = job.has_time_for(_POLL_SECONDS)
            if upload.checkpoint() or not enough:
                job.save(progress, upload)
            if not enough:
                return job.running()
    except (NoAnswer, StillBusy):
        # Those who come back go on from here.
        job.save(progress, upload)
        raise
    sent, progress.rows = progress.execution["rows"], counter.records
    if progress.rows != sent:
        raise RowCountMismatch(f"The model answered {max(progress.rows, 0)} rows to {sent} records.")
    upload.close()
    progress.part = upload.part
    return job.done(progress)


def _send(job: Job, protocol: Sas) -> dict[str, Any]:
    sent, digest = records.Counter(), job.digest()
    seconds, began = job.budget(), time.monotonic()
    chunks = _until(began + seconds, digest.pass_on(objects.read(job.s3, job.source)))
    try:
        execution = protocol.submit(sent.pass_on(chunks), job.source.size, seconds)
    except NotReading:
        raise
    except StillBusy as error:
        raise ModelTimeout(
            f"The model held the request open for {seconds:.0f} s, longer than one call may take.",
            "Tag the file with split=rows, so that the model gets it in batches of records (unless its script has to "
            "see all rows at once), or give the model more cpu with the tag cpu.",
        ) from error
    except (TookTooLong, TooMuch) as error:
        if isinstance(error, TookTooLong) and time.monotonic() - began < _SHORTEST_TIME_OUT_SECONDS:
            # Sooner than the time-out of any proxy for an answer: this one was for the connection to the pod.
            raise NoAnswer(f"The route to the model gave up: {error.summary}") from error
        raise ModelFailed(
            f"The file is too large for the model or for the route to it: {error.summary}",
            "Raise that limit, or tag the file with split=rows, so that the model gets it in batches of records.",
        ) from error
    digest.check()
    if sent.records < 2:
        raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
    return {"id": execution, "pod": job.pod_uid, "rows": sent.records - 1}


def _until(moment: float, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > moment:
            raise StillBusy("The file was not sent in time.")
        yield chunk


def _ended(job: Job, protocol: Sas, execution: str) -> bool:
    until = time.monotonic() + min(_POLL_SECONDS, job.budget())
    while not protocol.poll(execution):
        if time.monotonic() > until:
            return False
        # The container tells nobody when it is done; there is nothing to wait for but the clock.
        time.sleep(_POLL_PAUSE_SECONDS)
    return True
