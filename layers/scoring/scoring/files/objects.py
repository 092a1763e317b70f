"""Bytes from S3 and to S3, without a file and without holding an object in memory."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
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
from scoring.files import ranges
from scoring.files.buffers import Buffer
from scoring.files.seals import sealed
from scoring.files.sending import Sender
from scoring.intake.identity import Source

CHUNK_BYTES = 512 << 10
# S3 User Guide, "Amazon S3 multipart upload limits": parts of 5 MiB to 5 GiB, 10,000 of them at most. They are hardly larger
# than they must be, so that there is memory for as many at once as the network falls behind by; but each is a request.
_PART_BYTES = 6 << 20
_MOST_PARTS_UNDER_WAY = 4
_BROKEN = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError, ConnectionClosedError)
_TRIES_WITHOUT_PROGRESS = 5


def read(
    s3: Any, source: Source, offset: int = 0, stop: int | None = None, connections: ranges.Connections | None = None
) -> Iterator[bytes]:
    """The object from byte `offset` on, to before `stop` or to its end, in chunks of at most 512 KiB; a dropped connection is
    taken up where it broke.

    It comes over one connection, and over more while who reads waits for it and more of them make it faster: `connections`
    tells how many there are.

    Raises
    ------
    SourceGone, SourceChanged
        The object was deleted, or replaced since the event.
    ScoringFailed
        The bytes read do not match the object's checksum.
    AwsThrottled, AccessDenied
    """
    connections = connections or ranges.Connections()
    end = source.size if stop is None else stop
    yield from connections.waited_for(ranges.ahead(partial(stream, s3, source), offset, end, connections))


def stream(s3: Any, source: Source, offset: int, stop: int) -> Iterator[bytes]:
    """The bytes from `offset` to before `stop`, over one connection at a time."""
    tries = 0
    while offset < stop:
        body = _open(s3, source, offset, stop)
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


def _open(s3: Any, source: Source, offset: int, stop: int) -> Any:
    which = unchanged(source)
    # botocore holds a whole object against its checksum.
    if offset or stop < source.size:
        which["Range"] = f"bytes={offset}-{stop - 1}"
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

    A part is cut where it is just large enough (`send`), or where the writer says that the work can go on from its end
    (`checkpoint`). It is on its way then; `there` tells how many have arrived.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        key: str,
        upload_id: str,
        part: int = 0,
        tail: bytes = b"",
        seal: str = "",
        sender: Sender | None = None,
    ) -> None:
        self.part = part
        """How many parts are cut."""
        self._first, self._seal, self._etags = part, seal, list[str]()
        self._s3 = s3
        self._where = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        self._sender = sender or Upload.sender()
        self._under_way: deque[tuple[Future[str], Buffer]] = deque()
        # Memory of a part that is there is used again: to get new one costs a twentieth of all the work.
        self._spare: Buffer | None = None
        self._buffer = Buffer(len(tail) + self._enough)
        self.write(tail)

    @staticmethod
    def sender() -> Sender:
        """What sends the parts of an upload, or of several ones together."""
        return Sender(_PART_BYTES, _MOST_PARTS_UNDER_WAY)

    @staticmethod
    def create(s3: Any, bucket: str, key: str, tags: Mapping[str, str]) -> str:
        """Begin an upload and give its id; the object gets `tags` when it is completed, and the CRC-32 of all of it, which
        S3 makes of those of its parts.
        """
        checksum = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
        where = {"Bucket": bucket, "Key": key}
        with aws.errors_named(f"s3:CreateMultipartUpload of s3://{bucket}/{key}"):
            answer = s3.create_multipart_upload(**where, **checksum, ContentType="text/csv", Tagging=urlencode(tags))
        return str(answer["UploadId"])

    @staticmethod
    def abort(s3: Any, bucket: str, key: str, upload_id: str) -> None:
        """Throw an unfinished upload away; that there is none (any more) is success."""
        with aws.errors_named(f"s3:AbortMultipartUpload of s3://{bucket}/{key}"):
            try:
                s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if aws.code(error) != "NoSuchUpload":
                    raise

    def write(self, data: bytes) -> None:
        self._buffer.write(data)

    @property
    def tail(self) -> bytes:
        """What is written and in no part yet."""
        return self._buffer.getvalue()

    @property
    def there(self) -> int:
        """How many parts are uploaded, with none missing before them.

        Raises
        ------
        AwsThrottled, AccessDenied, ScoringFailed
            What became of the first one that could not be.
        """
        while self._under_way and self._under_way[0][0].done():
            self._arrived()
        return self.part - len(self._under_way)

    def seal(self, part: int) -> str:
        """What the parts up to this one, which is there, are `sealed` with; nothing if those before had no seal."""
        if self._first and not self._seal:
            # A record of before the last deployment: nobody knows what its parts were.
            return ""
        return sealed(self._etags[: part - self._first], self._seal)

    def send(self) -> None:
        """Send what is enough for parts on its way, and nothing more: the work cannot go on from where they end."""
        while self.is_enough:
            self._cut(self._enough)

    def checkpoint(self) -> None:
        """Send all that is written on its way, which `is_enough` for a part or the last of it: the work can go on from here."""
        self._cut(len(self._buffer))

    @property
    def is_enough(self) -> bool:
        return len(self._buffer) >= self._enough

    @property
    def _enough(self) -> int:
        # Growing from half of the 10,000 parts on, which is S3's limit: they have to hold a terabyte.
        return _PART_BYTES * (1 + max(self.part - 5_000, 0) // 50)

    def finish(self) -> None:
        """Send the rest on its way as the last part (which may be small, or empty when it is the only one)."""
        if self._buffer or not self.part:
            self.checkpoint()

    def wait(self) -> None:
        """Wait until all parts that are cut are there.

        Raises
        ------
        AwsThrottled, AccessDenied, ScoringFailed
            What became of the first one that could not be uploaded.
        """
        while self._under_way:
            self._arrived()

    def _arrived(self) -> None:
        sent, body = self._under_way[0]
        self._etags.append(sent.result())
        self._under_way.popleft()
        self._spare = body

    def _cut(self, size: int) -> None:
        # What was sent before and has failed is not worth another part.
        _ = self.there
        self.part += 1
        # A part that the work can go on from is larger, by less than a batch.
        body, rest = self._buffer, Buffer(self._enough * 4 // 3) if self._spare is None else self._spare
        body.split(size, rest)
        self._buffer, self._spare = rest, None
        self._under_way.append((self._sender.send(partial(self._put, self.part, body), size), body))

    def _put(self, part: int, body: Buffer) -> str:
        # With its checksum: botocore would wrap the body to find that, and read it by little.
        checksum = base64.b64encode(body.crc32.to_bytes(4, "big")).decode()
        with aws.errors_named(f"s3:UploadPart of s3://{self._where['Bucket']}/{self._where['Key']}"):
            answer = self._s3.upload_part(**self._where, PartNumber=part, Body=body, ChecksumCRC32=checksum)
        return str(answer["ETag"])
