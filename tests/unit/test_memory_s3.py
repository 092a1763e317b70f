"""S3 in memory answers and refuses as moto does to a real client, whatever it is asked in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dropscore.check.memory_s3 import MemoryS3
from tests.builders import OUTPUT_BUCKET
from tests.examples import examples

NEVER = "never"
"""The id of an upload that there never was, and an ETag of nothing."""


class Asked:
    """One client, asked step by step; uploads and ETags are named by when they were first seen, since ids are random."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._uploads: list[str] = []
        self._parts: dict[tuple[str, int], str] = {}
        self._etags: list[str] = []

    def ask(self, operation: str, key: str, **arguments: Any) -> dict[str, Any] | tuple[str, int]:
        """What is answered, or the code and the status of the refusal."""
        if "IfMatch" in arguments:
            arguments["IfMatch"] = self._chosen(self._etags, arguments["IfMatch"])
        if "UploadId" in arguments:
            arguments["UploadId"] = upload = self._chosen(self._uploads, arguments["UploadId"])
        if operation == "complete_multipart_upload":
            # One below zero is asked for by another ETag than its own.
            parts = [(abs(number), self._parts.get((upload, number), NEVER)) for number in arguments.pop("parts")]
            arguments["MultipartUpload"] = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        try:
            if operation == "list_parts":
                (answer,) = self._s3.get_paginator(operation).paginate(Bucket=OUTPUT_BUCKET, Key=key, **arguments)
            else:
                answer = getattr(self._s3, operation)(Bucket=OUTPUT_BUCKET, Key=key, **arguments)
        except ClientError as error:
            assert error.operation_name.lower() == operation.replace("_", "")
            return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        except KeyError as error:
            # Moto forgets to look for it: S3 API Reference, the errors of UploadPart and CompleteMultipartUpload.
            if isinstance(self._s3, MemoryS3) or operation not in ("upload_part", "complete_multipart_upload"):
                raise
            assert error.args == (arguments["UploadId"],)
            return "NoSuchUpload", 404
        if operation == "create_multipart_upload":
            self._uploads.append(answer["UploadId"])
        elif operation == "upload_part":
            self._parts[upload, arguments["PartNumber"]] = answer["ETag"]
        elif "ETag" in answer:
            self._etags.append(answer["ETag"])
        if "Body" in answer:
            assert "iter_chunks" in dir(answer["Body"])
            answer["Body"] = answer["Body"].read()
        return dict(answer)

    @staticmethod
    def _chosen(seen: list[str], number: int | None) -> str:
        return NEVER if number is None or not seen else seen[number % len(seen)]


