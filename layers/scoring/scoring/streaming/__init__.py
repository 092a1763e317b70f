"""From S3 through the model and back to S3: the work of stream_file, in steps that each fit one Lambda.

The `scoring` of an attempt's state goes through RUNNING (come back) and DONE (all parts are uploaded). How far a file is lies
in S3 beside the output (`progress`), and so do the ids of its uploads: a step that is killed costs what it did since the last
record, a few parts at most, and whatever happens, the uploads can be aborted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scoring import protocols
from scoring.errors import AwsThrottled, EmptyFile
from scoring.files import checksums, objects
from scoring.files.rejects import Limit
from scoring.intake.identity import Source, rejected_key
from scoring.protocols import Sas, SasRows
from scoring.streaming import batches, whole_file
from scoring.streaming.job import Job
from scoring.streaming.progress import Progress
from scoring.streaming.silence import loading, outlast

# What a protocol sends at most, and what a profile may lower it to.
_LIMITS = {"most_in_flight": "max_in_flight", "most_bytes": "max_batch_bytes", "most_records": "max_batch_records"}

__all__ = ["Job", "Progress", "advance", "loading", "open_upload", "outlast"]


def open_upload(
    s3: Any, source: Source, request: Mapping[str, Any], tags: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """Refuse an empty file, begin the upload of the outcome and the record of its progress; or go on with those that a step
    has begun that was killed, or that is under way at the same time.

    Raises
    ------
    EmptyFile, SourceGone, SourceChanged, AccessDenied, AwsThrottled
    """
    if not source.size:
        raise EmptyFile(f"The file {source.uri} is empty.")
    output = request["output"]
    checksum = checksums.held(s3, source)
    begun = Progress.find(s3, output) or _begin(s3, request, tags, now)
    ids = {"upload_id": begun.upload_id, "rejected_upload_id": begun.rejected_upload_id}
    return {name: upload for name, upload in ids.items() if upload} | {"started": begun.started, "checksum": checksum}


def _begin(s3: Any, request: Mapping[str, Any], tags: Mapping[str, str], now: datetime) -> Progress:
    """The first record of an attempt, with the ids of its uploads: an execution that is stopped now holds them nowhere else."""
    output = request["output"]
    bucket, key, listed = output["bucket"], output["key"], rejected_key(output["key"])
    own = Progress(upload_id=objects.Upload.create(s3, bucket, key, tags), started=now.isoformat())
    if Limit.of(request.get("max_errors")):
        own.rejected_upload_id = objects.Upload.create(s3, bucket, listed, tags)
    try:
        own.save(s3, output)
    except AwsThrottled:
        there = Progress.find(s3, output)
        if there and there.upload_id == own.upload_id:
            # Only the answer was lost.
            return there
        # Another step was first: what it has begun counts. Or nobody, and it is tried again.
        objects.Upload.abort(s3, bucket, key, own.upload_id)
        if own.rejected_upload_id:
            objects.Upload.abort(s3, bucket, listed, own.rejected_upload_id)
        if not there:
            raise
        return there
    return own


def advance(job: Job) -> dict[str, Any]:
    """Go on with the file as far as this Lambda's time allows.

    Returns
    -------
    dict
        The `scoring` of the attempt's state with a `status` of RUNNING or DONE; with DONE come `rows`, `bytes` and `parts`.

    Raises
    ------
    InvalidFile, InvalidTags, ModelFailed, ModelTimeout, RowCountMismatch, EmptyFile, SourceGone, SourceChanged
        What the file or the model did.
    NoAnswer
        The model fell silent: the pod's state tells why.
    """
    any_rows = job.request.get("rows") == "any"
    protocol: Any = protocols.of_request(job.request, job.model)
    assert not isinstance(protocol, protocols.Auto), "await_pod has found it"
    if isinstance(protocol, Sas):
        if job.request.get("split") != "rows":
            return whole_file.advance(job, Sas(job.model, any_rows=any_rows))
        protocol = SasRows(job.model, any_rows=any_rows)
    for most, limit in _LIMITS.items():
        setattr(protocol, most, min(getattr(protocol, most), job.request.get("limits", {}).get(limit, math.inf)))
    return batches.advance(job, protocol)
