"""What came of a file's shards is put together byte for byte, or not at all."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscore.check.memory_s3 import MemoryS3
from scoring.errors import AwsThrottled, DropscoreError, InvalidFile, ModelFailed, ScoringFailed
from scoring.files import rejects
from scoring.files.checksums import combined
from scoring.files.rejects import Bad
from scoring.intake import shard
from scoring.outcome import files, joining
from tests.builders import OUTPUT_BUCKET, request, source


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8), least=st.integers(1, 12), more=st.integers(0, 9))
def test_parts_are_the_objects_one_after_the_other_and_none_but_the_last_is_too_small(
    sizes: list[int], least: int, more: int
) -> None:
    most = least + more
    parts = joining.cut(sizes, most, least)
    pieces = [piece for part in parts for piece in part]
    assert [(number, byte) for number, start, stop in pieces for byte in range(start, stop)] == [
        (number, byte) for number, size in enumerate(sizes) for byte in range(size)
    ]
    lengths = [sum(stop - start for _, start, stop in part) for part in parts]
    assert all(length >= least for length in lengths[:-1])
    assert all(len(part) > 1 or length <= most for part, length in zip(parts, lengths, strict=True))
    # What passes through here is what is around a seam.
    read = sum(length for part, length in zip(parts, lengths, strict=True) if len(part) > 1 or length < least)
    assert read <= len(sizes) * 2 * least


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_the_crc_of_two_parts_is_that_of_the_whole(first: bytes, second: bytes) -> None:
    assert combined(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


HEAD, ONE, TWO = b"a,b\n", b"1,2\n3,4\n", b"5,6\n"
WHOLE = HEAD + ONE + TWO
SHARDS = [
    shard.Shard(1, 2, 4, 12, 1, 2, 3).to_json(),
    shard.Shard(2, 2, 12, 16, 3, 1, 3).to_json(),
]


def outcomes(**second: Any) -> list[dict[str, Any]]:
    """What each shard gave."""
    one = {"rows": 2, "bytes": 3, "crc": zlib.crc32(ONE), "columns": "hash"}
    return [one, {"rows": 1, "bytes": 2, "crc": zlib.crc32(TWO), "columns": "hash"} | second]


def scored(s3: MemoryS3, wanted: dict[str, Any], came: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the shards' attempts have completed, and tell of it."""
    told = []
    for number, (body, each) in enumerate(zip((b"xyz", b"uv"), came, strict=True), 1):
        place = shard.output(wanted["output"], number)["key"]
        told.append(each | {"etag": s3.put_object(Bucket=OUTPUT_BUCKET, Key=place, Body=body)["ETag"]})
    return told


def join(
    s3: Any,
    wanted: dict[str, Any],
    scoring: dict[str, Any],
    came: list[dict[str, Any]],
    seconds_left: Callable[[], float] = lambda: 900.0,
) -> dict[str, Any]:
    return joining.join(s3, source(size=len(WHOLE)), wanted, scoring, came, seconds_left)


def joined(s3: MemoryS3, came: list[dict[str, Any]], checksum: bytes = WHOLE, **asked: Any) -> dict[str, Any]:
    wanted = request(**asked)
    came = scored(s3, wanted, came)
    upload_id = s3.create_multipart_upload(Bucket=OUTPUT_BUCKET, Key=wanted["output"]["key"])["UploadId"]
    held = {"CRC32": base64.b64encode(zlib.crc32(checksum).to_bytes(4, "big")).decode()}
    scoring = {"upload_id": upload_id, "shards": SHARDS, "crc": zlib.crc32(HEAD), "checksum": held}
    done = join(s3, wanted, scoring, came)
    listed = s3.list_parts(Bucket=OUTPUT_BUCKET, Key=wanted["output"]["key"], UploadId=upload_id)["Parts"]
    assert sum(part["Size"] for part in listed) == done["bytes"]
    return done


def test_rows_and_bytes_add_up() -> None:
    done = joined(MemoryS3(), outcomes(padded=1))
    assert (done["status"], done["rows"], done["bytes"], done["padded"]) == ("DONE", 3, 5, 1)


BAD = {"rejected": 2, "first": [{"row": 3}]}


@pytest.mark.parametrize(
    ("came", "checksum", "asked", "error", "words"),
    [
        (outcomes(columns="another"), WHOLE, {}, ModelFailed, "answered different columns"),
        (outcomes(), WHOLE[:-1] + b"\r", {}, ScoringFailed, "its CRC32 is another"),
        (outcomes(**BAD), WHOLE, {"max_errors": ["1"]}, InvalidFile, "2 of 3 records are bad; max_errors allows 1"),
        (outcomes(**BAD), WHOLE, {"max_errors": ["34%"]}, InvalidFile, "max_errors allows 34%"),
    ],
    ids=["columns", "checksum", "errors", "share"],
)
def test_what_does_not_belong_together_is_not_published(
    came: list[dict[str, Any]], checksum: bytes, asked: dict[str, Any], error: type[DropscoreError], words: str
) -> None:
    with pytest.raises(error, match=words):
        joined(MemoryS3(), came, checksum, **asked)