def told(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What the code reads of an answer, but for ids."""
    names = ["ETag", "Body", "ContentLength", *(["ChecksumCRC32"] if operation == "head_object" else [])]
    found: dict[str, Any] = {name: answer.get(name) for name in names}
    found["Parts"] = [(part["PartNumber"], part["Size"], part["ETag"]) for part in answer.get("Parts", ())]
    found["TagSet"] = {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", ())}
    return found


KEY = st.sampled_from(["a.scoreout", "b"])
BODY = st.sampled_from([b"", b"one", b"two\n", bytes(range(256))])
TAGGING = st.sampled_from(["", "execution=1", "execution=2&sequencer=0065F1A2"])
TAG_SET = st.sampled_from(
    [[{"Key": "execution", "Value": "1"}], [{"Key": "a", "Value": "00"}, {"Key": "b", "Value": "a b"}]]
)
SEEN = st.sampled_from([0, 1, 2, 3, None])
UPLOAD = st.sampled_from([0, 0, 0, 1, 2, None])
NUMBER = st.integers(1, 3)
RANGE = st.sampled_from(["bytes=0-", "bytes=2-", "bytes=1-1", "bytes=2-900", "bytes=3-", "bytes=256-300"])


def step(operation: str, *, some: dict[str, st.SearchStrategy[Any]] | None = None, **always: Any) -> Any:
    """An operation with its arguments; those of `some` may be left out."""
    return st.tuples(st.just(operation), KEY, st.fixed_dictionaries(always, optional=some or {}))


UPLOADED = "a.scoreout"
STEPS = st.one_of(
    step("put_object", Body=BODY, some={"IfMatch": SEEN, "Tagging": TAGGING}),
    step("put_object", Body=BODY, IfNoneMatch=st.just("*")),
    step("get_object", some={"IfMatch": SEEN, "Range": RANGE}),
    step("head_object", some={"IfMatch": SEEN, "ChecksumMode": st.just("ENABLED")}),
    step("delete_object"),
    step("get_object_tagging"),
    step("put_object_tagging", Tagging=st.builds(lambda tags: {"TagSet": tags}, TAG_SET)),
    # An upload is asked for under its own key: moto does not look.
    *(
        st.tuples(st.just(operation), st.just(UPLOADED), st.fixed_dictionaries(arguments))
        for operation, arguments in {
            "create_multipart_upload": {"ContentType": st.just("text/csv"), "Tagging": TAGGING},
            "upload_part": {"UploadId": UPLOAD, "PartNumber": NUMBER, "Body": BODY},
            "list_parts": {"UploadId": UPLOAD},
            "complete_multipart_upload": {
                "UploadId": UPLOAD,
                "parts": st.lists(NUMBER, min_size=1, max_size=3, unique=True).map(sorted),
            },
            "abort_multipart_upload": {"UploadId": UPLOAD},
        }.items()
    ),
)
OBJECT = [
    ("put_object", "b", {"Body": b"one", "IfMatch": None}),
    ("put_object", "b", {"Body": b"one", "IfNoneMatch": "*"}),
    ("put_object", "b", {"Body": b"two", "IfNoneMatch": "*"}),
    ("put_object", "b", {"Body": b"one", "Tagging": "execution=2&sequencer=0065F1A2"}),
    ("get_object_tagging", "b", {}),
    ("put_object", "b", {"Body": b"two", "IfMatch": None}),
    ("put_object", "b", {"Body": b"three", "IfMatch": 0}),
    ("put_object", "b", {"Body": b"four", "IfMatch": 0}),
    ("get_object_tagging", "b", {}),
    *(
        ("get_object", "b", {"Range": f"bytes={wanted}"})
        for wanted in ("0-", "2-", "1-1", "1-2", "2-900", "4-", "5-", "6-9")
    ),
    ("get_object", "b", {"IfMatch": 0}),
    ("get_object", "b", {"IfMatch": 1}),
    ("head_object", "b", {"IfMatch": 0}),
    ("head_object", "b", {"IfMatch": 1}),
    ("head_object", "b", {"ChecksumMode": "ENABLED"}),
    ("put_object_tagging", "b", {"Tagging": {"TagSet": [{"Key": "b", "Value": "a b"}]}}),
    ("get_object_tagging", "b", {}),
    ("delete_object", "b", {}),
    *((operation, "b", {}) for operation in ("get_object", "head_object", "get_object_tagging", "delete_object")),
]
UPLOAD_OF_TWO = [
    ("create_multipart_upload", UPLOADED, {"ContentType": "text/csv", "Tagging": "execution=1"}),
    ("list_parts", UPLOADED, {"UploadId": 0}),
    ("upload_part", UPLOADED, {"UploadId": 0, "PartNumber": 2, "Body": b"two"}),
    ("upload_part", UPLOADED, {"UploadId": 0, "PartNumber": 1, "Body": b"lost"}),
    ("upload_part", UPLOADED, {"UploadId": 0, "PartNumber": 1, "Body": b"one"}),
    ("list_parts", UPLOADED, {"UploadId": 0}),
    ("get_object", UPLOADED, {}),
    ("complete_multipart_upload", UPLOADED, {"UploadId": 0, "parts": [1, 3]}),
    ("complete_multipart_upload", UPLOADED, {"UploadId": 0, "parts": [1, -2]}),
    ("complete_multipart_upload", UPLOADED, {"UploadId": 0, "parts": [1, 2]}),
    ("get_object", UPLOADED, {}),
    ("get_object", UPLOADED, {"IfMatch": 0, "Range": "bytes=2-"}),
    ("head_object", UPLOADED, {"ChecksumMode": "ENABLED"}),
    ("get_object_tagging", UPLOADED, {}),
    ("list_parts", UPLOADED, {"UploadId": 0}),
    ("upload_part", UPLOADED, {"UploadId": 0, "PartNumber": 3, "Body": b"late"}),
    ("complete_multipart_upload", UPLOADED, {"UploadId": 0, "parts": [1, 2]}),
    ("abort_multipart_upload", UPLOADED, {"UploadId": 0}),
]


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(least=1, steps=OBJECT)
@example(least=1, steps=UPLOAD_OF_TWO)
@example(least=5 << 20, steps=UPLOAD_OF_TWO)
@given(least=st.sampled_from([1, 5 << 20]), steps=st.lists(STEPS, min_size=8, max_size=25))
def test_it_answers_and_refuses_as_moto_does(
    s3: Any, monkeypatch: pytest.MonkeyPatch, least: int, steps: list[tuple[str, str, dict[str, Any]]]
) -> None:
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", least)
    monkeypatch.setattr(MemoryS3, "least_part_bytes", least)
    for key in ("a.scoreout", "b"):
        s3.delete_object(Bucket=OUTPUT_BUCKET, Key=key)
    theirs, ours = Asked(s3), Asked(MemoryS3())
    for operation, key, arguments in steps:
        expected = theirs.ask(operation, key, **arguments)
        found = ours.ask(operation, key, **arguments)
        if isinstance(expected, tuple) or isinstance(found, tuple):
            assert found == expected, (operation, key, arguments)
        else:
            assert told(operation, found) == told(operation, expected), (operation, key, arguments)


def test_a_part_that_is_not_what_was_sent_is_refused() -> None:
    """As S3 does; moto looks at no checksum of a part."""
    s3 = MemoryS3()
    upload = {"Bucket": OUTPUT_BUCKET, "Key": "a"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    with pytest.raises(ClientError, match="BadDigest"):
        s3.upload_part(**upload, PartNumber=1, Body=b"one", ChecksumCRC32="AAAAAA==")


def test_a_range_of_another_object_than_the_one_that_is_named_is_not_copied() -> None:
    """As S3 does; moto looks at no condition of a part that is copied."""
    s3, place = MemoryS3(), {"Bucket": OUTPUT_BUCKET, "Key": "a"}
    etag = s3.put_object(**place, Body=b"one")["ETag"]
    upload = place | {"UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    part = {"PartNumber": 1, "CopySource": place, "CopySourceRange": "bytes=0-1", "CopySourceIfMatch": etag}
    assert s3.upload_part_copy(**upload, **part)
    s3.put_object(**place, Body=b"two")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.upload_part_copy(**upload, **part)


def test_ranges_are_copied_into_parts_and_objects_listed_and_deleted_together_as_by_moto(s3: Any) -> None:
    seen = []
    for client in (s3, MemoryS3()):
        place = {"Bucket": OUTPUT_BUCKET}
        for key, body in (("shards/1", b"one"), ("shards/2", b"two"), ("other", b"three")):
            client.put_object(**place, Key=key, Body=body)
        upload = place | {"Key": "a", "UploadId": client.create_multipart_upload(**place, Key="a")["UploadId"]}
        copied = client.upload_part_copy(
            **upload, PartNumber=1, CopySource=place | {"Key": "shards/2"}, CopySourceRange="bytes=1-2"
        )
        parts = client.list_parts(**upload)["Parts"]
        with pytest.raises(ClientError, match=r"NoSuchKey|404"):
            client.upload_part_copy(
                **upload, PartNumber=2, CopySource=place | {"Key": "shards/3"}, CopySourceRange="bytes=0-1"
            )
        listed = [each["Key"] for each in client.list_objects_v2(**place, Prefix="shards/")["Contents"]]
        gone = [{"Key": key} for key in ("shards/1", "shards/2", "shards/3")]
        client.delete_objects(**place, Delete={"Objects": gone, "Quiet": True})
        seen.append(
            (
                copied["CopyPartResult"]["ETag"],
                [(part["PartNumber"], part["Size"], part["ETag"]) for part in parts],
                listed,
                "Contents" in client.list_objects_v2(**place, Prefix="shards/"),
                client.get_object(**place, Key="other")["Body"].read(),
            )
        )
    assert seen[0] == seen[1]
    assert seen[0][2] == ["shards/1", "shards/2"]
