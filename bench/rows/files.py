"""What a file costs beside its model: its overhead, the time to its first byte, and what many at once do to that."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from bench.plan import Plan
from bench.stack import TAGS, Bench, Scored, Way
from bench.table import Row, Sample, holds, ratio_at_most, value_at_most

# From here on the cores have enough to do.
_BUSY_FROM = 10
OVERHEAD = "overhead of a 0.4 MB file"
_PATIENCE_SECONDS, _PATIENCE_SECONDS_A_FILE = 60.0, 3.0
_AT_ONCE_BODY = b"a,b\n" + b"1,2\n" * 100


def overhead(plan: Plan, bench: Bench, scored: list[Scored]) -> Iterator[Row]:
    """Ours and the naive client's in turn, and one's that asks before it sleeps; `scored` gets our files."""
    theirs: list[Way] = []
    eager: list[Way] = []
    for _ in range(plan.overhead_rounds):
        scored += [bench.ours(), bench.ours()]
        theirs.append(bench.naive(plan, asks_first=False))
        eager.append(bench.naive(plan, asks_first=True))
    ours = [one.way for one in scored]
    own, naive, quicker = (Sample(tuple(way.overhead for way in ways)) for ways in (ours, theirs, eager))
    yield Row(OVERHEAD, own, "s", naive, "naive client", ratio_at_most(0.1))
    yield Row("  … and one that asks before it sleeps", own, "s", quicker, "naive, eager")
    first = Sample(tuple(way.first_byte for way in ours))
    yield Row("pod Ready to first byte sent", first, "s", goal=value_at_most(0.3, "s"))


def transitions_row(files: int) -> str:
    return f"{files} at once, transitions a file"


def at_once(plan: Plan, bench: Bench) -> Iterator[Row]:
    """Many small files dropped together: seconds a file against those of the first batch that fills the cores."""
    seconds: dict[int, Sample] = {}
    steps: dict[int, Sample] = {}
    waits: dict[int, Sample] = {}
    for files in plan.at_once:
        began = time.time()
        for number in range(files):
            _drop(bench, f"at-once-{files}-{number}.csv")
        executions = _ended(bench, f"at-once-{files}-", files)
        last = max(one["stopDate"].timestamp() for one in executions)
        seconds[files] = Sample(((last - began) / files,))
        counted = [_counted(bench, one["executionArn"]) for one in executions]
        steps[files], waits[files] = (Sample(values) for values in zip(*counted, strict=True))
    busy = next((files for files in plan.at_once if files >= _BUSY_FROM), plan.at_once[-1])
    for files, taken in seconds.items():
        compared = files > busy
        yield Row(
            f"{files} at once, time a file",
            taken,
            "s",
            seconds[busy] if compared else None,
            f"{busy} at once",
            ratio_at_most(1.5) if compared else None,
        )
    first = steps[plan.at_once[0]]
    for files, taken in steps.items():
        constant = holds("constant", set(taken.values) == set(first.values))
        yield Row(transitions_row(files), taken, "", first, f"{plan.at_once[0]} at once", constant)
        if any(waits[files].values):
            # As many pods as the namespace's quota allows run at a time; the other files wait until they are called.
            yield Row(f"{files} at once, more of them (namespace full)", waits[files], "")


# The steps of a file that waits for room; launch_pod comes again after them.
_QUEUED = ("queue_file", "wait_for_room")


def _drop(bench: Bench, name: str) -> None:
    stack = bench.pipeline.stack
    key = stack.input_prefix + name
    bench.pipeline.s3.put_object(Bucket=stack.input_bucket, Key=key, Body=_AT_ONCE_BODY, Tagging=urlencode(TAGS))


def _ended(bench: Bench, prefix: str, files: int) -> list[dict[str, Any]]:
    """The executions of all files whose name begins so, once all have ended well."""
    sfn, machine = bench.pipeline.sfn, bench.pipeline.stack.score_file_arn
    until = time.monotonic() + _PATIENCE_SECONDS + _PATIENCE_SECONDS_A_FILE * files
    while time.monotonic() < until:
        pages = sfn.get_paginator("list_executions").paginate(stateMachineArn=machine)
        found = [one for page in pages for one in page["executions"] if one["name"].startswith(prefix)]
        failed = [one["name"] for one in found if one["status"] not in ("RUNNING", "SUCCEEDED")]
        if failed:
            raise RuntimeError(f"{len(failed)} of {files} files were not scored, such as {failed[0]}")
        if len(found) == files and all(one["status"] == "SUCCEEDED" for one in found):
            return found
        time.sleep(1)  # each look takes time of the machine that is measured
    raise RuntimeError(f"{files} files were not scored in time")


def _counted(bench: Bench, execution: str) -> tuple[int, int]:
    each = [transitions(bench.pipeline.history(arn)) for arn in (execution, bench.pipeline.attempt(execution))]
    return sum(steps for steps, _ in each), sum(waits for _, waits in each)


def transitions(events: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """State transitions that AWS bills for an execution with this history: its steps, and what it had to wait with, in a
    queue or by retries.

    Step Functions pricing, its first example: the start and the end count as well as each state.
    """
    listed = list(events)
    kinds = [str(event["type"]) for event in listed]
    entered = [
        event.get("stateEnteredEventDetails", {}).get("name") for event in listed if "StateEntered" in event["type"]
    ]
    queued = sum(name in _QUEUED or before in _QUEUED for before, name in pairwise(entered))
    tries = sum(kind in ("TaskScheduled", "LambdaFunctionScheduled") for kind in kinds)
    return len(entered) - queued + 2, queued + tries - kinds.count("TaskStateEntered")
