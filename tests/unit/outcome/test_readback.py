"""The SHA-256 of a scored file that is read back, as far as a function's time goes."""

from __future__ import annotations

import hashlib
import io
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody

from dropscore.check.memory_s3 import MemoryS3
from scoring.files import ranges
from scoring.outcome import readback
from scoring.outcome.readback import NotReadBack, sha256

BODY = b"a,p\n" + b"1,2\n" * 1_000_000


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback, "_LOOK_SECONDS", 0.001)


def put(s3: Any, body: bytes = BODY) -> str:
    return str(s3.put_object(Bucket="out", Key="a.scoreout", Body=body)["ETag"])


@pytest.mark.parametrize("body", [BODY, b""])
def test_it_is_that_of_all_bytes(body: bytes) -> None:
    s3 = MemoryS3()
    assert sha256(s3, "out", "a.scoreout", put(s3, body), len(body), lambda: 900) == hashlib.sha256(body).hexdigest()


def test_another_object_in_its_place_is_none_of_it() -> None:
    s3 = MemoryS3()
    etag = put(s3)
    put(s3, b"another")
    with pytest.raises(NotReadBack, match="replaced or deleted"):
        sha256(s3, "out", "a.scoreout", etag, len(BODY), lambda: 900)
    s3.delete_object(Bucket="out", Key="a.scoreout")
    with pytest.raises(NotReadBack, match="replaced or deleted"):
        sha256(s3, "out", "a.scoreout", etag, len(BODY), lambda: 900)


class Slow:
    """S3 whose object of 30 MB comes in 300 pieces, each when the clock has gone on by so many seconds."""

    size, piece = 30_000_000, 100_000

    def __init__(self, seconds: float = 0.0, hangs: bool = False) -> None:
        self.left, self.asked = 900.0, 0
        self._seconds, self._hangs, self.go_on = seconds, hangs, threading.Event()

    def seconds_left(self) -> float:
        if self._hangs and self.asked:
            self.left -= 10
        return self.left

    def get_object(self, Range: str = "bytes=0-", **_: Any) -> dict[str, Any]:  # noqa: N803
        self.asked += 1
        start, _, last = Range.removeprefix("bytes=").partition("-")
        slow, length = self, int(last or self.size - 1) + 1 - int(start)

        class Body(io.RawIOBase):
            given = 0

            def read(self, size: int = -1) -> bytes:
                if slow._hangs:
                    assert slow.go_on.wait(30)
                slow.left -= slow._seconds
                # As long as the other thread takes to see it.
                threading.Event().wait(0.002)
                size = min(slow.piece, length - self.given)
                self.given += size
                return bytes(size)

        return {"Body": StreamingBody(Body(), length)}


@pytest.fixture
def hanging() -> Iterator[Slow]:
    s3 = Slow(hangs=True)
    yield s3
    s3.go_on.set()


def test_where_there_is_no_time_nothing_is_read() -> None:
    s3 = Slow()
    with pytest.raises(NotReadBack, match="no time left"):
        sha256(s3, "out", "a.scoreout", "e", s3.size, lambda: 59)
    assert s3.asked == 0


def test_it_is_given_up_as_soon_as_it_is_known_that_the_time_does_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 300 pieces, 3 s each: 900 s of the 840 there are."""
    monkeypatch.setattr(ranges.Connections, "waited_for", lambda self, chunks: chunks)
    s3 = Slow(seconds=3)
    with pytest.raises(NotReadBack, match=f"does not suffice to read {s3.size} bytes back"):
        sha256(s3, "out", "a.scoreout", "e", s3.size, s3.seconds_left)
    assert s3.left > 700
    enough = Slow(seconds=1.5)
    assert len(sha256(enough, "out", "a.scoreout", "e", enough.size, enough.seconds_left)) == 64


@pytest.mark.parametrize("left", [900.0, 70.0])
def test_a_connection_that_hangs_costs_the_file_nothing(hanging: Slow, left: float) -> None:
    """The function has to write its receipt and to put its event yet."""
    hanging.left = left
    with pytest.raises(NotReadBack, match="does not suffice"):
        sha256(hanging, "out", "a.scoreout", "e", hanging.size, hanging.seconds_left)
    assert hanging.left >= 60


def test_its_memory_does_not_grow_with_the_file() -> None:
    s3 = Slow()
    s3.size, s3.piece = 200_000_000, 1_000_000
    tracemalloc.start()
    try:
        sha256(s3, "out", "a.scoreout", "e", s3.size, s3.seconds_left)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
