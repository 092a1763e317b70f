"""A namespace that is full, and the files that wait for room in it (on the rough stack)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tests.e2e import models
from tests.e2e.faults import disturb
from tests.e2e.faults.beside import container, injected
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
    # In whichever version.
    return sum(1 for resource in asked if f":{pipeline.resources['LaunchPod']}:" in f"{resource}:")


@contextmanager
def taken(stage: Stage, name: str = "scoring.csv") -> Iterator[str]:
    """There is room for one pod, and a file that is scored for good has it: that file's execution."""
    with disturb.quota(stage.pipeline, pods="1"):
        execution = stage.drop(name, model_image=models.push(stage.pipeline, "stuck"))
        stage.scoring(execution)
        yield execution


def drop_many(stage: Stage) -> Iterable[str]:
    """Drop files one after the other where there is no room; they are launched in their order when there is room for one."""
    pipeline, executions = stage.pipeline, []
    with taken(stage, "before.csv") as before:
        for number in range(FILES):
            executions.append(stage.drop(f"file-{number}.csv"))
            wait_for("its attempt", lambda: pipeline.has_attempt(executions[-1]), 30)
        wait_for("all in the queue", lambda: all(in_queue(pipeline, execution) for execution in executions), 60)
        pipeline.sfn.stop_execution(executionArn=before)
        for execution in executions:
            pipeline.ended(execution, 240)
    launched = [pipeline.state(execution, "is_pod_ready")["pod"]["created"] for execution in executions]
    assert launched == sorted(launched), f"somebody has overtaken: {launched}"
    counts = [launches(pipeline, execution) for execution in executions]
    assert min(counts) > 1, "somebody did not have to wait"
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


def stop_one_that_was_called(stage: Stage) -> Iterable[str]:
    """A file is scored and two wait; the first of these is called to its room, and stopped before it has a pod."""
    pipeline = stage.pipeline
    with taken(stage) as scoring:
        called = stage.drop("called.csv")
        wait_in_queue(stage, called)
        waiting = stage.drop("waiting.csv")
        wait_in_queue(stage, waiting, tries=1)
        pipeline.sfn.stop_execution(executionArn=scoring)
        pipeline.state(called, "wait_for_room", lambda state: bool(state["called"]["freed"]))
        pipeline.sfn.stop_execution(executionArn=called)
        pipeline.ended(waiting, 120)
    pipeline.assert_nothing_left(called)
    yield waiting


def call_nobody(stage: Stage) -> Iterable[str]:
    """The tear_down that makes room may not read who waits; the sweeper comes later."""
    pipeline = stage.pipeline
    with taken(stage) as scoring:
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


def free_a_sidecar(stage: Stage) -> Iterable[str]:
    """A pod goes that takes what the next one lacks only with what the cluster has put beside its model."""
    pipeline = stage.pipeline
    sidecar = container(stage, "istio-proxy", "sleep", "600", restartPolicy="Always")
    # For one pod of 20m with its sidecar of 10m; the next lacks 25m.
    with injected(stage, initContainers=[sidecar]) as image, disturb.quota(pipeline, requests_cpu="35m"):
        models.push(pipeline, "stuck", image)
        scoring = stage.drop("scoring.csv", model_image=image)
        pipeline.scoring(scoring)
        models.push(pipeline, stage.case.model, image)
        waiting = stage.drop("waiting.csv", model_image=image)
        wait_in_queue(stage, waiting)
        pipeline.sfn.stop_execution(executionArn=scoring)
        pipeline.ended(waiting, 120)
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
        f"{FILES} files are dropped one after the other, and the namespace has room for one pod, which is taken",
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
        "called-file-stopped",
        "the same, when the first has just been called to the room of a third one",
        but="the other one is scored in that room",
        inject=stop_one_that_was_called,
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
        "sidecar-makes-room",
        "a file waits for room, and the pod that makes some does so only with the sidecar that a mesh has put into it",
        but="scored as soon as that pod is gone",
        inject=free_a_sidecar,
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
