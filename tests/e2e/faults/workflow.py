"""Executions that are stopped, run out of time or are redriven, and what the sweeper does and does not touch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.e2e import models
from tests.e2e.faults import disturb
from tests.e2e.faults.case import IN_ECR, Case, Stage
from tests.e2e.pipeline import OURS, wait_for


def stop(who: str, when: str) -> Callable[[Stage], Iterable[str]]:
    """Stop the `parent` (score_file) or the `child` (attempt) while a step runs, launch_pod not before there is a pod."""

    def inject(stage: Stage) -> Iterable[str]:
        execution = stage.drop()
        stage.reach(execution, when)
        stage.pipeline.sfn.stop_execution(
            executionArn=execution if who == "parent" else stage.pipeline.attempt(execution)
        )
        yield execution

    return inject


def stop_and_redrive(stage: Stage) -> Iterable[str]:
    (execution,) = stop("parent", "stream_file")(stage)
    wait_for("the .error", lambda: stage.pipeline.read(f"scored/{stage.case.name}/file.csv.error"), 60)
    stage.pipeline.sfn.redrive_execution(executionArn=execution)
    yield execution


def repair_the_model_and_redrive(stage: Stage) -> Iterable[str]:
    """The image is pushed again under the same tag."""
    stage.pipeline.only_embedded(IN_ECR)
    repository = f"tests/{stage.case.name}"
    execution = stage.drop(model_image=models.push(stage.pipeline, "refuses", repository))
    assert stage.pipeline.outcome(execution).error["error"] == "ModelFailed"
    models.push(stage.pipeline, "well", repository)
    stage.pipeline.sfn.redrive_execution(executionArn=execution)
    yield execution


def drop_again(stage: Stage) -> Iterable[str]:
    first = stage.drop(protocol="soap")
    assert stage.pipeline.outcome(first).error["error"] == "InvalidTags"
    yield stage.drop()


def run_out_of_time(which: str) -> Callable[[Stage], Iterable[str]]:
    def inject(stage: Stage) -> Iterable[str]:
        stack = stage.pipeline.stack
        machine = stack.score_file_arn if which == "parent" else stack.attempt_arn
        with disturb.time_out_of(stage.pipeline, machine, 8):
            execution = stage.drop()
            stage.pipeline.ended(execution)
        yield execution

    return inject


def sweep(stage: Stage) -> Iterable[str]:
    """Sweep while there are pods of an attempt that is over, of one that runs, of another stack, and of somebody else."""
    pipeline = stage.pipeline
    over = pipeline.drop(f"{stage.case.name}/over.csv", b"a\n1\n", protocol="soap")
    pipeline.ended(over)
    attempt = pipeline.attempt(over)
    orphan = pod("orphan", attempt, ours())
    others = (pod("foreign", attempt, {}), pod("stranger", attempt.replace("attempt", "others"), ours()))
    for manifest in (orphan, *others):
        pipeline.call("POST", pipeline.path("pods"), body=manifest)
    execution = stage.drop()
    running = stage.pod(stage.scoring(execution))
    swept = pipeline.invoke("SweepOrphans", {})["swept"]
    assert orphan["metadata"]["labels"]["dropscore.io/attempt"] in swept
    assert pipeline.attempt(execution).rsplit(":", 1)[-1] not in swept
    assert "deletionTimestamp" not in pipeline.call("GET", running)["metadata"]
    for other in others:
        path = pipeline.path("pods", other["metadata"]["name"])
        assert "deletionTimestamp" not in pipeline.call("GET", path)["metadata"]
        pipeline.call("DELETE", path)
    pipeline.assert_nothing_left(over)
    yield execution


def ours() -> dict[str, str]:
    name, _, value = OURS.partition("=")
    return {name: value}


def pod(name: str, execution: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A pod of an attempt that the namespace takes and that never gets anywhere."""
    size = {"cpu": "10m", "memory": "16Mi"}
    container = {"name": "model", "image": "nowhere/nothing:1", "resources": {"requests": size, "limits": size}}
    metadata = {
        "name": name,
        "labels": {"dropscore.io/attempt": name if "others" in execution else execution.rsplit(":", 1)[-1], **labels},
        "annotations": {"dropscore.io/execution": execution},
    }
    return {"metadata": metadata, "spec": {"containers": [container]}}


