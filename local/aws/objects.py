"""Repairs: S3 as our reading, writing and tagging relies on it.

- Range counts in a read of a given version (MiniStack answers the whole object: a dropped download cannot be resumed).
- Tags given to CreateMultipartUpload arrive with the object (MiniStack drops them), and the object of an upload of the
  checksum type FULL_OBJECT bears the CRC-32 of all of it (MiniStack knows checksums of checksums only).
- A tag that S3 would refuse is refused, and a part under 5 MiB that is not the last, as on AWS.
- A new object of an old name does not inherit the old one's tags.
"""

import base64
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ministack.services import s3

Response = Any  # MiniStack's, which has no type hints: status, headers, body

SMALLEST_PART = 5 * 1024 * 1024
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
TAG_CHARACTERS = re.compile(r"[\w +\-=.:/@]*")


def repair() -> None:
    get, put, put_tags, create, complete = (
        s3._get_object,
        s3._put_object,
        s3._put_object_tagging,
        s3._create_multipart_upload,
        s3._complete_multipart_upload,
    )

    def get_object(bucket: str, key: str, headers: dict[str, str], query: Mapping[str, Any] | None = None) -> Response:
        if "range" not in headers or not s3._qp(query or {}, "versionId", ""):
            return get(bucket, key, headers, query)
        # The checksum is the whole object's: AWS does not send it along with a part.
        status, fields, body = get(bucket, key, {**headers, "x-amz-checksum-mode": ""}, query)
        if status != 200:
            return status, fields, body
        wanted = s3._parse_range(headers["range"], len(body))
        if wanted is None:
            refusal = {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}
            return 416, refusal, s3._xml_body(s3._range_error_xml(bucket, key))
        first, last = wanted
        part = body[first : last + 1]
        fields |= {"Content-Length": str(len(part)), "Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return 206, fields, part

    def put_object(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Response:
        if refusal := refused_tags(tags_of(headers)):
            return refusal
        s3._object_tags.pop((bucket, key, None), None)
        return put(bucket, key, body, headers)

    def put_object_tagging(bucket: str, key: str, body: bytes, query: Mapping[str, Any] | None = None) -> Response:
        refusal = refused_tags(s3._parse_tags_xml(body))
        return refusal or put_tags(bucket, key, body, query)

    def create_multipart_upload(bucket: str, key: str, headers: dict[str, str]) -> Response:
        tags = tags_of(headers)
        if refusal := refused_tags(tags):
            return refusal
        response = create(bucket, key, headers)
        if created := re.search(rb"<UploadId>(.+?)</UploadId>", response[2]):
            upload = s3._multipart_uploads[created[1].decode()]
            upload["tags"] = tags
            upload["of_whole"] = headers.get("x-amz-checksum-type") == "FULL_OBJECT"
        return response

    def complete_multipart_upload(
        bucket: str, key: str, body: bytes, query: Mapping[str, Any], headers: dict[str, str] | None = None
    ) -> Response:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {})
        named = sorted(int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body))
        parts = [upload["parts"][number] for number in named[:-1] if number in upload.get("parts", {})]
        if any(len(part["body"]) < SMALLEST_PART for part in parts):
            return s3._error("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400)
        response = complete(bucket, key, body, query, headers)
        if response[0] == 200 and upload.get("of_whole") and upload.get("checksum_algorithm") == "CRC32":
            # The very object that its version is, too.
            found = s3._buckets[bucket]["objects"][key]
            crc = zlib.crc32(found["body"]).to_bytes(4, "big")
            found |= {"checksums": {"CRC32": base64.b64encode(crc).decode()}, "checksum_type": "FULL_OBJECT"}
        if response[0] == 200 and "tags" in upload:
            s3._object_tags[(bucket, key, response[1].get("x-amz-version-id"))] = upload["tags"]
        return response

    s3._get_object = get_object
    s3._put_object = put_object
    s3._put_object_tagging = put_object_tagging
    s3._create_multipart_upload = create_multipart_upload
    s3._complete_multipart_upload = complete_multipart_upload


def tags_of(headers: Mapping[str, str]) -> dict[str, str]:
    parsed = parse_qs(headers.get("x-amz-tagging", ""), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def refused_tags(tags: Mapping[str, str]) -> Response:
    problem = None
    if len(tags) > 10:
        problem = "BadRequest", "Object tags cannot be greater than 10"
    elif not all(TAG_CHARACTERS.fullmatch(name) and 1 <= len(name) <= 128 for name in tags):
        problem = "InvalidTag", "The TagKey you have provided is invalid"
    elif not all(TAG_CHARACTERS.fullmatch(value) and len(value) <= 256 for value in tags.values()):
        problem = "InvalidTag", "The TagValue you have provided is invalid"
    return s3._error(*problem, 400) if problem else None
