"""A file is cut into shards in as many looks as it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoring.files import objects
from scoring.streaming import planning
from tests.builders import request
from tests.unit.memory_s3 import MemoryS3
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


def test_shards_are_of_about_the_same_size() -> None:
    s3 = MemoryS3()
    cut = planning.plan(s3, drop(s3, FILE), request(pods=4), {}, lambda: 900.0)["shards"]
    sizes = [each["stop"] - each["start"] for each in cut]
    assert len(sizes) == 4
    assert max(sizes) < 1.2 * len(FILE) / 4