def outlive_the_execution(stage: Stage) -> Iterable[str]:
    """Stop the execution while launch_pod waits for a cluster that stands still; the pod comes afterwards."""
    pipeline = stage.pipeline
    standing_still = disturb.frozen(pipeline)
    standing_still.__enter__()
    timer = disturb.after(5, standing_still)
    execution = stage.drop()
    pipeline.state(execution, "launch_pod")
    pipeline.sfn.stop_execution(executionArn=execution)
    timer.join()
    pipeline.ended(execution)
    attempt = pipeline.attempt(execution).rsplit(":", 1)[-1]
    wait_for("the pod of the function that lived on", lambda: logged(stage, "LaunchPod", attempt), 60)
    pipeline.invoke("SweepOrphans", {})
    yield execution


def logged(stage: Stage, function: str, attempt: str) -> bool:
    """Whether a function has written a line about an attempt: the last one that it writes says `done`, or the error."""
    logs = stage.pipeline.stack.client("logs")
    name = stage.pipeline.resources["FunctionLogs"]
    events = logs.filter_log_events(logGroupName=name, filterPattern=f'"{attempt}"').get("events", ())
    return any(
        line.get("message") == "done" for line in map(parsed, events) if function in line.get("function_name", "")
    )


def parsed(event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        line = json.loads(event["message"])
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


STOPPED, REDRIVE = "Somebody stopped the execution", "Redrive the execution"
CASES = (
    *(
        Case(
            f"{who}-stopped-in-{step.replace('_', '-')}",
            f"somebody stops the execution of `{machine}` while `{step}` runs",
            "Aborted",
            STOPPED,
            REDRIVE,
            model=model,
            inject=stop(who, step),
            status="ABORTED" if who == "parent" else "FAILED",
        )
        for who, machine in (("parent", "score_file"), ("child", "attempt"))
        for step, model in (("launch_pod", "never-listens"), ("stream_file", "slow"))
    ),
    Case(
        "parent-out-of-time",
        "the execution of `score_file` runs out of its time",
        "Aborted",
        STOPPED,
        REDRIVE,
        model="stuck",
        inject=run_out_of_time("parent"),
        status="TIMED_OUT",
        rough=True,
    ),
    Case(
        "child-out-of-time",
        "the execution of `attempt` runs out of its time",
        "States.Timeout",
        "ran out of time",
        REDRIVE,
        model="stuck",
        inject=run_out_of_time("child"),
        rough=True,
    ),
    Case(
        "redriven-after-a-stop",
        "the stopped execution is redriven",
        but="scored by a new attempt; the `.error` is gone",
        model="slow",
        inject=stop_and_redrive,
    ),
    Case(
        "redriven-after-a-repair",
        "the model fails; it is repaired and pushed again, and the execution is redriven",
        but="scored by a new attempt with the new image; the `.error` is gone",
        inject=repair_the_model_and_redrive,
    ),
    Case(
        "dropped-again",
        "the file fails and is dropped again, with other tags",
        but="scored; the `.error` is gone",
        inject=drop_again,
    ),
    Case(
        "swept",
        "a pod is left of an attempt that is over; the sweeper comes while another file is scored",
        but="scored: only the orphan is swept, nobody else's pod and none of a running attempt",
        model="slow",
        inject=sweep,
    ),
    Case(
        "function-outlives-its-execution",
        "the execution is stopped while launch_pod waits for the cluster; its pod comes after the tear-down",
        "Aborted",
        STOPPED,
        REDRIVE,
        inject=outlive_the_execution,
        status="ABORTED",
        rough=True,
    ),
)
