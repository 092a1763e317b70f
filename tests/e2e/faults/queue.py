"""A namespace that is full, and the files that wait for room in it (on the rough stack)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.e2e import models
from tests.e2e.faults import disturb
from tests.e2e.faults.case import IN_ECR, Case, Stage
from tests.e2e.pipeline import Pipeline, wait_for

FILES = 6
# What a file that waits may cost: calls of launch_pod, whether it waits for minutes or for days.
MOST_LAUNCHES = 5


def in_queue(pipeline: Pipeline, execution: str) -> bool:
    """Whether a file sleeps in the queue of its namespace."""
    if not pipeline.has_attempt(execution):
        return False
    events = pipeline.history(pipeline.attempt(execution))
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    return entered[-1:] == ["queue_file"] and bool(pipeline.place(pipeline.attempt(execution).rpartition(":")[2]))


def wait_in_queue(stage: Stage, execution: str, tries: int = 2) -> None:
    """Wait until a file sleeps for good: the first of a queue tries once more by itself before it does."""
    pipeline = stage.pipeline
    wait_for(
        f"{execution} in the queue",
        lambda: in_queue(pipeline, execution) and launches(pipeline, execution) == tries,
        60,
    )


def launches(pipeline: Pipeline, execution: str) -> int:
    """How often launch_pod was called for a file."""
    events = pipeline.history(pipeline.attempt(execution))
    asked = [event.get("taskScheduledEventDetails", {}).get("resource", "") for event in events]
    return sum(1 for resource in asked if resource.endswith(f":{pipeline.resources['LaunchPod']}"))


def drop_many(stage: Stage) -> Iterable[str]:
    """Drop files one after the other where there is room for one pod; they are launched in their order."""
    pipeline, executions = stage.pipeline, []
    with disturb.quota(pipeline, pods="1"):
        for number in range(FILES):
            executions.append(stage.drop(f"file-{number}.csv"))
            wait_for("its attempt", lambda: pipeline.has_attempt(executions[-1]), 30)
        for execution in executions:
            pipeline.ended(execution, 240)
    launched = [pipeline.state(execution, "await_pod")["pod"]["created"] for execution in executions]
    assert launched == sorted(launched), f"somebody has overtaken: {launched}"
    counts = [launches(pipeline, execution) for execution in executions]
    assert counts[-1] > 1, "nobody had to wait"
    assert max(counts) <= MOST_LAUNCHES, counts
    yield from executions


def stop_one_that_waits(stage: Stage) -> Iterable[str]:
    """Two files wait, and the first of them is stopped."""
    pipeline = stage.pipeline
    with disturb.full(pipeline, pods="1"):
        stopped = stage.drop("stopped.csv")
        wait_in_queue(stage, stopped)
        waiting = stage.drop("waiting.csv")
        wait_in_queue(stage, waiting, tries=1)
        pipeline.sfn.stop_execution(executionArn=stopped)
        key = f"scored/{stage.case.name}/stopped.csv.error"
        wait_for(key, lambda: pipeline.read(key), 60)
        assert pipeline.read_outcome(key).error["error"] == "Aborted"
        pipeline.assert_nothing_left(stopped)
    room_again(stage)
    yield waiting


def call_nobody(stage: Stage) -> Iterable[str]:
    """The tear_down that makes room may not read who waits; the sweeper comes later."""
    pipeline = stage.pipeline
    with disturb.quota(pipeline, pods="1"):
        scoring = stage.drop("scoring.csv", model_image=models.push(pipeline, "stuck"))
        stage.scoring(scoring)
        waiting = stage.drop("waiting.csv")
        wait_in_queue(stage, waiting)
        with disturb.denied(
            pipeline, pipeline.stack.output_bucket, "s3:GetObject", f"{pipeline.stack.output_prefix}.queue/*"
        ):
            pipeline.sfn.stop_execution(executionArn=scoring)
            pipeline.assert_nothing_left(scoring)
        assert in_queue(pipeline, waiting)
        pipeline.invoke("SweepOrphans", {})
        pipeline.ended(waiting, 60)
    yield waiting


def room_again(stage: Stage) -> None:
    """Nobody calls when it is not a file's pod that goes: the sweeper finds it out, every quarter of an hour."""

    def has_gone() -> bool:
        pods = stage.pipeline.call("GET", stage.pipeline.path("pods"))["items"]
        return all(pod["metadata"]["name"] != "neighbour" for pod in pods)

    wait_for("the neighbour to go", has_gone, 30)
    stage.pipeline.invoke("SweepOrphans", {})


