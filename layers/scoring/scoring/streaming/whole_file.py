"""A SAS container gets the file whole: sent, waited for, fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from scoring.errors import EmptyFile, InvalidFile, ModelFailed, ModelTimeout, RowCountMismatch
from scoring.files import content, objects, utf8
from scoring.files.blocks import Blocks, Counter
from scoring.files.delimited import Csv
from scoring.files.formats import Spec
from scoring.files.inspection import bad_record, format_of
from scoring.files.utf8 import NotUtf8
from scoring.protocols import Sas
from scoring.protocols.model import NoAnswer, NotReading, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.streaming.job import Job
from scoring.streaming.progress import Notes, Progress
from scoring.streaming.uploads import Uploads

# How long one step waits for a model that works on after its POST, before the state machine waits for less money.
_POLL_SECONDS, _POLL_PAUSE_SECONDS = 10.0, 0.5
_SHORTEST_TIME_OUT_SECONDS = 25.0
_BLOCK_BYTES = 256 << 10
# Whoever looks learns how much of the file has been sent, and that the model works on it.
_SAVE_SECONDS = 15.0


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
        progress = Progress(
            execution=_send(job, protocol, progress),
            rows=-1,
            upload_id=progress.upload_id,
            started=progress.started,
            etag=progress.etag,
        )
        progress.save(job.s3, output)
    # What was sent took its time; to fetch the result is another Lambda's work, if need be.
    if not job.has_time_for(_POLL_SECONDS):
        return job.running()
    if not _ended(job, protocol, progress.execution["id"]):
        return job.running(job.pause())
    with job.uploads(progress) as uploads:
        return _collect(job, protocol, progress, uploads)


def _collect(job: Job, protocol: Sas, progress: Progress, uploads: Uploads) -> dict[str, Any]:
    counter = Counter(records=progress.rows, begun=progress.begun.encode())
    try:
        for chunk in counter.pass_on(protocol.collect(progress.execution["id"], progress.written)):
            uploads.scored.write(chunk)
            progress.rows, progress.begun = counter.records, counter.begun.decode()
            progress.written += len(chunk)
            uploads.checkpoint()
            if not job.has_time_for(_POLL_SECONDS):
                uploads.save()
                return job.running()
    except (NoAnswer, StillBusy):
        # Those who come back go on from here.
        uploads.save()
        raise
    sent, progress.rows = progress.execution["rows"], max(counter.records, 0)
    if progress.rows != sent and job.request.get("rows") != "any":
        raise RowCountMismatch(
            f"The model answered {progress.rows} rows to {sent} records.",
            "The model must answer one row for each row of the file: repair it, or tag the file with rows=any if its script "
            "drops or adds rows on purpose, then drop the file again.",
        )
    progress.padded = progress.execution.get("padded", 0)
    uploads.close()
    return job.done(progress)


def _send(job: Job, protocol: Sas, progress: Progress) -> dict[str, Any]:
    spec, seconds, began = job.spec, job.budget(), time.monotonic()
    digest = job.digest()
    raw = digest.pass_on(objects.read(job.s3, job.source))
    padded = 0
    if _is_sent_as_is(spec):
        counter = Counter(spec.dialect)
        chunks, size = counter.pass_on(_checked(raw, spec, counter)), job.source.size
    else:
        # The length has to be told before the first byte: with it nothing between us and the model buffers the file.
        size, padded = _measured(job, began + seconds)
        counter = Counter()
        chunks = counter.pass_on(_rewritten(raw, spec))
    try:
        with Notes(job.s3, job.request["output"], progress) as notes:
            told = _told(progress, notes, _until(began + seconds, chunks))
            execution = protocol.submit(told, size, seconds)
            notes.settle()
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
    rows = counter.records - spec.header
    if rows < 1:
        raise EmptyFile(f"The file {job.source.uri} holds no record below its header.")
    return {"id": execution, "pod": job.pod_uid, "rows": rows} | ({"padded": padded} if padded else {})


def _is_sent_as_is(spec: Spec) -> bool:
    """Whether a script reads the object's own bytes as we do: UTF-8 with commas and doubled quotes."""
    plain = spec.is_own_text and spec.delimiter == "," and spec.decimal == "point"
    return plain and spec.escape != "backslash" and spec.preamble in ("", "\ufeff")


def _checked(chunks: Iterator[bytes], spec: Spec, counter: Counter) -> Iterator[bytes]:
    """The chunks of a file that is sent as it is, each looked at before it is sent: UTF-8, and no quote that may mean two
    things.
    """
    file, begun, before, offset = Csv(spec), b"", b"", 0

    def not_utf8(place: int) -> InvalidFile:
        return InvalidFile(
            f"The file is not UTF-8: byte {place}, in or after row {max(counter.records - spec.header, 0) + 1}.",
            "Tag the file with its encoding (encoding=latin-1, cp1252, utf-16-le …), or write it as UTF-8, and drop "
            "it again.",
            offset=place,
        )

    for chunk in chunks:
        try:
            begun = utf8.check_on(begun, chunk)
        except NotUtf8 as error:
            raise not_utf8(offset + error.place) from error
        # A quote at the end of a chunk is looked at with the next one.
        file.check_quotes(before + chunk, max(counter.records - spec.header, 0) + 1, offset - len(before))
        before = chunk[-2:] if chunk.endswith((b"\\", b'\\"')) else b""
        offset += len(chunk)
        yield chunk
    if begun:
        raise not_utf8(offset - len(begun))


def _rewritten(raw: Iterator[bytes], spec: Spec) -> Iterator[bytes]:
    """The file as a model gets it."""
    for body, _ in _bodies(raw, spec):
        yield body


def _measured(job: Job, until: float) -> tuple[int, int]:
    """How many bytes that has, and how many records are short."""
    size = padded = 0
    for body, short in _bodies(_until(until, objects.read(job.s3, job.source)), job.spec):
        size, padded = size + len(body), padded + short
    return size, padded


def _bodies(raw: Iterator[bytes], spec: Spec) -> Iterator[tuple[bytes, int]]:
    file = format_of(spec)
    blocks = Blocks(content.text(raw, spec.compression, spec.encoding), _BLOCK_BYTES, spec.dialect)
    file.open(blocks)
    if spec.header:
        yield file.sent_header, 0
    row = 1
    for block in blocks:
        batch = file.batch(block, blocks.position - len(block), row)
        for place, reason in batch.bad.items():
            raise bad_record(file, batch, place, reason)
        if batch.count:
            yield file.body(batch, batch.good), batch.padded
        row += batch.count
        blocks.row = row


def _until(moment: float, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > moment:
            raise StillBusy("The file was not sent in time.")
        yield chunk


def _told(progress: Progress, notes: Notes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks; how many bytes of them are sent is noted now and then, and at their end."""
    progress.sent, saved = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        progress.sent += len(chunk)
        if time.monotonic() - saved > _SAVE_SECONDS:
            notes.save()
            saved = time.monotonic()
    notes.save(last=True)


def _ended(job: Job, protocol: Sas, execution: str) -> bool:
    until = time.monotonic() + min(_POLL_SECONDS, job.budget())
    while not protocol.poll(execution):
        if time.monotonic() > until:
            return False
        # The container tells nobody when it is done; there is nothing to wait for but the clock.
        time.sleep(_POLL_PAUSE_SECONDS)
    return True
