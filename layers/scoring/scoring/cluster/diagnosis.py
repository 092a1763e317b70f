"""What a pod's status means: ready, still to be waited for, or a problem with a name (pure; times are passed in).

The shapes are those that a kubelet and a scheduler write; tests/unit holds recorded ones. What is judged is the model's
container, whatever the pod's phase: a pod runs on as long as a sidecar does, and is not ready once one has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from signal import Signals
from typing import Any

from scoring.cluster import containers, remedies, starting
from scoring.cluster.containers import MODEL, condition, parse_time
from scoring.cluster.starting import Assessment, Events, Pod
from scoring.errors import (
    DropscoreError,
    ImagePullFailed,
    ModelTimeout,
    PodCrashed,
    PodLost,
    PodNotReady,
    PodUnschedulable,
)

_LOST_REASONS = {
    "Evicted",
    "Preempting",
    "Preempted",
    "NodeLost",
    "NodeShutdown",
    "Shutdown",
    "Terminated",
    "UnexpectedAdmissionError",
}
# What a kubelet writes of a container that it finds no trace of, or whose end nobody saw: its node was started anew.
_LOST_ENDS = {"ContainerStatusUnknown", "Unknown"}


def assess(pod: Pod, now: datetime, events: Events = ()) -> Assessment:
    """Judge a pod by its object, and by its events where `needs_events` says so."""
    problem = _lost(pod) or _ended(pod, MODEL) or _failed(pod)
    if problem:
        return Assessment(problem=problem)
    kind, _ = containers.state(pod)
    if kind == "running":
        if containers.status(pod).get("ready"):
            return Assessment(ready=True)
        return Assessment(waiting_for="the container: started, not ready yet")
    for name in containers.to_be_started(pod):
        stuck = starting.stuck(pod, name, now, events)
        if stuck:
            return stuck
    scheduled = condition(pod, "PodScheduled")
    if is_gated(pod):
        return Assessment(waiting_for=f"admission: {scheduled.get('message') or _gates(pod)}", gated=True)
    if scheduled.get("status") == "False":
        return Assessment(waiting_for=f"a node: {scheduled.get('message') or scheduled.get('reason', '')}")
    return Assessment(
        waiting_for=_started_first(pod) or f"the container: {containers.waiting(pod, MODEL)[0] or 'not started yet'}"
    )


def overdue(pod: Pod, events: Events, seconds: float) -> DropscoreError:
    """Why a pod is still not ready when its start deadline of `seconds` has passed."""
    scheduled = condition(pod, "PodScheduled")
    late = f"after {seconds:.0f} s"
    if scheduled.get("status") == "False":
        return PodUnschedulable(f"No node had room for the pod {late}: {scheduled.get('message', '')}")
    for name in containers.to_be_started(pod):
        reason, message = containers.waiting(pod, name)
        if reason in starting.PULL:
            return ImagePullFailed(
                f"The image {containers.image(pod, name)} was not pulled {late}: {message}",
                container=containers.other(name),
            )
    own = containers.events_of(pod, MODEL, events)
    probe = [event["message"] for event in own if event.get("reason") == "Unhealthy"]
    mount = [event["message"] for event in events if event.get("reason") in ("FailedMount", "FailedCreatePodSandBox")]
    first = _started_first(pod)
    if first:
        return PodNotReady(f"The model was not started {late}: the pod waited for {first}", remedies.OF_ANOTHER)
    why = (probe or mount or [f"it is {containers.waiting(pod, MODEL)[0] or 'running, but not ready'}"])[-1]
    return PodNotReady(f"The pod was not ready {late}: {why}")


def is_gated(pod: Pod) -> bool:
    """Whether a queue (Kueue, for one) holds the pod back from the scheduler."""
    return bool(_gates(pod)) or condition(pod, "PodScheduled").get("reason") == "SchedulingGated"


def ended_beside(pod: Pod, since: datetime | None = None) -> str:
    """Which sidecars have ended for good, and how, in words; empty if none has (not before `since`, if that is given)."""
    told = []
    for name in containers.beside_the_model(pod):
        kind, said = containers.state(pod, name)
        late = since is None or ("finishedAt" in said and parse_time(said["finishedAt"]) >= since)
        if kind == "terminated" and late and not containers.goes_on(pod, name):
            told.append(f"{name} ({_code(said)})")
    return f"The container beside the model has ended: {', '.join(told)}." if told else ""


def has_closed_its_port(pod: Pod) -> bool:
    """Whether the kubelet's own probe finds nobody where the model listened.

    Of a node that is gone, the control plane changes the pod's conditions, and nobody the container's status.
    """
    return containers.state(pod)[0] == "running" and containers.status(pod).get("ready") is False


def culprit(pod: Pod) -> str:
    """The container whose log explains why a pod does not serve: the model's, unless another one kept it from starting."""
    if containers.state(pod)[0] != "waiting":
        return MODEL
    failed = [name for name in containers.before_the_model(pod) if _code_of_failure(pod, name)]
    return failed[0] if failed else MODEL


