"""Bytes from S3 whatever the connection does, and to S3 in parts that can be gone on from."""

import base64
import hashlib
import io
import threading
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.httpchecksum import Sha256Checksum, StreamingChecksumBody
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from scoring.errors import AccessDenied, AwsThrottled, ScoringFailed, SourceChanged, SourceGone
from scoring.files import objects, ranges
from scoring.files.seals import sealed
from scoring.files.sending import Sender
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


def test_a_file_is_read_in_chunks_of_half_a_mebibyte_at_most(s3: Any) -> None:
    chunks = list(objects.read(s3, drop(s3)))
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) <= 1 << 19


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
    last = len(CONTENT) - 1
    assert [which["Range"] for which in breaking.asked] == [
        f"bytes=10-{last}",
        f"bytes=1000010-{last}",
        f"bytes=1000010-{last}",
        f"bytes=1700010-{last}",
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


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are always thought to be too slow, and ranges so small that a small file has many."""
    monkeypatch.setattr(ranges, "RANGE_BYTES", 300_000)
    monkeypatch.setattr(ranges, "AHEAD_BYTES", 100_000)
    monkeypatch.setattr(objects, "CHUNK_BYTES", 100_000)
    for judged in ("_WAITING", "_LOOK_SECONDS", "_LOOK_RANGES", "_GAIN"):
        monkeypatch.setattr(ranges, judged, 0)


@pytest.mark.parametrize("offset", [0, 10, len(CONTENT) - 250_000])
def test_a_file_that_comes_over_several_connections_is_the_same(s3: Any, several: None, offset: int) -> None:
    found = drop(s3)
    breaking = Breaking(s3, 200_000, 50_000, 0, 120_000, 0, error=ProtocolError("broken"))
    assert b"".join(objects.read(breaking, found, offset)) == CONTENT[offset:]
    assert {which["IfMatch"] for which in breaking.asked} == {f'"{found.etag}"'}
    if offset < 300_000:
        last = f"-{len(CONTENT) - 1}"
        bounded = [which["Range"] for which in breaking.asked if not which.get("Range", last).endswith(last)]
        assert len(bounded) > 4, "or this test shows nothing"


def test_a_file_that_is_replaced_while_ranges_are_read_is_changed_not_mixed(s3: Any, several: None) -> None:
    found, read = drop(s3), 0
    with pytest.raises(SourceChanged):
        for chunk in objects.read(s3, found):
            read += len(chunk)
            if read == 200_000:
                drop(s3, CONTENT[::-1])
            assert CONTENT[read - len(chunk) : read] == chunk
    assert read < len(CONTENT)


def test_a_file_that_was_replaced_is_changed_not_mixed(s3: Any) -> None:
    found = drop(s3)
    drop(s3, b"newer")
    with pytest.raises(SourceChanged, match="was replaced"):
        list(objects.read(s3, found))


def test_a_file_that_is_replaced_in_the_middle_is_changed_not_mixed(s3: Any) -> None:
    class Replacing(Breaking):
        def get_object(self, **which: Any) -> dict[str, Any]:
            if self.asked:
                drop(s3, b"newer" * 1_000_000)
            return super().get_object(**which)

    found, read = drop(s3), b""
    with pytest.raises(SourceChanged):
        for chunk in objects.read(Replacing(s3, 1000, error=ProtocolError("broken")), found):
            read += chunk
    assert read == CONTENT[:1000]


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
    """S3 that remembers parts, and, where it `holds`, takes none until it is let go."""

    def __init__(self, *, holds: bool = False) -> None:
        self.bodies: dict[int, bytes] = {}
        self.errors: dict[int, str] = {}
        self.begun = 0
        self.go = threading.Semaphore(0 if holds else 1_000)
        self._changed = threading.Condition()

    def upload_part(self, *, PartNumber: int, Body: BinaryIO, ChecksumCRC32: str, **_: Any) -> dict[str, str]:  # noqa: N803
        with self._changed:
            self.begun += 1
            self._changed.notify_all()
        assert self.go.acquire(timeout=30)
        body = Body.read()
        assert ChecksumCRC32 == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        if PartNumber in self.errors:
            raise ClientError({"Error": {"Code": "SlowDown", "Message": self.errors[PartNumber]}}, "UploadPart")
        self.bodies[PartNumber] = body
        return {"ETag": f'"{PartNumber}"'}

    def wait_for(self, begun: int) -> None:
        """Until so many parts are on their way, or have been."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.begun >= begun, 30)


@pytest.fixture
def sender() -> Iterator[Sender]:
    with objects.Upload.sender() as sender:
        yield sender


def cut(upload: objects.Upload, parts: int) -> int:
    """Write 4 MiB after the other until there are so many parts more; how many MiB that takes."""
    before, size = upload.part, 0
    while upload.part < before + parts:
        upload.write(b"x" * 4 * MIB)
        size += 4
        upload.send()
    return size


def whole(upload: objects.Upload) -> None:
    upload.finish()
    upload.wait()


def test_a_part_is_just_large_enough_unless_the_work_is_to_go_on_from_its_end() -> None:
    s3, written = Parts(), b"".join(bytes([number]) * MIB for number in range(22))
    upload = objects.Upload(s3, "b", "k", "u")
    upload.write(written[: 14 * MIB])
    upload.send()
    assert (upload.part, upload.tail, upload.is_enough) == (2, written[12 * MIB : 14 * MIB], False)
    upload.write(written[14 * MIB : 21 * MIB])
    assert upload.is_enough
    upload.checkpoint()
    assert (upload.part, upload.tail) == (3, b"")
    upload.write(written[21 * MIB :])
    whole(upload)
    assert [len(body) // MIB for _, body in sorted(s3.bodies.items())] == [6, 6, 9, 1]
    assert b"".join(body for _, body in sorted(s3.bodies.items())) == written


@pytest.mark.parametrize(("rest", "sizes"), [(b"", {1: 18 * MIB}), (b"rest", {1: 18 * MIB, 2: 4})])
def test_closing_uploads_what_is_left_if_anything_is(rest: bytes, sizes: dict[int, int]) -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u")
    upload.write(b"x" * 18 * MIB)
    upload.checkpoint()
    upload.write(rest)
    whole(upload)
    assert {part: len(body) for part, body in s3.bodies.items()} == sizes


def test_an_upload_has_one_part_at_least() -> None:
    s3 = Parts()
    whole(objects.Upload(s3, "b", "k", "u"))
    assert s3.bodies == {1: b""}


def test_an_upload_goes_on_behind_the_parts_of_earlier_steps() -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u", part=7)
    upload.write(b"x")
    whole(upload)
    assert (s3.bodies, upload.part) == ({8: b"x"}, 8)


def test_where_s3_falls_behind_parts_go_side_by_side_while_the_writer_writes_on(sender: Sender) -> None:
    s3 = Parts(holds=True)
    upload = objects.Upload(s3, "b", "k", "u", sender=sender)
    cut(upload, 4)
    s3.wait_for(4)
    assert (upload.there, sender.bytes_under_way) == (0, 24 * MIB)
    upload.write(b"x" * 6 * MIB)
    full = threading.Thread(target=upload.send)
    full.start()
    full.join(0.2)
    assert (full.is_alive(), s3.begun) == (True, 4), "the next one waits for room, and its writer with it"
    s3.go.release(1_000)
    full.join(30)
    upload.wait()
    assert (upload.there, sorted(s3.bodies), sender.bytes_under_way) == (5, [1, 2, 3, 4, 5], 0)


def test_a_part_that_takes_the_room_of_all_others_has_it(sender: Sender) -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u", sender=sender)
    for _ in range(2):
        upload.write(b"x" * 60 * MIB)
        upload.checkpoint()
        assert sender.bytes_under_way == 0, "its writer has waited for it"
    assert {part: len(body) for part, body in s3.bodies.items()} == {1: 60 * MIB, 2: 60 * MIB}


def test_only_parts_without_one_missing_before_them_are_there(sender: Sender) -> None:
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u", part=3, seal="before", sender=sender)
    s3.errors[5] = "the fifth"
    upload.write(b"x" * 6 * MIB)
    upload.send()
    upload.wait()
    assert (upload.there, upload.seal(4)) == (4, sealed(['"4"'], "before"))
    s3.go = threading.Semaphore(0)
    cut(upload, 2)
    assert upload.there == 4
    s3.go.release(2)
    with pytest.raises(AwsThrottled, match="s3:UploadPart of s3://b/k: the fifth"):
        upload.wait()
    for again in (lambda: upload.there, upload.wait, lambda: cut(upload, 1)):
        with pytest.raises(AwsThrottled, match="the fifth"):
            again()
    assert upload.seal(4) == sealed(['"4"'], "before")


def test_nothing_is_under_way_when_the_work_has_ended() -> None:
    """Whatever ended it: the upload may be aborted then, and a part that comes later would be paid for for ever."""
    s3 = Parts(holds=True)
    with pytest.raises(ZeroDivisionError), objects.Upload.sender() as sender:
        upload = objects.Upload(s3, "b", "k", "u", sender=sender)
        cut(upload, 2)
        s3.wait_for(2)
        threading.Timer(0.1, s3.go.release, (2,)).start()
        _ = 1 / 0
    assert sorted(s3.bodies) == [1, 2]


def test_parts_grow_once_half_of_those_that_s3_allows_are_used() -> None:
    """Or a file of more than 60 GB would need more than 10,000."""
    s3 = Parts()
    upload = objects.Upload(s3, "b", "k", "u", part=5_100)
    upload.write(b"x" * 17 * MIB)
    upload.send()
    assert not s3.begun
    upload.write(b"x" * 17 * MIB)
    upload.send()
    upload.wait()
    assert {part: len(body) for part, body in s3.bodies.items()} == {5_101: 18 * MIB}
    sizes = [objects.Upload(s3, "b", "k", "u", part=part)._enough for part in range(0, 10_000, 50)]
    assert 50 * sum(sizes) > 1e12


def test_an_upload_bears_its_tags(s3: Any) -> None:
    tags = {"source": "s3://b/a +x", "rows": "3"}
    upload_id = objects.Upload.create(s3, OUTPUT_BUCKET, "k", tags)
    upload = objects.Upload(s3, OUTPUT_BUCKET, "k", upload_id)
    upload.write(b"x")
    whole(upload)
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
        whole(objects.Upload(Refusing(), "b", "k", "u"))


def test_parts_of_before_the_last_deployment_have_no_seal(sender: Sender) -> None:
    """Nobody kept their ETags: a seal of the parts behind them alone would be another one than theirs together."""
    upload = objects.Upload(Parts(), "b", "k", "u", part=3, sender=sender)
    cut(upload, 1)
    upload.wait()
    assert upload.seal(4) == ""
