"""A list of files by the index of those that have ended: the same lines, of pages instead of DescribeExecution."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dropscore import ended, telling
from dropscore.cache import Cache
from dropscore.runs import Run, described, of_description
from dropscore.stack import Stack
from scoring.outcome import evidence, index
from tests.builders import settings
from tests.unit.cli.stand_ins import ARN, NOW, StepFunctions, refused, stack_of

PAGE = 1000
SECOND = timedelta(seconds=1)


class Bucket:
    """The keys of an output bucket, a page at a time; `refusal` is what whoever lists them is answered."""

    def __init__(self) -> None:
        self.keys, self.listed = list[str](), 0
        self.refusal: ClientError | None = None

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str) -> Iterator[dict[str, Any]]:  # noqa: N803  (S3's names)
        assert (Bucket, Prefix) == ("out", "scored/.progress/.ended/")
        if self.refusal:
            raise self.refusal
        after = sorted(key for key in self.keys if key > StartAfter)
        for begin in range(0, max(len(after), 1), PAGE):
            self.listed += 1
            page = after[begin : begin + PAGE]
            yield {"Contents": [{"Key": key} for key in page]} if page else {}

    def put(self, run: Run, finished: datetime, **changes: Any) -> None:
        key = key_of(run, finished, **changes)
        assert key
        self.keys.append(key)


def key_of(run: Run, finished: datetime, error: str = "", cause: str = "", **changes: Any) -> str | None:
    detail = {
        "execution": "arn:attempt:1",
        "file_execution": run.arn,
        "finished": finished.isoformat(),
        "source": source(run.name),
        **({"error": "Any"} if error else {"rows": 5, "eks_cluster": "prod"}),
    }
    return index.key_of(detail | changes, settings(), error, cause)


def source(name: str, key: str = "") -> dict[str, Any]:
    return {"bucket": "in", "key": key or f"incoming/{name}", "size": 1, "sequencer": "05"}


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache.sqlite")


def runs_of(count: int, **changes: Any) -> list[Run]:
    """So many that have ended one after the other, the newest first."""
    moments = [NOW + number * SECOND for number in range(count)]
    every = [Run(f"{ARN}a-{number}", "SUCCEEDED", at, at + 9 * SECOND) for number, at in enumerate(moments)]
    return [replace(run, **changes) for run in every][::-1]


def stack_with(bucket: Bucket, runs: Sequence[Run]) -> tuple[Stack, StepFunctions]:
    stack, stepfunctions = stack_of({run.name: f"incoming/{run.name}" for run in runs})
    stack.__dict__["s3"] = bucket
    return stack, stepfunctions


@pytest.mark.parametrize(("count", "pages"), [(1000, 1), (2500, 3)])
def test_a_thousand_files_are_one_page_and_none_is_described(
    bucket: Bucket, cache: Cache, count: int, pages: int
) -> None:
    runs = runs_of(count)
    stack, stepfunctions = stack_with(bucket, runs)
    for run in runs:
        bucket.put(run, run.started + SECOND)
    # Before and after all of them.
    bucket.keys = [index.begin(NOW - SECOND, "scored/") + f"/b/{number}" for number in range(5_000)] + bucket.keys
    bucket.keys += [index.begin(NOW + timedelta(days=1), "scored/") + f"/b/{number}" for number in range(5_000)]
    found = described(stack, runs, cache, ended.by_arn)
    assert [(run.arn, run.key, run.rows) for run in found] == [(run.arn, f"incoming/{run.name}", 5) for run in runs]
    assert not stepfunctions.described
    assert bucket.listed in (pages, pages + 1), "the next may begin on the last page"


def test_what_the_index_does_not_tell_of_is_described(bucket: Bucket, cache: Cache) -> None:
    runs = runs_of(40)
    runs[:6] = [
        replace(runs[0], status="RUNNING", stopped=None),
        replace(runs[1], redriven=1),
        replace(runs[2], status="ABORTED"),
        replace(runs[3], status="TIMED_OUT"),
        # Stopped when it had just been published.
        replace(runs[4], status="FAILED"),
        runs[5],
    ]
    stack, stepfunctions = stack_with(bucket, runs)
    for run in [*runs[:2], runs[4], *runs[6:]]:
        bucket.put(run, run.started + SECOND)
    # The attempts of those that were stopped have ended in words of their own.
    for run in (runs[2], runs[3], runs[5]):
        bucket.put(run, run.started + SECOND, error="PodCrashed", cause="It died.")
    bucket.put(runs[7], runs[7].started + 2 * SECOND, rows=7)
    # Whatever may lie there.
    bucket.keys += [index.begin(NOW + SECOND, "scored/") + each for each in ("", "/", "/a-1", "/a-1/x/y", "/b/x")]
    found = described(stack, runs, cache, ended.by_arn)
    assert sorted(stepfunctions.described) == sorted(run.name for run in runs[:6])
    assert [run.rows for run in found[6:]] == [5, 7, *[5] * 32], "the newest record counts"
    assert [run.key for run in found] == [f"incoming/{run.name}" for run in runs]


def test_what_was_described_before_is_not_looked_for(bucket: Bucket, cache: Cache) -> None:
    runs = runs_of(40)
    stack, stepfunctions = stack_with(bucket, runs)
    described(stack, runs, cache)
    assert described(stack, runs, cache, ended.by_arn)[0].etag == ""
    assert (len(stepfunctions.described), bucket.listed) == (40, 0)
    # Nor is it kept what the index tells, which is less.
    for run in (more := runs_of(30, arn=f"{ARN}b-1")):
        bucket.put(run, run.started)
    stack, stepfunctions = stack_with(bucket, more)
    described(stack, more, cache, ended.by_arn)
    assert not stepfunctions.described
    described(stack, more, cache)
    assert stepfunctions.described


def test_a_few_are_described_and_so_are_all_where_the_index_may_not_be_listed(bucket: Bucket, cache: Cache) -> None:
    runs = runs_of(40)
    stack, stepfunctions = stack_with(bucket, runs)
    described(stack, runs[:20], cache, ended.by_arn)
    assert (len(stepfunctions.described), bucket.listed) == (20, 0)
    bucket.refusal = refused("AccessDenied", "ListObjectsV2")
    described(stack, runs_of(40, stopped=NOW), cache, ended.by_arn)
    assert len(stepfunctions.described) == 60
    bucket.refusal = refused("SlowDown", "ListObjectsV2")
    with pytest.raises(ClientError, match="SlowDown"):
        described(stack, runs_of(40, stopped=NOW + SECOND), cache, ended.by_arn)


def test_an_index_in_which_few_are_is_given_up(bucket: Bucket, cache: Cache) -> None:
    runs = runs_of(30, started=NOW, stopped=NOW + timedelta(hours=1))
    stack, stepfunctions = stack_with(bucket, runs)
    busy = index.begin(NOW + timedelta(minutes=50), "scored/")
    bucket.keys = [f"{busy}/b/{number}" for number in range(50_000)]
    described(stack, runs, cache, ended.by_arn)
    assert bucket.listed == 4
    assert len(stepfunctions.described) == 30


TEXT = st.text(max_size=300)
# Sentences, their ends, and ends of lines between them.
LONG = st.integers(80, 200).map(lambda count: "a word " * count) | st.integers(80, 200).map(lambda count: "x" * count)
CAUSES = st.lists(
    TEXT | LONG | st.sampled_from([". ", ".\n", "\n", " ", "It died", "\u2028", "\ud800"]), max_size=9
).map("".join)
COUNTS = st.fixed_dictionaries(
    {"rows": st.integers(0, 10**9)},
    optional={"padded": st.integers(1, 9), "rejected": st.integers(1, 10**6), "superseded": st.just(True)},
)
NAMES = st.text(min_size=1, max_size=60) | st.just("日本/ä €.csv") | st.integers(1, 900).map(lambda count: "x" * count)


def line(stack: Stack, run: Run) -> list[str]:
    names = {run.arn: stack.name_of(run.key)}
    return [each.plain for each in telling.files_lines([(run, "")], names, NOW, 10_000)]


def both(name: str, status: str, described: dict[str, Any], **recorded: Any) -> tuple[list[str], list[str] | None]:
    """A line of the list, by DescribeExecution and by the index; none where that has no record."""
    stack, _ = stack_of({})
    run, whole = runs_of(1, status=status)[0], source("", f"incoming/{name}")
    of_it = of_description(run, {"input": json.dumps({"source": whole}), **described})
    key = key_of(run, NOW, source=whole, **recorded)
    by_index = key and ended._told(stack, run, key)
    return line(stack, of_it), line(stack, by_index) if by_index else None


@given(NAMES, COUNTS)
def test_the_line_of_a_scored_file_is_the_same(name: str, counts: dict[str, Any]) -> None:
    output = {"attempt": "arn:attempt:1", "cluster": "prod", "output": {"uri": "s3://out/x", **counts}}
    by_it, by_index = both(name, "SUCCEEDED", {"output": json.dumps(output)}, **counts)
    assert by_index in (by_it, None)
    assert by_index or len(name.encode()) > 150


@given(NAMES, st.text(min_size=1, max_size=40), CAUSES)
def test_the_line_of_a_failed_file_is_the_same(name: str, error: str, cause: str) -> None:
    child = {"ExecutionArn": "arn:attempt:1", "Status": "FAILED", "Error": error, "Cause": cause}
    told = {"error": "States.TaskFailed", "cause": json.dumps(child)}
    by_it, by_index = both(name, "FAILED", told, error=error, cause=cause)
    assert by_index in (by_it, None)
    assert by_index or len((name + error + cause).encode()) > 150


@pytest.mark.parametrize(("status", "error"), [("ABORTED", "Aborted"), ("TIMED_OUT", "States.Timeout")])
def test_the_line_of_one_whose_attempt_was_stopped_is_the_same(status: str, error: str) -> None:
    """The child's description has no error of its own then, nor has EventBridge's word of its end."""
    child = {"ExecutionArn": "arn:attempt:1", "Status": status}
    told = {"error": "States.TaskFailed", "cause": json.dumps(child)}
    by_it, by_index = both("a.csv", "FAILED", told, **evidence.ends({"status": status}))
    assert by_index == by_it
    assert f"  {error}" in by_it[1]
