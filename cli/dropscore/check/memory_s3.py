"""S3 in memory, as far as dropscore uses it: for `dropscore check`, which needs no AWS, and for tests with hundreds of calls, of
which each costs a hundredth of what it costs by botocore and moto. `test_memory_s3.py` holds each answer and each error
against theirs.
"""

# ruff: noqa: ARG002, N803, S324  (the names of S3, and its MD5)

from __future__ import annotations

import base64
import hashlib
import io
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

STATUSES = {
    "404": 404,
    "412": 412,
    "BadDigest": 400,
    "EntityTooSmall": 400,
    "InvalidPart": 400,
    "InvalidRange": 416,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "PreconditionFailed": 412,
}


@dataclass
class _Object:
    body: bytes
    etag: str
    tags: dict[str, str]
    checksum: dict[str, str] = field(default_factory=dict)
    upload_id: str = ""


@dataclass
class _Upload:
    where: tuple[str, str]
    tags: dict[str, str]
    parts: dict[int, _Object] = field(default_factory=dict)


def _crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _matches(found: _Object, expected: str | None) -> bool:
    return expected is None or expected.strip('"') == found.etag.strip('"')


class MemoryS3:
    """A client, and the buckets behind it: each is there."""

    least_part_bytes = 5 << 20
    """Of any part but the last."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], _Object] = {}
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
        Tagging: str = "",
    ) -> dict[str, Any]:
        where = Bucket, Key
        with self._lock:
            if IfNoneMatch == "*" and where in self._objects:
                raise _refused("PreconditionFailed", "PutObject")
            if IfMatch is not None and not _matches(self._found(where, "PutObject"), IfMatch):
                raise _refused("PreconditionFailed", "PutObject")
            # The client sends a CRC-32 with what it puts.
            checksum = {"ChecksumCRC32": _crc32(Body)}
            self._objects[where] = _Object(Body, _etag(Body), dict(parse_qsl(Tagging)), checksum)
            return {"ETag": self._objects[where].etag, **checksum}

    def get_object(
        self, *, Bucket: str, Key: str, IfMatch: str | None = None, Range: str | None = None
    ) -> dict[str, Any]:
        found, status = self._found((Bucket, Key), "GetObject"), 200
        if not _matches(found, IfMatch):
            raise _refused("PreconditionFailed", "GetObject")
        content = found.body
        if Range is not None:
            start, _, last = Range.removeprefix("bytes=").partition("-")
            if int(start) >= len(content):
                raise _refused("InvalidRange", "GetObject")
            status, content = 206, content[int(start) : int(last) + 1 if last else None]
        return {
            "ETag": found.etag,
            "ContentLength": len(content),
            "Body": StreamingBody(io.BytesIO(content), len(content)),
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    def head_object(
        self, *, Bucket: str, Key: str, IfMatch: str | None = None, ChecksumMode: str = ""
    ) -> dict[str, Any]:
        """An answer without a body names no error but by its status."""
        found = self._objects.get((Bucket, Key))
        if found is None:
            raise _refused("404", "HeadObject")
        if not _matches(found, IfMatch):
            raise _refused("412", "HeadObject")
        checksum = found.checksum if ChecksumMode == "ENABLED" else {}
        return {"ETag": found.etag, "ContentLength": len(found.body), **checksum}

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        with self._lock:
            self._objects.pop((Bucket, Key), None)
        return {}

    def get_object_tagging(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        tags = self._found((Bucket, Key), "GetObjectTagging").tags
        return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def put_object_tagging(self, *, Bucket: str, Key: str, Tagging: Mapping[str, Any]) -> dict[str, Any]:
        found = self._found((Bucket, Key), "PutObjectTagging")
        found.tags = {tag["Key"]: tag["Value"] for tag in Tagging["TagSet"]}
        return {}

    def create_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        ContentType: str = "",
        Tagging: str = "",
        ChecksumAlgorithm: str = "",
        ChecksumType: str = "",
    ) -> dict[str, Any]:
        upload_id = uuid.uuid4().hex
        self._uploads[upload_id] = _Upload((Bucket, Key), dict(parse_qsl(Tagging)))
        return {"UploadId": upload_id}

    def upload_part(
        self, *, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: Any, ChecksumCRC32: str | None = None
    ) -> dict[str, Any]:
        body = Body if isinstance(Body, bytes) else Body.read()
        if ChecksumCRC32 not in (None, _crc32(body)):
            raise _refused("BadDigest", "UploadPart")
        with self._lock:
            upload = self._upload((Bucket, Key), UploadId, "UploadPart")
            upload.parts[PartNumber] = _Object(body, _etag(body), {})
            return {"ETag": upload.parts[PartNumber].etag}

    def upload_part_copy(
        self,
        *,
        Bucket: str,
        Key: str,
        UploadId: str,
        PartNumber: int,
        CopySource: Mapping[str, str],
        CopySourceRange: str,
        CopySourceIfMatch: str | None = None,
    ) -> dict[str, Any]:
        source = self._found((CopySource["Bucket"], CopySource["Key"]), "UploadPartCopy")
        if not _matches(source, CopySourceIfMatch):
            raise _refused("PreconditionFailed", "UploadPartCopy")
        start, _, last = CopySourceRange.removeprefix("bytes=").partition("-")
        body = source.body[int(start) : int(last) + 1]
        with self._lock:
            upload = self._upload((Bucket, Key), UploadId, "UploadPartCopy")
            upload.parts[PartNumber] = _Object(body, _etag(body), {})
        return {"CopyPartResult": {"ETag": upload.parts[PartNumber].etag}}

    def delete_objects(self, *, Bucket: str, Delete: Mapping[str, Any]) -> dict[str, Any]:
        for each in Delete["Objects"]:
            self.delete_object(Bucket=Bucket, Key=each["Key"])
        return {}

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> dict[str, Any]:
        with self._lock:
            keys = sorted(key for bucket, key in self._objects if bucket == Bucket and key.startswith(Prefix))
        # Where there is none, a client finds no list.
        return {"Contents": [{"Key": key} for key in keys]} if keys else {}

    def list_parts(self, *, Bucket: str, Key: str, UploadId: str) -> dict[str, Any]:
        with self._lock:
            parts = sorted(self._upload((Bucket, Key), UploadId, "ListParts").parts.items())
        listed = [{"PartNumber": number, "Size": len(part.body), "ETag": part.etag} for number, part in parts]
        # Where there is none, a client finds no list.
        return {"Parts": listed} if listed else {}

    def get_paginator(self, operation: str) -> _Paginator:
        assert operation == "list_parts"
        return _Paginator(self)

    def complete_multipart_upload(
        self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: Mapping[str, Any]
    ) -> dict[str, Any]:
        where, name = (Bucket, Key), "CompleteMultipartUpload"
        with self._lock:
            there = self._objects.get(where)
            if there and there.upload_id == UploadId:
                return {"Bucket": Bucket, "Key": Key, "ETag": there.etag}
            upload = self._upload(where, UploadId, name)
            parts: list[_Object] = []
            for each in MultipartUpload["Parts"]:
                part = upload.parts.get(each["PartNumber"])
                if part is None or not _matches(part, each["ETag"]):
                    raise _refused("InvalidPart", name)
                # The last one alone may be small.
                if parts and len(parts[-1].body) < self.least_part_bytes:
                    raise _refused("EntityTooSmall", name)
                parts.append(part)
            md5 = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)).hexdigest()
            body = b"".join(part.body for part in parts)
            self._objects[where] = _Object(body, f'"{md5}-{len(parts)}"', upload.tags, upload_id=UploadId)
            del self._uploads[UploadId]
            return {"Bucket": Bucket, "Key": Key, "ETag": self._objects[where].etag}

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> dict[str, Any]:
        with self._lock:
            self._upload((Bucket, Key), UploadId, "AbortMultipartUpload")
            del self._uploads[UploadId]
        return {}

    def _found(self, where: tuple[str, str], operation: str) -> _Object:
        if where not in self._objects:
            raise _refused("NoSuchKey", operation)
        return self._objects[where]

    def _upload(self, where: tuple[str, str], upload_id: str, operation: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.where != where:
            raise _refused("NoSuchUpload", operation)
        return upload


class _Paginator:
    """One page: who lists parts here has fewer than a page holds."""

    def __init__(self, s3: MemoryS3) -> None:
        self._s3 = s3

    def paginate(self, **which: str) -> Iterator[dict[str, Any]]:
        yield self._s3.list_parts(**which)


def _refused(code: str, operation: str) -> ClientError:
    status = {"HTTPStatusCode": STATUSES[code]}
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": status}, operation)  # type: ignore[typeddict-item]
