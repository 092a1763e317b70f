"""What came of the shards of a file → one scored file, copied together inside of S3.

Each shard's output is an object of its own by then. S3 takes parts of 5 MiB and more, but for the last one, and copies
ranges of objects into parts by itself: only what is around a seam, and too small for that, passes through here. Each object
is named by its key and the ETag that the shard's own attempt completed it with: no other one gets into the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AwsThrottled, InvalidFile, ModelFailed, ScoringFailed
from scoring.files import checksums, rejects
from scoring.files.rejects import Limit
from scoring.files.seals import sealed
from scoring.intake import shard
from scoring.intake.identity import Source, rejected_key

# S3 User Guide, "Amazon S3 multipart upload limits".
_LEAST_BYTES = 5 << 20
_MOST_PARTS = 10_000
# So much a part, that many of them are copied side by side; more for what would be more parts than there may be.
_PART_BYTES = 256 << 20
_AT_ONCE = 16
# What is kept of a Lambda's time: of a file of terabytes, a part is a gigabyte.
_RESERVE_SECONDS = 45.0
# What S3 answers where another object, or none, is in a shard's place.
_REPLACED = {"PreconditionFailed", "412", "NoSuchKey", "404"}
_ANEW = "Redrive the score_file execution, or drop the file again: it is scored anew."

Piece = tuple[int, int, int]
"""Bytes `start` to before `stop` of the object of that number."""


def cut(sizes: Sequence[int], most: int, least: int) -> list[list[Piece]]:
    """Parts that are, one after the other, objects of these sizes one after the other: each of `least` bytes and more, but
    for the last. A part that is one piece of so many bytes can be copied; the others are to be read and written (pure).
    """
    parts: list[list[Piece]] = []
    seam: list[Piece] = []
    for number, size in enumerate(sizes):
        place = 0
        if seam:
            place = min(least - sum(stop - start for _, start, stop in seam), size)
            seam.append((number, 0, place))
            if sum(stop - start for _, start, stop in seam) < least:
                continue
            parts.append(seam)
            seam = []
        while size - place >= least:
            stop = min(place + most, size)
            parts.append([(number, place, stop)])
            place = stop
        if place < size:
            seam = [(number, place, size)]
    return [*parts, seam] if seam or not parts else parts


def join(
    s3: Any,
    source: Source,
    request: Mapping[str, Any],
    scoring: Mapping[str, Any],
    outcomes: Sequence[Mapping[str, Any]],
    seconds_left: Callable[[], float],
) -> dict[str, Any]:
    """Put the outputs of shards together in the uploads of `scoring`. May be repeated, and then goes on from the parts that
    are there.

    Parameters
    ----------
    scoring
        With the `shards` as they were planned, the `crc` of what is before them, and the uploads' ids.
    outcomes
        What came of each of them, in their order: `rows`, `bytes`, `crc`, `columns`, `etag`, and `padded` and `rejected`, if
        any (with it, `rejected_bytes` and `rejected_etag`).

    Returns
    -------
    dict
        The `scoring` again, DONE, as `files.publish` takes it.

    Raises
    ------
    InvalidFile
        Together, they have more bad records than there may be.
    ModelFailed
        Their models answered different columns.
    ScoringFailed
        What was read is not what S3 holds, or what a shard's attempt had completed is not there any more, or is not told.
    AwsThrottled
        AWS asks to come back later, or this Lambda's time is up and the next one goes on.
    AccessDenied
    """
    planned = [shard.Shard(**each) for each in scoring["shards"]]
    if not all("etag" in each for each in outcomes):
        # By its key alone, and by tags that came after it, nothing would tell another attempt's object from this one.
        raise ScoringFailed(
            "dropscore was updated while the file was scored: a part of it was completed by an older release, which has not "
            "noted which object holds it.",
            _ANEW,
        )
    if len({each["columns"] for each in outcomes}) > 1:
        raise ModelFailed(
            "The pods of this file answered different columns.",
            "The model must answer the same columns whatever records it gets: repair it, or tag the file with pods=1; then "
            "drop it again.",
        )
    rows = sum(each["rows"] for each in outcomes)
    rejected = sum(each.get("rejected", 0) for each in outcomes)
    limit = Limit.of(request.get("max_errors"))
    if rejected > limit.allowed(rows):
        told = [one for each in outcomes for one in each.get("first", ())]
        raise InvalidFile(
            f"{rejected} of {rows} records are bad; max_errors allows {limit}.",
            "Correct them, or allow for more with the tag max_errors, and drop the file again.",
            rejected=told[: rejects.TOLD],
        )
    crc = scoring["crc"]
    for each, came in zip(planned, outcomes, strict=True):
        crc = checksums.combined(crc, came["crc"], each.stop - each.start)
    checksums.check_crc(source, scoring.get("checksum", {}), crc)
    whole = request["output"]
    outputs = [shard.output(whole, each.number) for each in planned]
    done = dict(scoring) | {"status": "DONE", "rows": rows}
    if padded := sum(each.get("padded", 0) for each in outcomes):
        done["padded"] = padded
    came_to = list(zip([each["key"] for each in outputs], outcomes, strict=True))
    scored = [_Object(key, each["etag"], each["bytes"]) for key, each in came_to]
    done |= _copied(s3, whole["bucket"], whole["key"], scoring["upload_id"], scored, seconds_left)
    if rejected:
        lists: list[_Object | bytes] = [
            _Object(rejected_key(key), each["rejected_etag"], each["rejected_bytes"])
            for key, each in came_to
            if each.get("rejected")
        ]
        # An object like the others, that nobody has to read.
        lists.insert(0, rejects.HEADER)
        upload_id = scoring["rejected_upload_id"]
        listed = _copied(s3, whole["bucket"], rejected_key(whole["key"]), upload_id, lists, seconds_left)
        done |= {"rejected": rejected} | {f"rejected_{name}": value for name, value in listed.items()}
    return done


@dataclass(frozen=True)
class _Object:
    """What a shard's attempt has completed."""

    key: str
    etag: str
    size: int

    def __len__(self) -> int:
        return self.size


