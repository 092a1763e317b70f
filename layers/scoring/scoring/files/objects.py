"""Bytes from S3 and to S3, without a file and without holding an object in memory."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from scoring import aws
from scoring.errors import ScoringFailed, SourceChanged, SourceGone
from scoring.intake.identity import Source

CHUNK_BYTES = 1 << 20
# S3 User Guide, "Amazon S3 multipart upload limits": parts of 5 MiB to 5 GiB, 10,000 of them at most.
_PART_BYTES = 16 << 20
_BROKEN = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError, ConnectionClosedError)
_TRIES_WITHOUT_PROGRESS = 5


def read(s3: Any, source: Source, offset: int = 0) -> Iterator[bytes]:
    """The object from byte `offset` on, in chunks of at most 1 MiB; a dropped connection is taken up where it broke.

    Raises
    ------
    SourceGone, SourceChanged
        The object was deleted, or replaced since the event.
    ScoringFailed
        The bytes read do not match the object's checksum.
    AwsThrottled, AccessDenied
    """
    tries = 0
    while offset < source.size:
        body = _open(s3, source, offset)
        try:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                offset += len(chunk)
                tries = 0
                yield chunk
            return
        except _BROKEN:
            tries += 1
            if tries >= _TRIES_WITHOUT_PROGRESS:
                with aws.errors_named(f"s3:GetObject of {source.uri}"):
                    raise
        except FlexibleChecksumError as error:
            # botocore holds what it has read against the object's checksum, where S3 has one.
            raise ScoringFailed(
                f"What was read of {source.uri} is not what S3 holds: {error}", "Redrive the execution."
            ) from error
        finally:
            body.close()


def _open(s3: Any, source: Source, offset: int) -> Any:
    which = unchanged(source)
    if offset:
        which["Range"] = f"bytes={offset}-"
    with source_errors_named(source, "s3:GetObject"):
        return s3.get_object(**which)["Body"]


def unchanged(source: Source) -> dict[str, str]:
    """What names the dropped object to S3, as it was dropped and not as it may have become."""
    return _version(source) | {"IfMatch": f'"{source.etag}"'}


def _version(source: Source) -> dict[str, str]:
    which = {"Bucket": source.bucket, "Key": source.key}
    return which | ({"VersionId": source.version_id} if source.version_id else {})


@contextmanager
def source_errors_named(source: Source, call: str) -> Iterator[None]:
    """As `aws.errors_named`, and what it means when the dropped file is not there (any more).

    Raises
    ------
    SourceGone, SourceChanged, AwsThrottled, AccessDenied, ScoringFailed
    """
    with aws.errors_named(f"{call} of {source.uri}"):
        try:
            yield
        except ClientError as error:
            if aws.code(error) in ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"):
                raise SourceGone(f"The file {source.uri} is not there any more.") from error
            if aws.code(error) in ("PreconditionFailed", "412"):
                raise SourceChanged(f"The file {source.uri} was replaced while it was being scored.") from error
            raise


def tags(s3: Any, source: Source, wait_seconds: float) -> dict[str, str]:
    """The tags of the dropped object.

    Tags put on by a later call may come after the event, so none at all is asked again for `wait_seconds`.

    Raises
    ------
    SourceGone, AccessDenied, AwsThrottled
    """
    which = _version(source)
    until = time.monotonic() + wait_seconds
    while True:
        with source_errors_named(source, "s3:GetObjectTagging"):
            found = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**which)["TagSet"]}
        if found or time.monotonic() >= until:
            return found
        # S3 has no event for a tag that could be waited for here.
        time.sleep(0.25)


class Upload:
    """A multipart upload: whatever is written appears at once and whole, or never.

    A part is cut only where the writer says that a cut is safe (`checkpoint`), so that a part's end is a place from
    which the work can go on.
    """

    def __init__(self, s3: Any, bucket: str, key: str, upload_id: str, part: int = 0, tail: bytes = b"") -> None:
        self.part = part
        self._s3 = s3
        self._where = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        self._buffer = io.BytesIO()
        self.write(tail)

    @staticmethod
    def create(s3: Any, bucket: str, key: str, tags: Mapping[str, str]) -> str:
        """Begin an upload and give its id; the object gets `tags` when it is completed."""
        with aws.errors_named(f"s3:CreateMultipartUpload of s3://{bucket}/{key}"):
            answer = s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="text/csv", Tagging=urlencode(tags))
        return str(answer["UploadId"])

    def write(self, data: bytes) -> None:
        self._buffer.write(data)

    @property
    def tail(self) -> bytes:
        """What is written and in no part yet."""
        return self._buffer.getvalue()

    def checkpoint(self) -> bool:
        """Upload what is buffered, if it is enough for a part; True if it was."""
        # 16 MiB for the first 80 GB, then growing: 10,000 parts, S3's limit, have to hold a terabyte.
        if self._buffer.tell() < _PART_BYTES * (1 + max(0, self.part - 5_000) // 100):
            return False
        self._flush()
        return True

    def close(self) -> None:
        """Upload the rest as the last part (which may be small, or empty when it is the only one)."""
        if self._buffer.tell() or not self.part:
            self._flush()

    def _flush(self) -> None:
        self.part += 1
        with aws.errors_named(f"s3:UploadPart of s3://{self._where['Bucket']}/{self._where['Key']}"):
            # A file and no bytes: those would be copied.
            self._buffer.seek(0)
            self._s3.upload_part(**self._where, PartNumber=self.part, Body=self._buffer)
        self._buffer = io.BytesIO()
