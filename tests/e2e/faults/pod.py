"""Pods that do not start, end early or are taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.e2e import models
from tests.e2e.faults.case import Case, Stage
from tests.e2e.faults.model import says
from tests.e2e.pipeline import Outcome, wait_for


def drop_for_an_image(user: str = "1000", entrypoint: str = '["python", "app.py"]') -> Callable[[Stage], Iterable[str]]:
    """Drop a file for a well-behaved model whose image is wrong."""

    def inject(stage: Stage) -> Iterable[str]:
        yield stage.drop(model_image=models.push(stage.pipeline, "well", f"tests/{stage.case.name}", user, entrypoint))

    return inject


def while_starting(do: Callable[[Stage, Mapping[str, Any]], None]) -> Callable[[Stage], Iterable[str]]:
    """Do something to the pod while it is waited for."""

    def inject(stage: Stage) -> Iterable[str]:
        execution = stage.drop()
        state = stage.pipeline.starting(execution)
        wait_for("a started container", lambda: phase(stage, state) == "Running", 30)
        do(stage, state)
        yield execution

    return inject


def while_scoring(do: Callable[[Stage, Mapping[str, Any]], None]) -> Callable[[Stage], Iterable[str]]:
    """Do something to the pod while it has a batch."""

    def inject(stage: Stage) -> Iterable[str]:
        execution = stage.drop()
        do(stage, stage.scoring(execution))
        yield execution

    return inject


def phase(stage: Stage, state: Mapping[str, Any]) -> str:
    return str(stage.pipeline.call("GET", stage.pod(state))["status"]["phase"])


def delete(stage: Stage, state: Mapping[str, Any]) -> None:
    stage.pipeline.call("DELETE", stage.pod(state))


def evict(stage: Stage, state: Mapping[str, Any]) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": state["pod"]["name"]}}
    stage.pipeline.call("POST", f"{stage.pod(state)}/eviction", body=eviction)


def disrupt(reason: str, message: str) -> Callable[[Stage, Mapping[str, Any]], None]:
    """Announce a disruption in the pod's conditions, then delete the pod, as a controller of the cluster does."""

    def do(stage: Stage, state: Mapping[str, Any]) -> None:
        conditions = stage.pipeline.call("GET", stage.pod(state))["status"]["conditions"]
        disruption = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        stage.tell(state, conditions=[*conditions, disruption])
        delete(stage, state)

    return do


def lose_the_node(stage: Stage, state: Mapping[str, Any]) -> None:
    """The node's lifecycle controller has given the node up."""
    stage.tell(
        state, phase="Failed", reason="NodeLost", message="Node embedded-node which was running the pod is unresponsive"
    )


def evict_for_memory(stage: Stage, state: Mapping[str, Any]) -> None:
    stage.tell(state, phase="Failed", reason="Evicted", message="The node was low on resource: memory.")


