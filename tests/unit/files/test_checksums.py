"""What a model was sent is held against S3's checksum of the file, however many connections and steps it took."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

import pytest

from scoring import streaming
from scoring.errors import ScoringFailed
from scoring.files import checksums, objects
from scoring.intake.identity import Source
from scoring.protocols import RowProtocol
from tests.builders import INPUT_BUCKET, request, source
from tests.unit.servers import Server
from tests.unit.stand_ins import SasContainer, sagemaker
from tests.unit.streaming.test_streaming import job, opened, time_for

KEY = "incoming/2026/loans.csv"
FILE = b"id,text\n" + b"".join(b'%d,"line\n%d"\n' % (n, n * 7) for n in range(300))
VALUES = {
    "SHA256": base64.b64encode(hashlib.sha256(FILE).digest()).decode(),
    "CRC32": base64.b64encode(zlib.crc32(FILE).to_bytes(4, "big")).decode(),
}


def dropped(s3: Any, **checksum: str) -> Source:
    answer = s3.put_object(Bucket=INPUT_BUCKET, Key=KEY, Body=FILE, **checksum)
    return source(etag=answer["ETag"].strip('"'), size=len(FILE))


class Head:
    """S3 as far as its answer to HeadObject."""

    def __init__(self, **answer: str) -> None:
        self.answer = answer

    def head_object(self, **asked: str) -> dict[str, str]:
        assert asked["ChecksumMode"] == "ENABLED", "or S3 says nothing of checksums"
        return self.answer


@pytest.mark.parametrize("name", VALUES)
def test_the_checksum_is_the_one_that_the_object_was_dropped_with(s3: Any, name: str) -> None:
    assert checksums.held(s3, dropped(s3, ChecksumAlgorithm=name)) == {name: VALUES[name]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, {}),
        ({"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}, {}),
        ({"ChecksumSHA256": "abc=-3", "ChecksumType": "COMPOSITE"}, {}),
        ({"ChecksumCRC32": "AAAAAA==", "ChecksumType": "COMPOSITE"}, {}),
        ({"ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"}, {"CRC32": "AAAAAA=="}),
        ({"ChecksumSHA256": "abc=", "ChecksumCRC32": "AAAAAA=="}, {"SHA256": "abc="}),
    ],
)
def test_only_a_checksum_of_the_whole_object_is_one(answer: dict[str, str], expected: dict[str, str]) -> None:
    assert checksums.held(Head(**answer), source()) == expected


CORRUPT = FILE.replace(b"line", b"lime", 1)


@pytest.fixture
def corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that changed on their way, as no connection's own checks saw."""

    def read(_s3: Any, _source: Source, offset: int = 0, *_: Any) -> Any:
        yield from (CORRUPT[start : start + 500] for start in range(offset, len(CORRUPT), 500))

    monkeypatch.setattr(objects, "read", read)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", 512)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    "asked", [{"protocol": "sagemaker"}, {"protocol": "sas"}, {"protocol": "sas", "split": "rows"}]
)
def test_bytes_that_changed_on_their_way_are_never_published(
    s3: Any, server: Server, corrupt: None, small: None, asked: dict[str, str], name: str
) -> None:
    if asked["protocol"] == "sas":
        SasContainer(server)
    else:
        server.answers["POST /invocations"] = sagemaker
    found = dropped(s3)
    scoring = opened(s3, found, checksum={name: VALUES[name]})
    with pytest.raises(ScoringFailed, match=f"is not what S3 holds: its {name} is another"):
        streaming.advance(job(s3, server, found, scoring, request=request(**asked)))


@pytest.mark.parametrize("name", VALUES)
def test_what_did_not_change_passes_whatever_the_steps(s3: Any, server: Server, small: None, name: str) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = dropped(s3)
    scoring, steps = opened(s3, found, checksum={name: VALUES[name]}), 0
    while scoring.get("status") != "DONE":
        scoring = streaming.advance(job(s3, server, found, scoring, seconds_left=time_for(server, 3)))
        steps += 1
    assert steps > 2


def test_a_crc_goes_on_from_step_to_step(s3: Any, server: Server, small: None, corrupt: None) -> None:
    """The change is in the bytes of the first step, and it is the last one that finds it."""
    server.answers["POST /invocations"] = sagemaker
    found = dropped(s3)
    scoring, steps = opened(s3, found, checksum={"CRC32": VALUES["CRC32"]}), 0
    with pytest.raises(ScoringFailed, match="its CRC32 is another"):
        while scoring.get("status") != "DONE":
            scoring = streaming.advance(job(s3, server, found, scoring, seconds_left=time_for(server, 3)))
            steps += 1
    assert steps >= 2, "steps before it went well"