def _lost(pod: Pod) -> DropscoreError | None:
    status = pod.get("status", {})
    disruption = condition(pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        return PodLost(f"The cluster took the pod away ({disruption.get('reason')}): {disruption.get('message', '')}")
    if status.get("reason") in _LOST_REASONS:
        return PodLost(f"The pod was lost ({status['reason']}): {status.get('message', '')}")
    if status.get("reason") == "DeadlineExceeded":
        return ModelTimeout(f"The pod lived longer than it may: {status.get('message', 'DeadlineExceeded')}")
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return PodLost("The pod was deleted by somebody else.")
    if status.get("phase") == "Unknown":
        return PodLost("The cluster lost contact with the node of the pod.")
    return None


def _ended(pod: Pod, name: str) -> DropscoreError | None:
    """What the end of the model's container means, or of an init container that has failed."""
    ended = _end(pod, name)
    if not ended:
        return None
    code, reason, message = ended.get("exitCode"), ended.get("reason", ""), ended.get("message") or ""
    facts = {"container": containers.other(name), "exit_code": code, "reason": reason, "message": message}
    what = "The model's container" if name == MODEL else f"The init container {name}, before the model,"
    remedy = None if name == MODEL else remedies.OF_ANOTHER
    if reason in _LOST_ENDS:
        return PodLost(
            f"{what} is gone without a trace ({reason}): its node was started anew. {message}".strip(), **facts
        )
    if reason == "OOMKilled" and name == MODEL:
        limit = containers.spec(pod).get("resources", {}).get("limits", {}).get("memory", "its limit")
        return PodCrashed(
            f"The model ran out of memory ({limit}) and was killed.",
            "Ask for more with the tag memory, or drop a smaller file.",
            **facts,
        )
    if reason in ("StartError", "ContainerCannotRun"):
        return starting.not_startable(what, message or reason, remedy, facts)
    if code == 0:
        return PodCrashed(f"{what} ended by itself (exit code 0) instead of serving.", remedies.ARGUMENTS, **facts)
    return PodCrashed(f"{what} ended with {_code(ended)}.", remedy, **facts)


def _failed(pod: Pod) -> DropscoreError | None:
    """What keeps a pod from ever starting its model, or has ended it without a word of the model's container."""
    if containers.state(pod)[0] == "waiting":
        for name in containers.before_the_model(pod):
            if _code_of_failure(pod, name) and not containers.goes_on(pod, name):
                return _ended(pod, name)
    if pod.get("status", {}).get("phase") == "Failed":
        return PodLost(f"The pod failed: {pod['status'].get('reason', '')} {pod['status'].get('message', '')}".strip())
    return None


def _started_first(pod: Pod) -> str:
    """The init container that the model waits for, in words; empty when it waits for none."""
    if containers.state(pod)[0] != "waiting" or containers.waiting(pod, MODEL)[0] not in ("PodInitializing", ""):
        return ""
    for name in containers.before_the_model(pod):
        kind, said = containers.state(pod, name)
        goes_on, status = containers.goes_on(pod, name), containers.status(pod, name)
        if status and not (kind == "terminated" or (goes_on and status.get("started"))):
            failure = _end_before(pod, name)
            ended = f", which ended with {_code(failure)}" if failure else ""
            return f"the init container {name}: {said.get('reason') or kind}{ended}"
    return ""


def _code_of_failure(pod: Pod, name: str) -> int:
    """The exit code of a container that has ended badly; 0 for any other."""
    return int(_end(pod, name).get("exitCode") or 0)


def _end(pod: Pod, name: str) -> Mapping[str, Any]:
    """How a container ended last; empty if it has not. One that is started anew shows that in its lastState alone."""
    kind, said = containers.state(pod, name)
    return said if kind == "terminated" else _end_before(pod, name)


def _end_before(pod: Pod, name: str) -> Mapping[str, Any]:
    """How a container ended that was started anew since, or is to be."""
    ended: Mapping[str, Any] = containers.status(pod, name).get("lastState", {}).get("terminated") or {}
    return ended


def _code(ended: Mapping[str, Any]) -> str:
    """How a container ended: `exit code 137, SIGKILL`, with the kubelet's reason where that says more."""
    code, reason = ended.get("exitCode"), ended.get("reason", "")
    signal = f", {_signal(code - 128)}" if isinstance(code, int) and 128 < code < 193 else ""
    return f"exit code {code}{signal}" + (f", {reason}" if reason not in ("", "Error", "Completed") else "")


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _gates(pod: Pod) -> str:
    return ", ".join(gate["name"] for gate in pod.get("spec", {}).get("schedulingGates") or ())