def restart_in_a_loop(stage: Stage, state: Mapping[str, Any]) -> None:
    """What a kubelet writes of a container that it restarts (only a policy of somebody's own makes it so)."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    ended = {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}
    (status,) = stage.pipeline.call("GET", stage.pod(state))["status"]["containerStatuses"]
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=model"}
    loop = {"state": {"waiting": waiting}, "lastState": {"terminated": ended}, "restartCount": 1, "ready": False}
    stage.tell(state, containerStatuses=[status | loop])


def exceed_the_deadline(stage: Stage, state: Mapping[str, Any]) -> None:
    message = "Pod was active on the node longer than the specified deadline"
    stage.tell(state, phase="Failed", reason="DeadlineExceeded", message=message)


def hold_on_to_the_pod(stage: Stage) -> Iterable[str]:
    """A finalizer keeps the deleted pod there, terminating, as a node that does not answer would."""
    execution = stage.drop()
    state = stage.scoring(execution)
    stage.pipeline.call("PATCH", stage.pod(state), body={"metadata": {"finalizers": ["tests.dropscore.io/hold"]}})
    delete(stage, state)
    stage.pipeline.ended(execution)
    stage.pipeline.call("PATCH", stage.pod(state), body={"metadata": {"finalizers": None}})
    yield execution


def delete_each(stage: Stage) -> Iterable[str]:
    """Delete each pod that the attempt gets."""
    execution = stage.drop()
    for number in range(4):
        delete(stage, stage.scoring(execution, number))
    yield execution


def lost(count: int) -> Callable[[Stage, str, Outcome], None]:
    def check(stage: Stage, execution: str, outcome: Outcome) -> None:
        state = stage.pipeline.state(execution, "tear_down_after_error" if stage.case.error else "tear_down")
        assert state["lost_pods"]["count"] == count
        if not stage.case.error:
            assert outcome.lines == [b"a,b,prediction", b"1,2,1", b"3,4,1", b"5,6,1"]

    return check


REPLACED = "scored by a new pod"
CASES = (
    Case(
        "container-crashes",
        "the model's container ends at its start",
        "PodCrashed",
        "exit code 1",
        "Repair the image",
        model="crashes",
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"]["log_tail"], "fatal: weights missing"),
    ),
    Case(
        "container-ends",
        "the container ends well instead of serving",
        "PodCrashed",
        "exit code 0",
        "`args`",
        model="ends",
    ),
    Case(
        "container-out-of-memory",
        "the model needs more memory than its limit to load",
        "PodCrashed",
        "ran out of memory (128Mi)",
        "tag memory",
        model="eats-memory-at-start",
    ),
    Case(
        "command-missing",
        "the image's command does not exist",
        "PodCrashed",
        "cannot be started",
        "Repair the image",
        inject=drop_for_an_image(entrypoint='["/no/such/command"]'),
    ),
    Case(
        "image-insists-on-root",
        "the image runs as root where the cluster's settings forbid it",
        "PodRefused",
        "image will run as root",
        "`run_as_non_root`",
        inject=drop_for_an_image(user="0"),
    ),
    Case(
        "container-in-a-loop",
        "the container crashes and is restarted (CrashLoopBackOff)",
        "PodCrashed",
        "exit code 1",
        "Repair the image",
        model="never-listens",
        inject=while_starting(restart_in_a_loop),
    ),
    Case(
        "readiness-fails",
        "the model never opens its port",
        "PodNotReady",
        "Readiness probe failed",
        "listens on port 8080",
        model="never-listens",
    ),
    Case(
        "port-wrong",
        "the model listens on another port",
        "PodNotReady",
        "Readiness probe failed",
        "listens on port 8080",
        model="wrong-port",
    ),
    Case(
        "ping-fails",
        "the pod is ready, but the model's ping answers 500",
        "PodNotReady",
        "last: 500 the weights are not loaded",
        "Give the model more time",
        model="unwell",
    ),
    Case(
        "no-node-has-room",
        "no node has the cpu that the pod asks for",
        "PodUnschedulable",
        "Insufficient cpu",
        "tags cpu, memory, gpu",
        tags={"cpu": "4"},
    ),
    Case(
        "pod-too-old",
        "the pod lives longer than it may (DeadlineExceeded)",
        "ModelTimeout",
        "lived longer than it may",
        "ScoringDeadlineSeconds",
        model="never-listens",
        inject=while_starting(exceed_the_deadline),
    ),
    Case(
        "pod-deleted-while-starting",
        "somebody deletes the pod before it is ready",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(delete),
        check=lost(1),
    ),
    Case(
        "pod-deleted-while-scoring",
        "somebody deletes the pod in the middle of a batch",
        but=REPLACED,
        model="slow",
        inject=while_scoring(delete),
        check=lost(1),
    ),
    Case(
        "pod-evicted",
        "the pod is evicted (drained node) in the middle of a batch",
        but=REPLACED,
        model="slow",
        inject=while_scoring(evict),
        check=lost(1),
    ),
    Case(
        "pod-evicted-for-memory",
        "the kubelet evicts the pod, because its node is low on memory",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(evict_for_memory),
        check=lost(1),
    ),
    Case(
        "pod-preempted",
        "the pod is preempted by one of a higher priority",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(disrupt("PreemptionByScheduler", "default-scheduler: preempting")),
        check=lost(1),
    ),
    Case(
        "node-lost",
        "the node of the pod is lost while it starts",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(lose_the_node),
        check=lost(1),
    ),
    Case(
        "pod-hangs-in-terminating",
        "the pod is deleted in the middle of a batch, and its node does not let go of it",
        but=REPLACED + "; the old one goes when its node does",
        model="slow",
        inject=hold_on_to_the_pod,
        check=lost(1),
    ),
    Case(
        "pod-deleted-four-times",
        "somebody deletes each pod that the attempt gets",
        "PodLost",
        "The pod",
        "Redrive the execution",
        model="slow",
        inject=delete_each,
        check=lost(4),
    ),
)
