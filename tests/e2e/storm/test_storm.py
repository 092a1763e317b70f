"""200 files dropped at once, a fault by chance in every fourth: 200 outcomes, none twice, none missing, nothing left."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import parts
from local import stack as embedded
from tests.conftest import use
from tests.e2e import models
from tests.e2e.pipeline import Pipeline, wait_for
from tests.e2e.storm.mischief import FUNCTIONS, Mischief
from tests.e2e.storm.plan import FAULTS, FILES, NONE, Fault, draw

pytestmark = pytest.mark.faults

STATE = parts.ROOT / ".local/storm"
SIZE = {"cpu": "20m", "memory": "128Mi"}
# Environments that a function may have at a time: what this machine can bear. More calls are throttled and come again.
CONCURRENCY = int(os.environ.get("CONCURRENCY", "6"))
MINUTES = 15
OUTCOMES = ("scoreout", "error")


@pytest.fixture
def pipeline(pytestconfig: pytest.Config) -> Pipeline:
    use(STATE, pytestconfig)
    return Pipeline(embedded.up(STATE, parameters={"TagWaitSeconds": "0"}))


def test_each_file_of_a_storm_has_its_outcome_and_leaves_nothing(pipeline: Pipeline) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    plan = draw(seed)
    print(f"\nseed {seed}: {FILES} files, {sum(fault is not NONE for fault in plan.values())} with a fault")
    images = {model: models.push(pipeline, model) for model in {fault.model for fault in (*FAULTS, NONE)}}
    for function in FUNCTIONS:
        pipeline.stack.client("lambda").put_function_concurrency(
            FunctionName=pipeline.resources[function], ReservedConcurrentExecutions=CONCURRENCY
        )

    began = time.monotonic()
    executions = drop_all(pipeline, plan, images)
    print(f"{len(executions)} executions after {time.monotonic() - began:.0f} s")
    mischief = Mischief(
        pipeline,
        {execution.rsplit(":", 1)[-1]: plan[name] for name, execution in executions.items()},
        {execution.rsplit(":", 1)[-1]: execution for execution in executions.values()},
        seed,
    )
    mischief.start()
    wait_for("the end of the storm", lambda: not running(pipeline), MINUTES * 60)
    seconds = time.monotonic() - began
    mischief.stop()

    wrong = wait_for_outcomes(pipeline, plan)
    report(pipeline, plan, executions, seconds, mischief)
    assert not wrong, wrong
    assert_nothing_left(pipeline)


def drop_all(pipeline: Pipeline, plan: Mapping[str, Fault], images: Mapping[str, str]) -> dict[str, str]:
    """Drop all files at once; the execution of each, by its name. There must be one each and no more."""

    def drop(name: str) -> None:
        fault = plan[name]
        tags = {"model_image": images[fault.model], "protocol": "sagemaker", **SIZE, **fault.tags}
        key, tagging = pipeline.stack.input_prefix + name, "&".join(f"{tag}={value}" for tag, value in tags.items())
        pipeline.s3.put_object(Bucket=pipeline.stack.input_bucket, Key=key, Body=fault.body, Tagging=tagging)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drop, plan))
    found: dict[str, str] = {}

    def all_started() -> bool:
        for page in pipeline.sfn.get_paginator("list_executions").paginate(
            stateMachineArn=pipeline.stack.score_file_arn
        ):
            for execution in page["executions"]:
                found.setdefault(execution["name"][:3] + ".csv", execution["executionArn"])
        return len(found) >= len(plan)

    wait_for("all executions", all_started, 180)
    return found


def running(pipeline: Pipeline) -> bool:
    machines = (pipeline.stack.score_file_arn, pipeline.stack.attempt_arn)
    pages = (pipeline.sfn.list_executions(stateMachineArn=arn, statusFilter="RUNNING") for arn in machines)
    return any(page["executions"] for page in pages)


def wait_for_outcomes(pipeline: Pipeline, plan: Mapping[str, Fault]) -> dict[str, str]:
    """What is not as it should be: by file, what there is instead of its one outcome. Those of stopped files come late."""
    until = time.monotonic() + 60
    while True:
        there = outcomes(pipeline)
        wrong = {
            name: str(there.get(name)) for name, fault in plan.items() if there.get(name) != [fault.error or "scored"]
        }
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(1)


def outcomes(pipeline: Pipeline) -> dict[str, list[str]]:
    """The outcomes in the output bucket by file: `scored`, or the error's name."""
    found: dict[str, list[str]] = {}
    for key in written(pipeline):
        name, _, kind = key.removeprefix(pipeline.stack.output_prefix).rpartition(".")
        if kind in OUTCOMES:
            tags = pipeline.read_outcome(key).tags
            found.setdefault(name, []).append("scored" if kind == "scoreout" else tags["error"])
    return found


def written(pipeline: Pipeline) -> list[str]:
    """The keys of the output bucket."""
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=pipeline.stack.output_bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def assert_nothing_left(pipeline: Pipeline) -> None:
    def left() -> list[str]:
        """Of the attempts, in the cluster and in the bucket."""
        return pipeline.objects() + [key for key in written(pipeline) if key.rpartition(".")[2] not in OUTCOMES]

    until = time.monotonic() + 60
    while left() and time.monotonic() < until:
        time.sleep(1)
    assert not left(), left()
    uploads = pipeline.s3.list_multipart_uploads(Bucket=pipeline.stack.output_bucket).get("Uploads", ())
    assert not uploads, uploads


def report(
    pipeline: Pipeline,
    plan: Mapping[str, Fault],
    executions: Mapping[str, str],
    seconds: float,
    mischief: Mischief,
) -> None:
    pods, failed = 0, Counter[str]()
    for execution in executions.values():
        events = pipeline.history(pipeline.attempt(execution))
        pods += sum(event.get("stateExitedEventDetails", {}).get("name") == "launch_pod" for event in events)
        failed.update(event["taskFailedEventDetails"]["error"] for event in events if "taskFailedEventDetails" in event)
    came = Counter(name for names in outcomes(pipeline).values() for name in names)
    print(f"{seconds:.0f} s in all, {seconds / len(plan):.2f} s a file")
    print("outcomes:", ", ".join(f"{name} {count}" for name, count in came.most_common()))
    print(
        "faults:", ", ".join(f"{name} {count}" for name, count in Counter(f.name for f in plan.values()).most_common())
    )
    print(f"pods launched: {pods}; processes of functions killed: {mischief.workers_killed}")
    print("failed calls, repeated or told:", ", ".join(f"{name} {count}" for name, count in failed.most_common()))