def _copied(
    s3: Any,
    bucket: str,
    key: str,
    upload_id: str,
    known: Sequence[_Object | bytes],
    seconds_left: Callable[[], float],
) -> dict[str, Any]:
    """Objects one after the other as the parts of an upload: how many, of how many bytes, their seal."""
    sizes = [len(each) for each in known]
    total = sum(sizes)
    parts = cut(sizes, max(_PART_BYTES, -(-total // (_MOST_PARTS // 2))), _LEAST_BYTES)
    where: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload_id}

    def read(piece: Piece) -> bytes:
        number, start, stop = piece
        found = known[number]
        if isinstance(found, bytes):
            return found[start:stop]
        if start == stop:
            return b""
        which = {"Bucket": bucket, "Key": found.key, "IfMatch": found.etag}
        with aws.errors_named(f"s3:GetObject of s3://{bucket}/{found.key}"), _pinned(bucket, found.key):
            body: bytes = s3.get_object(**which, Range=f"bytes={start}-{stop - 1}")["Body"].read()
        return body

    def put(number: int, pieces: Sequence[Piece]) -> str:
        size = sum(stop - start for _, start, stop in pieces)
        if number in there and there[number][0] == size:
            # Of an earlier call, which has cut the same objects at the same places.
            return there[number][1]
        if seconds_left() < _RESERVE_SECONDS:
            raise AwsThrottled(
                f"One function's time is too short to put s3://{bucket}/{key} together: the next goes on."
            )
        which, start, stop = pieces[0] if pieces else (0, 0, 0)
        found, part = known[which], where | {"PartNumber": number}
        try:
            if len(pieces) == 1 and isinstance(found, _Object) and stop - start >= _LEAST_BYTES:
                place = {"CopySource": {"Bucket": bucket, "Key": found.key}, "CopySourceIfMatch": found.etag}
                with _pinned(bucket, found.key):
                    answer = s3.upload_part_copy(**part, **place, CopySourceRange=f"bytes={start}-{stop - 1}")
                return str(answer["CopyPartResult"]["ETag"])
            return str(s3.upload_part(**part, Body=b"".join(map(read, pieces)))["ETag"])
        except ClientError as error:
            # Completed by an earlier call, whose answer was lost: whether it was this attempt's, `files.complete` finds out.
            if aws.code(error) == "NoSuchUpload":
                return ""
            raise

    there = _parts(s3, where)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        with aws.errors_named(f"s3:UploadPartCopy to s3://{bucket}/{key}"):
            etags = list(pool.map(put, range(1, len(parts) + 1), parts))
        return {"parts": len(parts), "bytes": total, "seal": sealed(etags) if all(etags) else ""}


def _parts(s3: Any, where: Mapping[str, str]) -> dict[int, tuple[int, str]]:
    """Size and ETag of the parts that are there, by their numbers; none of an upload that is completed."""
    with aws.errors_named(f"s3:ListParts of s3://{where['Bucket']}/{where['Key']}"):
        try:
            pages = list(s3.get_paginator("list_parts").paginate(**where))
        except ClientError as error:
            if aws.code(error) == "NoSuchUpload":
                return {}
            raise
    return {part["PartNumber"]: (part["Size"], part["ETag"]) for page in pages for part in page.get("Parts", ())}


@contextmanager
def _pinned(bucket: str, key: str) -> Iterator[None]:
    """What it means when the object of a shard is not the one that its attempt has completed."""
    try:
        yield
    except ClientError as error:
        if aws.code(error) in _REPLACED:
            raise ScoringFailed(
                f"What a pod had scored of the file was replaced or deleted before it was put together: s3://{bucket}/{key}",
                _ANEW,
            ) from error
        raise