def while_full(**hard: str) -> Callable[[Stage], Iterable[str]]:
    """Let the file wait behind a quota that somebody else takes up, until that one is gone."""

    def inject(stage: Stage) -> Iterable[str]:
        with disturb.full(stage.pipeline, **hard):
            execution = stage.drop()
            wait_in_queue(stage, execution)
        room_again(stage)
        yield execution

    return inject


def while_paused(stage: Stage) -> Iterable[str]:
    """Somebody has paused the namespace by a quota of no pods, and goes on later."""
    with disturb.quota(stage.pipeline, pods="0"):
        execution = stage.drop()
        wait_in_queue(stage, execution)
    room_again(stage)
    yield execution


def stop_while_full(stage: Stage) -> Iterable[str]:
    with disturb.full(stage.pipeline, pods="1"):
        execution = stage.drop()
        wait_in_queue(stage, execution)
        stage.pipeline.sfn.stop_execution(executionArn=execution)
        yield execution


def delete_the_image_while_full(stage: Stage) -> Iterable[str]:
    stage.pipeline.only_embedded(IN_ECR)
    repository = models.push(stage.pipeline, "well", f"tests/{stage.case.name}")
    with disturb.full(stage.pipeline, pods="1"):
        execution = stage.drop(model_image=repository)
        wait_in_queue(stage, execution)
        stage.pipeline.stack.client("ecr").delete_repository(repositoryName=repository, force=True)
    room_again(stage)
    yield execution


QUEUED = "scored as soon as there is room"
CASES = (
    Case(
        "files-in-their-order",
        f"{FILES} files are dropped one after the other, and the namespace has room for one pod",
        but=f"scored in their order, for {MOST_LAUNCHES} tries each at most",
        inject=drop_many,
        rough=True,
    ),
    Case(
        "waiting-file-stopped",
        "two files wait for room, and somebody stops the execution of the first",
        but="the other one is scored when there is room",
        inject=stop_one_that_waits,
        rough=True,
    ),
    Case(
        "nobody-calls",
        "a file waits for room, and the tear-down that makes some may not read who waits (bucket policy)",
        but="scored when the sweeper has called it",
        inject=call_nobody,
        rough=True,
    ),
    Case(
        "namespace-paused",
        "somebody has paused the namespace: its quota has room for no pod at all",
        but="scored when there is room again",
        inject=while_paused,
        rough=True,
    ),
    Case("quota-of-pods", "the namespace has no room for a pod", but=QUEUED, inject=while_full(pods="1"), rough=True),
    Case("quota-of-services", "… for a Service", but=QUEUED, inject=while_full(services="1"), rough=True),
    Case("quota-of-cpu", "… for the pod's cpu", but=QUEUED, inject=while_full(requests_cpu="30m"), rough=True),
    Case(
        "stopped-in-the-queue",
        "somebody stops the execution while the file waits for room",
        "Aborted",
        "Somebody stopped the execution",
        "Redrive the execution",
        inject=stop_while_full,
        status="ABORTED",
        rough=True,
    ),
    Case(
        "image-deleted",
        "the image is deleted when the file has been resolved and its pod not yet been launched (ErrImagePull)",
        "ImagePullFailed",
        "is not in its registry",
        "Check that the image is still there",
        inject=delete_the_image_while_full,
        rough=True,
    ),
)
