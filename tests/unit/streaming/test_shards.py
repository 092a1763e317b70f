"""On how many pods a file is scored shows in nothing: the same bytes come of it, whatever ends an attempt's steps."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dropscore.check.memory_s3 import MemoryS3
from scoring.errors import DropscoreError
from scoring.intake import shard
from scoring.outcome import files as outcome
from scoring.outcome import joining
from scoring.streaming import output, planning
from tests.builders import OUTPUT_BUCKET, request
from tests.examples import examples
from tests.unit.servers import Server
from tests.unit.stand_ins import ROWS, SasContainer
from tests.unit.streaming.test_resume import (
    ENDS,
    KINDS,
    SIZES,
    End,
    Killed,
    Runs,
    Sizes,
    documents,
)
from tests.unit.streaming.test_streaming import begun, drop

TAGS = {"execution": "execution", "sequencer": "1"}


@pytest.fixture
def s3() -> MemoryS3:
    return MemoryS3()


def on_pods(runs: Runs, pods: int, ends: list[End], sizes: Sizes) -> tuple[bytes, int, bytes] | DropscoreError:
    """The scored file, its rows, and the list of bad ones, of a file that is scored on so many pods."""
    s3, found, output = runs.s3, drop(runs.s3, runs.document), runs.asked["output"]
    whole = runs.asked | {"pods": pods}
    left = list(ends)
    with pytest.MonkeyPatch.context() as patch:
        sizes.apply(patch)
        patch.setattr(joining, "_LEAST_BYTES", sizes.part)
        try:
            planned = planning.plan(s3, found, whole, {}, lambda: 900.0)
            scoring = begun(s3, found, whole) | planned
            outcomes = []
            for part in scoring["shards"]:
                asked = shard.request(whole, part)
                scored = begun(s3, found, asked)
                pod = 1
                while scored.get("status") != "DONE":
                    end = left.pop(0) if left else None
                    with contextlib.suppress(Killed):
                        scored = runs.step(found, asked, scored, f"uid-{part['number']}-{pod}", end)
                    pod += bool(end and end.fresh_pod)
                outcomes.append(scored | outcome.complete(s3, asked["output"], scored, TAGS, is_shard=True))
            # Twice, as after an answer that was lost.
            joining.join(s3, found, whole, scoring, outcomes, lambda: 900.0)
            done = joining.join(s3, found, whole, scoring, outcomes, lambda: 900.0)
            outcome.publish(s3, output, done, TAGS)
        except DropscoreError as error:
            return error
        finally:
            outcome.forget_shards(s3, output, pods)
            left_over = s3.list_objects_v2(Bucket=OUTPUT_BUCKET, Prefix=output["progress"] + "/")
            names = {each["Key"].rpartition("/")[2] for each in left_over.get("Contents", ())}
            assert not any("." in name for name in names), "records of progress alone, which tear_down deletes"
    body: bytes = s3.get_object(Bucket=OUTPUT_BUCKET, Key=output["key"])["Body"].read()
    return body, done["rows"], runs.rejected(done)


PLAIN = documents().filter(lambda document: document[0]["encoding"] == "utf-8" and "compression" not in document[0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sas"])
@settings(
    max_examples=examples(67),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(document=PLAIN, pods=st.sampled_from([1, 2, 3, 8]), ends=ENDS, sizes=SIZES)
def test_a_file_on_several_pods_is_that_of_one(
    s3: Any, server: Server, kind: str, document: tuple[dict[str, Any], bytes], pods: int, ends: list[End], sizes: Sizes
) -> None:
    how, body = document
    asked = request(**KINDS[kind], max_errors=["100%"], format=how)
    server.answers.clear()
    if asked["protocol"] in ROWS:
        server.answers["POST /invocations"] = ROWS[asked["protocol"]]
    else:
        SasContainer(server, ranges=True)
    runs = Runs(s3, server, None, asked, body)
    alone = runs.run([], Sizes(1 << 20, 1 << 20, 8 << 20))
    together = on_pods(runs, pods, ends, sizes)
    if isinstance(together, DropscoreError):
        assert alone is type(together), together
    else:
        assert together == alone
    s3.delete_object(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])


GOOD, BAD = b"1,2\n" * 4, b"1,2,3\n" * 4


@pytest.mark.parametrize("most_held", [0, 16 << 20], ids=["on the way", "at the end"])
@pytest.mark.parametrize(
    "body", [BAD + GOOD + GOOD, GOOD + BAD + GOOD, GOOD + GOOD + BAD, BAD + GOOD + BAD], ids=["1", "2", "3", "1 and 3"]
)
def test_a_shard_none_of_whose_records_can_be_scored_learns_the_columns_from_records_of_others(
    s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch, body: bytes, most_held: int
) -> None:
    server.answers["POST /invocations"] = ROWS["sagemaker"]
    asked = request(**KINDS["sagemaker"], max_errors=["70%"])
    runs = Runs(s3, server, None, asked, b"a,b\n" + body)
    alone = runs.run([], Sizes(1 << 20, 1 << 20, 8 << 20))
    monkeypatch.setattr(output, "_MOST_HELD_BYTES", most_held)
    together = on_pods(runs, 3, [], Sizes(9, 1 << 20, 8 << 20))
    assert not isinstance(together, DropscoreError), together
    assert together == alone
    assert together[1] == 12
    assert together[2].count(b"\n") == 1 + body.count(b"3\n")
