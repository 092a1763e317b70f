"""Parts are under way while the work goes on: what is kept of it counts those that are there, and no others."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError

from scoring.errors import AwsThrottled
from scoring.files import objects
from scoring.files.seals import sealed
from scoring.streaming import uploads as uploads_module
from scoring.streaming.progress import Progress
from scoring.streaming.uploads import Uploads
from tests.builders import request

OUTPUT = request()["output"]


class Slow:
    """S3 that takes a part when it is told to, or refuses it; whoever looks waits for what was to come."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, int], bytes] = {}
        self.record = b""
        self.saves = 0
        self._may: dict[tuple[str, int], threading.Event] = {}
        self._refused: set[tuple[str, int]] = set()
        self._changed = threading.Condition()

    def _event(self, upload: str, part: int) -> threading.Event:
        with self._changed:
            return self._may.setdefault((upload, part), threading.Event())

    def take(self, upload: str, *parts: int, refuse: bool = False) -> None:
        for part in parts:
            if refuse:
                self._refused.add((upload, part))
            self._event(upload, part).set()
            with self._changed:
                assert refuse or self._changed.wait_for(lambda part=part: (upload, part) in self.parts, 30)

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: BinaryIO, **_: Any) -> dict[str, str]:  # noqa: N803
        assert self._event(UploadId, PartNumber).wait(30)
        if (UploadId, PartNumber) in self._refused:
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "UploadPart")
        with self._changed:
            self.parts[UploadId, PartNumber] = Body.read()
            self._changed.notify_all()
        return {"ETag": f"{UploadId}{PartNumber}"}

    def put_object(self, *, Body: bytes, IfMatch: str = "", **_: Any) -> dict[str, str]:  # noqa: N803
        with self._changed:
            assert IfMatch == (str(self.saves) if self.saves else ""), "each record is that of who wrote the one before"
            self.record, self.saves = Body, self.saves + 1
            self._changed.notify_all()
            return {"ETag": str(self.saves)}

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.record), "ETag": str(self.saves)}

    def saved(self, saves: int) -> Progress:
        """The record, once it was saved so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.saves >= saves, 30)
            assert self.saves == saves
        return Progress.load(self, OUTPUT)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Slow:
    monkeypatch.setattr(objects, "_PART_BYTES", 50)
    monkeypatch.setattr(uploads_module, "_PARTS_OF_A_RECORD", 3)
    return Slow()


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def uploads(s3: Slow, progress: Progress) -> Iterator[Uploads]:
    with Uploads(s3, OUTPUT, progress, "scored", "rejects") as uploads:
        yield uploads


def work(uploads: Uploads, progress: Progress, scored: bytes, rejected: bytes = b"") -> bool:
    """Score a row."""
    uploads.scored.write(scored)
    uploads.rejects.write(rejected)  # type: ignore[union-attr]
    progress.rows, progress.written = progress.rows + 1, progress.written + len(scored)
    progress.rejected_written += len(rejected)
    return uploads.checkpoint()


def whole(s3: Slow, progress: Progress) -> tuple[bytes, bytes]:
    """What there is of both, as far as a record says."""
    scored = b"".join(s3.parts["scored", part] for part in range(1, progress.part + 1)) + progress.tail
    rejects = b"".join(s3.parts["rejects", part] for part in range(1, progress.rejected_part + 1))
    return scored, rejects + progress.rejected_tail


def test_a_record_is_saved_when_its_parts_are_there_and_says_what_was_so_when_they_were_cut(
    s3: Slow, uploads: Uploads, progress: Progress
) -> None:
    assert not work(uploads, progress, b"a" * 60, b"x")
    assert not work(uploads, progress, b"b" * 110, b"y")
    s3.take("scored", 2)
    assert not work(uploads, progress, b"c" * 9), "the first part is not there"
    s3.take("scored", 1)
    while not uploads.checkpoint():
        uploads.scored.wait()
    record = s3.saved(1)
    assert (record.rows, record.part, record.written) == (2, 2, 170)
    assert whole(s3, record) == (b"a" * 60 + b"b" * 110, b"xy")
    assert record.seal == sealed(["scored1", "scored2"])


def test_a_record_is_saved_once_for_what_fills_three_parts(s3: Slow, uploads: Uploads, progress: Progress) -> None:
    """Of full size: each is a request."""
    for part in range(1, 13):
        s3._event("scored", part).set()
    began = 0
    for _ in range(12):
        if work(uploads, progress, b"r" * 60):
            began += 1
            assert uploads._saving
            # Or a machine that is slow would save fewer.
            uploads._saving[1].result(30)
        uploads.scored.wait()
    uploads.save()
    # The last one is `save`'s.
    assert began == s3.saves - 1 == 3


def test_what_is_kept_in_the_end_is_all_of_it(s3: Slow, uploads: Uploads, progress: Progress) -> None:
    for _ in range(2):
        work(uploads, progress, b"a" * 60, b"x" * 7)
    threading.Timer(0.05, s3.take, ("scored", 1, 2)).start()
    uploads.save()
    record = s3.saved(1)
    assert (record.rows, record.written) == (2, 120)
    assert whole(s3, record) == (b"a" * 120, b"x" * 14)
    resumed = Progress.load(s3, OUTPUT)
    with Uploads(s3, OUTPUT, resumed, "scored", "rejects") as again:
        work(again, resumed, b"b" * 10, b"y")
        resumed.rejected = 15
        for upload, part in (("scored", 3), ("rejects", 1)):
            s3._event(upload, part).set()
        again.close()
    assert whole(s3, resumed) == (b"a" * 120 + b"b" * 10, b"x" * 14 + b"y")
    assert (resumed.seal, resumed.rejected_seal) == (sealed(["scored1", "scored2", "scored3"]), sealed(["rejects1"]))


@pytest.mark.parametrize("late", ["scored", "rejects"])
def test_a_record_waits_for_the_parts_of_both(s3: Slow, uploads: Uploads, progress: Progress, late: str) -> None:
    early = "rejects" if late == "scored" else "scored"
    work(uploads, progress, b"a" * 100, b"x" * 100)
    s3.take(early, 1)
    assert not uploads.checkpoint()
    s3.take(late, 1)
    uploads.scored.wait()
    assert uploads.rejects
    uploads.rejects.wait()
    assert uploads.checkpoint()
    record = s3.saved(1)
    assert (record.part, record.rejected_part) == (1, 1)
    assert whole(s3, record) == (b"a" * 100, b"x" * 100)


def test_what_is_enough_for_s3_goes_with_a_part_of_the_other_and_what_is_not_with_the_record(
    s3: Slow, uploads: Uploads, progress: Progress
) -> None:
    work(uploads, progress, b"a" * 100, b"x" * 60)
    s3.take("scored", 1)
    s3.take("rejects", 1)
    work(uploads, progress, b"b" * 160, b"y" * 20)
    s3.take("scored", 2)
    for upload in (uploads.scored, uploads.rejects):
        assert upload
        upload.wait()
    uploads.save()
    assert (s3.parts["scored", 1], s3.parts["rejects", 1]) == (b"a" * 100, b"x" * 60)
    record = Progress.load(s3, OUTPUT)
    assert (record.part, record.rejected_part) == (2, 1)
    assert whole(s3, record) == (b"a" * 100 + b"b" * 160, b"x" * 60 + b"y" * 20)


def test_a_part_that_s3_refuses_ends_the_work_and_no_record_counts_it(
    s3: Slow, uploads: Uploads, progress: Progress
) -> None:
    work(uploads, progress, b"a" * 70)
    s3.take("scored", 1, refuse=True)
    with pytest.raises(AwsThrottled, match="s3:UploadPart"):
        uploads.save()
    with pytest.raises(AwsThrottled, match="s3:UploadPart"):
        work(uploads, progress, b"b" * 200)
    assert s3.saves == 0


def test_a_record_that_is_anothers_ends_the_work(s3: Slow, uploads: Uploads, progress: Progress) -> None:
    def refused(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": ""}}, "PutObject")

    s3.put_object = refused  # type: ignore[assignment,method-assign]
    s3._event("scored", 1).set()
    if not work(uploads, progress, b"a" * 200):
        uploads.scored.wait()
        assert uploads.checkpoint()
    with pytest.raises(AwsThrottled, match="Another function is at work"):
        uploads.close()
