"""Bytes from S3 whatever the connection does, and to S3 in parts that can be gone on from."""

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.httpchecksum import Sha256Checksum, StreamingChecksumBody
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from scoring.errors import AccessDenied, AwsThrottled, ScoringFailed, SourceChanged, SourceGone
from scoring.files import objects
from scoring.intake.identity import Source
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, source

CONTENT = bytes(range(256)) * 10_000


def drop(s3: Any, body: bytes = CONTENT, **tags: str) -> Source:
    """A dropped file."""
    tagging = "&".join(f"{key}={value}" for key, value in tags.items())
    answer = s3.put_object(Bucket=INPUT_BUCKET, Key="incoming/a.csv", Body=body, Tagging=tagging)
    return source(
        key="incoming/a.csv",
        etag=answer["ETag"].strip('"'),
        size=len(body),
        version_id=answer.get("VersionId", ""),
    )


class Breaking:
    """S3 whose answers break off after so many bytes, one answer after the other; then they are whole."""

    def __init__(self, s3: Any, *breaks: int, error: Exception | None = None) -> None:
        self._s3, self._breaks, self._error = s3, list(breaks), error
        self.asked: list[dict[str, Any]] = []

    def get_object(self, **which: Any) -> dict[str, Any]:
        self.asked.append(which)
        answer: dict[str, Any] = self._s3.get_object(**which)
        if self._breaks:
            whole = answer["Body"].read()
            answer["Body"] = StreamingBody(Raw(whole[: self._breaks.pop(0)], self._error), len(whole))
        return answer


class Raw(io.BytesIO):
    """A connection that ends early, with an error or without one."""

    def __init__(self, data: bytes, error: Exception | None) -> None:
        super().__init__(data)
        self._error = error

    def read(self, amount: int | None = -1) -> bytes:
        data = super().read(amount)
        if not data and self._error:
            raise self._error
        return data


def test_a_file_is_read_in_chunks_of_a_mebibyte_at_most(s3: Any) -> None:
    chunks = list(objects.read(s3, drop(s3)))
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) <= 1 << 20


def test_a_file_is_read_from_where_the_last_step_stopped(s3: Any) -> None:
    assert b"".join(objects.read(s3, drop(s3), 1000)) == CONTENT[1000:]
    assert list(objects.read(s3, drop(s3), len(CONTENT))) == []


@pytest.mark.parametrize(
    "error",
    [ProtocolError("Connection broken"), ReadTimeoutError(None, "", "slow"), None],  # type: ignore[arg-type]
)
def test_a_dropped_connection_is_taken_up_where_it_broke(s3: Any, error: Exception | None) -> None:
    found = drop(s3)
    breaking = Breaking(s3, 1_000_000, 0, 700_000, error=error)
    assert b"".join(objects.read(breaking, found, 10)) == CONTENT[10:]
    assert [which["Range"] for which in breaking.asked] == [
        "bytes=10-",
        "bytes=1000010-",
        "bytes=1000010-",
        "bytes=1700010-",
    ]
    assert {which["IfMatch"] for which in breaking.asked} == {f'"{found.etag}"'}


def test_a_connection_that_never_brings_a_byte_is_given_up(s3: Any) -> None:
    breaking = Breaking(s3, 0, 0, 0, 100, 0, 0, 0, 0, 0, error=ProtocolError("broken"))
    with pytest.raises(AwsThrottled, match=r"s3:GetObject of s3://dropscore-input/incoming/a\.csv"):
        list(objects.read(breaking, drop(s3)))
    assert len(breaking.asked) == 8, "progress starts the count anew"


def test_bytes_that_do_not_match_their_checksum_are_no_file(s3: Any) -> None:
    """The client compares by itself; ours asks for it whatever the environment says."""
    answer = s3.put_object(Bucket=INPUT_BUCKET, Key="incoming/a.csv", Body=b"a\n1\n", ChecksumAlgorithm="SHA256")
    found = source(key="incoming/a.csv", etag=answer["ETag"].strip('"'), size=4, version_id="")
    assert b"".join(objects.read(s3, found)) == b"a\n1\n"
    expected = base64.b64encode(hashlib.sha256(b"other").digest()).decode()

    class Corrupting:
        def get_object(self, **_: Any) -> dict[str, Any]:
            raw = AWSResponse("", 200, {}, io.BytesIO(b"a\n1\n"))
            return {"Body": StreamingChecksumBody(raw.raw, 4, Sha256Checksum(), expected)}

    with pytest.raises(ScoringFailed, match="is not what S3 holds"):
        b"".join(objects.read(Corrupting(), found))


def test_a_file_that_was_replaced_is_changed_not_mixed(s3: Any) -> None:
    found = drop(s3)
    drop(s3, b"newer")
    with pytest.raises(SourceChanged, match="was replaced"):
        list(objects.read(s3, found))


def test_a_file_that_is_replaced_in_the_middle_is_changed_not_mixed(s3: Any) -> None:
    found = drop(s3)

    def read() -> Iterator[bytes]:
        for chunk in objects.read(Breaking(s3, 1000, error=ProtocolError("broken")), found):
            yield chunk
            drop(s3, b"newer" * 1_000_000)

    with pytest.raises(SourceChanged):
        list(read())


def test_a_file_that_was_deleted_is_gone(s3: Any) -> None:
    found = drop(s3)
    s3.delete_object(Bucket=found.bucket, Key=found.key)
    with pytest.raises(SourceGone, match="is not there any more"):
        list(objects.read(s3, found))
    with pytest.raises(SourceGone):
        objects.tags(s3, found, 0)


