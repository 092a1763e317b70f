"""How far a file is, kept in S3 beside the output while it is being scored.

One small object an attempt, written after parts: a line of JSON, then the bytes of the output (and of the list of bad
records) that are not enough for a part yet (S3 takes no part under 5 MiB but the last). Whatever happens to a Lambda or a pod, the next one goes on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AwsThrottled
from scoring.observability import logger

# Amazon S3 User Guide, "How to prevent object overwrites with conditional writes".
_NOT_OURS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"}


@dataclass
class Progress:
    """`offset` bytes of the input are scored: `rows` records, `written` bytes of output, `part` parts (that are there, under a
    `seal`; see `seals`) and a `tail` of them. It was `started` then (ISO 8601).

    `crc` is the CRC-32 of the bytes scored, if it is needed; `columns` are the model's, `pace` is what batches came to (see `pace`), `execution` a SAS container's work on a file,
    of which `sent` bytes have gone there, and of whose result `begun` stands for a record that is written in part (see `blocks.Counter`). Of the rows, `padded` were
    short and `rejected` are bad: these are told of in an upload of their own, with parts and a tail, and the `first` of them
    in the `.error`. `etag` is that of the record itself as it was loaded or saved last.
    """

    offset: int = 0
    upload_id: str = ""
    started: str = ""
    part: int = 0
    seal: str = ""
    rows: int = 0
    written: int = 0
    crc: int = 0
    columns: list[str] = field(default_factory=list)
    pace: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    sent: int = 0
    begun: str = ""
    padded: int = 0
    rejected: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)
    rejected_upload_id: str = ""
    rejected_part: int = 0
    rejected_seal: str = ""
    rejected_written: int = 0
    tail: bytes = b""
    rejected_tail: bytes = b""
    etag: str = ""

    def save(self, s3: Any, output: Mapping[str, str]) -> None:
        """Write it, if it is still what was loaded; the first one of an attempt, if there is none yet.

        A function that nobody waits for any more may be at work yet: its execution was stopped and torn down, or its
        successor is under way. It must neither bring back what was deleted nor undo what the other one did.

        Raises
        ------
        AwsThrottled
            Somebody else has written it or deleted it: whoever is waited for loads it anew. Or AWS asks to come back later;
            then it may be written all the same.
        AccessDenied, ScoringFailed
        """
        if not self.write(s3, output):
            raise _not_ours()

    def write(self, s3: Any, output: Mapping[str, str]) -> bool:
        """As `save`; but False if somebody else has written it or deleted it.

        Raises
        ------
        AwsThrottled
            AWS asks to come back later; it may be written all the same.
        AccessDenied, ScoringFailed
        """
        told = asdict(self)
        tail, rejected_tail, etag = told.pop("tail"), told.pop("rejected_tail"), told.pop("etag")
        told["tail_bytes"] = len(tail)
        body = json.dumps(told).encode() + b"\n" + tail + rejected_tail
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        where = {"Bucket": output["bucket"], "Key": output["progress"]}
        with aws.errors_named(f"s3:PutObject of s3://{output['bucket']}/{output['progress']}"):
            try:
                self.etag = s3.put_object(**where, Body=body, **condition)["ETag"]
            except ClientError as error:
                if aws.code(error) not in _NOT_OURS:
                    raise
                return self._is_written(s3, where, body)
        return True

    def _is_written(self, s3: Any, where: Mapping[str, str], body: bytes) -> bool:
        """Whether it is there after all: an answer that is late or lost makes the client write it once more, in vain."""
        try:
            answer = s3.get_object(**where)
        except ClientError as error:
            if aws.code(error) == "NoSuchKey":
                return False
            raise
        if answer["Body"].read() != body:
            return False
        self.etag = answer["ETag"]
        return True

    @classmethod
    def load(cls, s3: Any, output: Mapping[str, str]) -> Progress:
        """Read what was saved last.

        Raises
        ------
        AccessDenied, AwsThrottled, ScoringFailed
        """
        with _reading(output):
            return cls._read(s3, output)

    @classmethod
    def find(cls, s3: Any, output: Mapping[str, str]) -> Progress | None:
        """As `load`; None if there is no record (any more)."""
        with _reading(output):
            try:
                return cls._read(s3, output)
            except ClientError as error:
                if aws.code(error) == "NoSuchKey":
                    return None
                raise

    @classmethod
    def _read(cls, s3: Any, output: Mapping[str, str]) -> Progress:
        answer = s3.get_object(Bucket=output["bucket"], Key=output["progress"])
        line, _, tails = answer["Body"].read().partition(b"\n")
        told = json.loads(line)
        size = told.pop("tail_bytes")
        return cls(**told, tail=tails[:size], rejected_tail=tails[size:], etag=answer["ETag"])


def _reading(output: Mapping[str, str]) -> AbstractContextManager[None]:
    return aws.errors_named(f"s3:GetObject of s3://{output['bucket']}/{output['progress']}")


def forget(s3: Any, output: Mapping[str, str]) -> None:
    """Delete the record of how far the attempt was; that there is none is success."""
    with aws.errors_named(f"s3:DeleteObject of s3://{output['bucket']}/{output['progress']}"):
        s3.delete_object(Bucket=output["bucket"], Key=output["progress"])


def _not_ours() -> AwsThrottled:
    return AwsThrottled("Another function is at work on this attempt, or it was torn down.")


class Notes:
    """Keeps the record of progress up to date beside the work, which waits neither for S3 nor for a record that S3 does not
    take: the next one says more.

    As a context: nothing is under way any more when it ends.
    """

    def __init__(self, s3: Any, output: Mapping[str, str], progress: Progress) -> None:
        self._s3, self._output, self._progress = s3, output, progress
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)

    def save(self, *, last: bool = False) -> None:
        """Begin to write what `progress` says now; only if nothing is under way, or if it is the `last`.

        Raises
        ------
        AwsThrottled
            Somebody else has written it or deleted it: nobody waits for this work any more.
        AccessDenied, ScoringFailed
        """
        if self._last and self._last.done():
            self._last.result()
        elif self._last and not last:
            return
        self._last = self._pool.submit(self._write, replace(self._progress))

    def settle(self) -> None:
        """Wait until the last one is written; raises as `save` does."""
        if self._last:
            self._last.result()

    def _write(self, record: Progress) -> None:
        record.etag = self._progress.etag
        try:
            is_ours = record.write(self._s3, self._output)
        except AwsThrottled as error:
            logger.warning("progress not saved", reason=error.summary)
            return
        if not is_ours:
            raise _not_ours()
        self._progress.etag = record.etag