def test_a_join_whose_answer_was_lost_after_it_was_completed_is_success() -> None:
    s3, asked = MemoryS3(), request()
    done = joined(s3, outcomes())
    tags = {"execution": "one", "sequencer": "1"}
    files.complete(s3, asked["output"], done, tags)
    again = join(s3, asked, done, scored(s3, asked, outcomes()))
    assert files.publish(s3, asked["output"], again, tags)
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])["Body"].read() == b"xyzuv"
    with pytest.raises(ScoringFailed, match="aborted by somebody else"):
        files.publish(s3, asked["output"], again, tags | {"execution": "another"})


@pytest.mark.parametrize("least", [1, 5 << 20], ids=["copied", "around a seam"])
@pytest.mark.parametrize("there", [b"UV", None], ids=["replaced", "deleted"])
def test_no_other_object_than_the_one_that_a_shards_attempt_completed_gets_into_the_file(
    monkeypatch: pytest.MonkeyPatch, least: int, there: bytes | None
) -> None:
    """Of the same size, and of a model that answers at random: only its ETag tells it from the one that counts."""
    monkeypatch.setattr(joining, "_LEAST_BYTES", least)
    s3, asked = MemoryS3(), request()
    came = scored(s3, asked, outcomes())
    place = {"Bucket": OUTPUT_BUCKET, "Key": shard.output(asked["output"], 2)["key"]}
    if there:
        s3.put_object(**place, Body=there)
    else:
        s3.delete_object(**place)
    upload_id = s3.create_multipart_upload(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])["UploadId"]
    scoring = {"upload_id": upload_id, "shards": SHARDS, "crc": zlib.crc32(HEAD)}
    with pytest.raises(ScoringFailed, match=r"replaced or deleted before it was put together: s3://.*/2\.scoreout"):
        join(s3, asked, scoring, came)


def test_shards_of_before_an_update_that_do_not_say_which_object_is_theirs_are_not_put_together() -> None:
    s3, asked = MemoryS3(), request()
    came = scored(s3, asked, outcomes())
    del came[1]["etag"]
    upload_id = s3.create_multipart_upload(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])["UploadId"]
    scoring = {"upload_id": upload_id, "shards": SHARDS, "crc": zlib.crc32(HEAD)}
    with pytest.raises(ScoringFailed, match="dropscore was updated while the file was scored") as raised:
        join(s3, asked, scoring, came)
    assert raised.value.remedy.startswith("Redrive the score_file execution")


def test_a_join_that_is_longer_than_a_function_goes_on_from_the_parts_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "_LEAST_BYTES", 1)
    monkeypatch.setattr(joining, "_PART_BYTES", 1)
    monkeypatch.setattr(MemoryS3, "least_part_bytes", 1)
    copied: list[int] = []

    class Counting(MemoryS3):
        def upload_part_copy(self, **call: Any) -> dict[str, Any]:
            copied.append(call["PartNumber"])
            return super().upload_part_copy(**call)

    s3, asked = Counting(), request()
    came = scored(s3, asked, outcomes())
    upload_id = s3.create_multipart_upload(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])["UploadId"]
    scoring = {"upload_id": upload_id, "shards": SHARDS, "crc": zlib.crc32(HEAD)}
    for _ in range(2):
        # Time for two parts.
        left = iter([900.0, 900.0])
        with pytest.raises(AwsThrottled, match="the next goes on"):
            join(s3, asked, scoring, came, lambda left=left: next(left, 44.0))  # type: ignore[misc]
    done = join(s3, asked, scoring, came)
    assert sorted(copied) == [1, 2, 3, 4, 5], "none of them twice"
    files.complete(s3, asked["output"], done, {"execution": "one"})
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])["Body"].read() == b"xyzuv"


@pytest.mark.parametrize("count", [2, 8, 40])
@pytest.mark.parametrize("character", ["a", "\x01", "€"])
def test_what_all_shards_tell_of_bad_records_fits_the_state_of_their_file(count: int, character: str) -> None:
    """Of 256 KiB, all else takes some 32."""
    bad = Bad(10**9, 10**13, character * 5_000, (character * 5_000).encode()).to_json()
    told = rejects.of_shard([bad] * rejects.TOLD, count)
    assert count * len(json.dumps(told)) < 224 << 10
    assert len(told) >= 1
    short = Bad(1, 10, "It has 3 fields, the header has 2.", b"1,2,3").to_json()
    assert len(rejects.of_shard([short] * rejects.TOLD, count)) == rejects.TOLD


def test_a_shard_that_has_not_resolved_its_request_never_acts_on_the_outcome_of_the_file() -> None:
    whole = request(pods=2)
    early = shard.own({"request": whole, "shard": SHARDS[1]})
    assert early["request"]["output"] == shard.output(whole["output"], 2)
    assert early["request"]["pods"] == 1
    assert shard.own(early) == early
    assert shard.own({"request": whole}) == {"request": whole}