@pytest.fixture
def versioned(s3: Any) -> Any:
    s3.put_bucket_versioning(Bucket=INPUT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3


def test_with_versions_the_dropped_one_is_read_even_after_it_was_replaced(versioned: Any) -> None:
    found = drop(versioned, model="old")
    drop(versioned, b"newer", model="new")
    assert b"".join(objects.read(versioned, found)) == CONTENT
    assert objects.tags(versioned, found, 0) == {"model": "old"}


def test_a_version_that_was_deleted_is_gone(versioned: Any) -> None:
    found = drop(versioned)
    versioned.delete_object(Bucket=found.bucket, Key=found.key, VersionId=found.version_id)
    with pytest.raises(SourceGone):
        list(objects.read(versioned, found))


@pytest.mark.parametrize(
    ("code", "error"),
    [("AccessDenied", AccessDenied), ("SlowDown", AwsThrottled), ("403", AccessDenied), ("NoSuchVersion", SourceGone)],
)
def test_what_s3_refuses_is_named(code: str, error: type[Exception]) -> None:
    class Refusing:
        def get_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")

    with pytest.raises(error):
        list(objects.read(Refusing(), source()))


class Tagged:
    """S3 where the tags come after the object, by a call of their own."""

    def __init__(self, empty_answers: int) -> None:
        self._empty_answers = empty_answers

    def get_object_tagging(self, **_: Any) -> dict[str, Any]:
        self._empty_answers -= 1
        return {"TagSet": [{"Key": "model_image", "Value": "credit"}] if self._empty_answers < 0 else []}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on only when somebody sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(objects.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(objects.time, "sleep", sleep)
    return now


def test_tags_that_come_late_are_waited_for_but_not_for_ever(clock: list[float]) -> None:
    assert objects.tags(Tagged(3), source(), 2) == {"model_image": "credit"}
    assert clock[0] == 0.75
    assert objects.tags(Tagged(1000), source(), 2) == {}
    assert clock[0] == 2.75


def test_tags_that_are_there_are_not_waited_for(clock: list[float], s3: Any) -> None:
    assert objects.tags(s3, drop(s3, cpu="2", memory="1Gi"), 30) == {"cpu": "2", "memory": "1Gi"}
    assert objects.tags(s3, drop(s3), 0) == {}
    assert clock[0] == 0


MIB = 1 << 20


class Parts:
    """S3 that remembers the sizes of parts."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def upload_part(self, *, PartNumber: int, Body: BinaryIO, **_: Any) -> None:  # noqa: N803  (boto3's names)
        self.sizes[PartNumber] = len(Body.read())


def test_a_part_is_cut_where_the_writer_allows_and_not_before_it_is_large_enough() -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u")
    cut = []
    for _ in range(9):
        upload.write(b"x" * 6 * MIB)
        cut.append(upload.checkpoint())
    upload.close()
    assert cut == [False, False, True] * 3
    assert s3.sizes == {1: 18 * MIB, 2: 18 * MIB, 3: 18 * MIB}
    assert upload.tail == b""


@pytest.mark.parametrize(("rest", "sizes"), [(b"", {1: 18 * MIB}), (b"rest", {1: 18 * MIB, 2: 4})])
def test_closing_uploads_what_is_left_if_anything_is(rest: bytes, sizes: dict[int, int]) -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u")
    upload.write(b"x" * 18 * MIB)
    upload.checkpoint()
    upload.write(rest)
    upload.close()
    assert s3.sizes == sizes


def test_an_upload_has_one_part_at_least() -> None:
    s3 = Parts()
    objects.Upload(s3, "b", "k", "u").close()
    assert s3.sizes == {1: 0}


def test_an_upload_goes_on_behind_the_parts_of_earlier_steps() -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u", part=7)
    upload.write(b"x")
    upload.close()
    assert (s3.sizes, upload.part) == ({8: 1}, 8)


def test_parts_grow_once_half_of_those_that_s3_allows_are_used() -> None:
    """Or a file of more than 160 GB would need more than 10,000."""
    upload = objects.Upload(Parts(), "b", "k", "u", part=5_100)
    upload.write(b"x" * 16 * MIB)
    assert not upload.checkpoint()
    upload.write(b"x" * 16 * MIB)
    assert upload.checkpoint()


def test_an_upload_bears_its_tags(s3: Any) -> None:
    tags = {"source": "s3://b/a +x", "rows": "3"}
    upload_id = objects.Upload.create(s3, OUTPUT_BUCKET, "k", tags)
    upload = objects.Upload(s3, OUTPUT_BUCKET, "k", upload_id)
    upload.write(b"x")
    upload.close()
    etag = s3.list_parts(Bucket=OUTPUT_BUCKET, Key="k", UploadId=upload_id)["Parts"][0]["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket=OUTPUT_BUCKET, Key="k", UploadId=upload_id, MultipartUpload=parts)
    found = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=OUTPUT_BUCKET, Key="k")["TagSet"]}
    assert found == tags
    assert s3.head_object(Bucket=OUTPUT_BUCKET, Key="k")["ContentType"] == "text/csv"


def test_what_s3_refuses_of_an_upload_is_named() -> None:
    class Refusing:
        def __getattr__(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "Reduce your request rate"}}, name)

    with pytest.raises(AwsThrottled, match="s3:CreateMultipartUpload of s3://b/k: Reduce"):
        objects.Upload.create(Refusing(), "b", "k", {})
    with pytest.raises(AwsThrottled, match="s3:UploadPart of s3://b/k"):
        objects.Upload(Refusing(), "b", "k", "u").close()
