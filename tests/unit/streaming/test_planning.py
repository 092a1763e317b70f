"""A file is cut into shards in as many looks as it takes."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from dropscore.check.memory_s3 import MemoryS3
from scoring import streaming
from scoring.errors import ScoringFailed
from scoring.files import objects, shards
from scoring.files.formats import Spec
from scoring.intake import shard
from scoring.intake.shard import Shard
from scoring.protocols.model import Model
from scoring.streaming import planning
from tests.builders import request, source
from tests.unit.streaming.test_streaming import drop

ROWS = b"".join(b'%d,"a\nb, %d"\r\n' % (n, n) for n in range(1, 401))
FILE = b"id,text\r\n\r\n" + ROWS


@pytest.mark.parametrize("chunk_bytes", [7, 150, 1 << 20])
@pytest.mark.parametrize("pods", [1, 3, 8, 40])
def test_a_plan_that_takes_several_functions_is_that_of_one(
    monkeypatch: pytest.MonkeyPatch, pods: int, chunk_bytes: int
) -> None:
    s3 = MemoryS3()
    found, asked = drop(s3, FILE), request(pods=pods)
    at_once = planning.plan(s3, found, asked, {}, lambda: 900.0)
    assert at_once["status"] == "PLANNED"
    monkeypatch.setattr(planning, "_RANGE_BYTES", 200)
    monkeypatch.setattr(objects, "CHUNK_BYTES", chunk_bytes)
    known: dict[str, Any] = {}
    looks = 0
    while known.get("status") != "PLANNED":
        # Each function has time for eleven more looks at the clock: that is in the middle of ranges.
        left = iter([900.0] * 11)
        plan = planning.plan(s3, found, asked, known, lambda left=left: next(left, 89.0))
        # As the state holds it between two functions.
        known = json.loads(json.dumps(plan))
        looks += 1
    assert looks > 3
    for planned in (at_once, known):
        cut = planned["shards"]
        assert 1 <= len(cut) <= pods
        assert sum(each["records"] for each in cut) == cut[0]["total"] == 400
        assert [each["row"] for each in cut[1:]] == [each["row"] + each["records"] for each in cut[:-1]]
        text = b"".join(FILE[each["start"] : each["stop"]] for each in cut)
        assert text == FILE[len(FILE) - len(text) :]
        assert text.startswith((b"1,", b"\r\n1,"))
        for each in cut[1:]:
            assert FILE[each["start"] :].startswith(b"%d," % each["row"])


def test_a_plan_that_began_before_an_update_is_gone_on_with() -> None:
    """Then, it told of no range that was not looked through yet."""
    s3 = MemoryS3()
    found, asked = drop(s3, FILE), request(pods=3)
    at_once = planning.plan(s3, found, asked, {}, lambda: 900.0)
    known = planning.plan(s3, found, asked, {}, lambda: 89.0)
    ranges = shards.look_through(
        partial(objects.stream, s3, found), Spec.of(asked).dialect, known["edges"][:2], [None, None]
    )
    known["looked"] = [each.to_json() for each in ranges if each]
    assert len(known["looked"]) == 2 < len(known["edges"])
    assert planning.plan(s3, found, asked, known, lambda: 900.0) == at_once


class WithSha256(MemoryS3):
    """Holds what was put with a SHA-256, as S3 does where the client has sent one, and no other checksum."""

    sha256, is_looked_through = hashlib.sha256(FILE).digest(), False

    def head_object(self, **which: Any) -> dict[str, Any]:
        self.is_looked_through = True
        found = super().head_object(**which)
        found.pop("ChecksumCRC32", None)
        return found | {"ChecksumSHA256": base64.b64encode(self.sha256).decode(), "ChecksumType": "FULL_OBJECT"}


def test_a_file_with_a_sha256_alone_is_held_against_that_and_its_shards_against_its_crc() -> None:
    s3, asked = WithSha256(), request(pods=3)
    planned = planning.plan(s3, drop(s3, FILE), asked, {}, lambda: 900.0)
    assert planned["checksum"] == {"CRC32": base64.b64encode(zlib.crc32(FILE).to_bytes(4, "big")).decode()}
    s3.sha256 = bytes(32)
    with pytest.raises(ScoringFailed, match="its SHA256 is another"):
        planning.plan(s3, drop(s3, FILE), asked, {}, lambda: 900.0)


def test_the_crc_of_a_shards_bytes_is_found_whatever_s3_has_of_the_file() -> None:
    asked = shard.request(request(), Shard(1, 2, 0, 9, 1, 1, 2).to_json())
    opened = {"checksum": {"SHA256": "abc="}}
    job = streaming.Job(
        MemoryS3(), Model("http://model"), source(), asked, "uid-1", opened, lambda: 900.0, lambda: datetime.now(UTC)
    )
    digest = job.digest(6, zlib.crc32(b"shard "))
    digest.update(b"one")
    assert digest.crc == zlib.crc32(b"shard one")


def test_what_there_is_no_time_to_verify_gets_a_function_of_its_own_and_goes_unverified_then() -> None:
    s3, asked = WithSha256(), request(pods=3)
    found = drop(s3, FILE)
    known = planning.plan(s3, found, asked, {}, lambda: 89.0 if s3.is_looked_through else 900.0)
    assert known["status"] == "PLANNING"
    assert planning.plan(s3, found, asked, known, lambda: 900.0)["checksum"]
    assert planning.plan(s3, found, asked, known, lambda: 89.0)["checksum"] == {}


def test_shards_are_of_about_the_same_size() -> None:
    s3 = MemoryS3()
    cut = planning.plan(s3, drop(s3, FILE), request(pods=4), {}, lambda: 900.0)["shards"]
    sizes = [each["stop"] - each["start"] for each in cut]
    assert len(sizes) == 4
    assert max(sizes) < 1.2 * len(FILE) / 4
