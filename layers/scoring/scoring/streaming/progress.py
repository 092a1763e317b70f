"""How far a file is, kept in S3 beside the output while it is being scored.

One small object an attempt, written after parts: a line of JSON, then the bytes of the output (and of the list of bad
records) that are not enough for a part yet (S3 takes no part under 5 MiB but the last). Whatever happens to a Lambda or a pod, the next one goes on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AwsThrottled

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
        AccessDenied
        """
        told = asdict(self)
        tail, rejected_tail, etag = told.pop("tail"), told.pop("rejected_tail"), told.pop("etag")
        told["tail_bytes"] = len(tail)
        body = json.dumps(told).encode() + b"\n" + tail + rejected_tail
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with aws.errors_named(f"s3:PutObject of s3://{output['bucket']}/{output['progress']}"):
            try:
                answer = s3.put_object(Bucket=output["bucket"], Key=output["progress"], Body=body, **condition)
            except ClientError as error:
                if aws.code(error) in _NOT_OURS:
                    raise AwsThrottled("Another function is at work on this attempt, or it was torn down.") from error
                raise
        self.etag = answer["ETag"]

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
