"""What a pod's status means: ready, still to be waited for, or a problem with a name (pure; times are passed in).

The shapes are those that a kubelet and a scheduler write; tests/unit holds recorded ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from signal import Signals
from typing import Any

from scoring.errors import (
    DropscoreError,
    ImagePullFailed,
    ModelTimeout,
    PodCrashed,
    PodLost,
    PodNotReady,
    PodRefused,
    PodUnschedulable,
)

PULL_GRACE_SECONDS = 60
"""How long a failing pull is given: a registry's rate limit and a node that just joined look the same and recover."""

_PULL = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}
_HOPELESS_PULL = {"InvalidImageName", "ErrImageNeverPull"}
# containerd's words for an image that is not there; nothing to wait for.
_ABSENT = ("code = NotFound", "not found", "manifest unknown", "repository does not exist")
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


@dataclass(frozen=True)
class Assessment:
    """One of: `ready`; a `problem`; or `waiting_for` something, to be looked at again in `again_seconds` at the latest."""

    ready: bool = False
    problem: DropscoreError | None = None
    waiting_for: str = ""
    again_seconds: float | None = None


def assess(pod: Mapping[str, Any], now: datetime) -> Assessment:
    """Judge a pod by its object alone."""
    problem = _lost(pod) or _ended(pod)
    if problem:
        return Assessment(problem=problem)
    container = _container(pod)
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    image = _image(pod)
    if reason in _HOPELESS_PULL:
        return Assessment(problem=ImagePullFailed(f"The image {image} cannot be pulled: {message or reason}"))
    if reason in _PULL:
        if any(word in message for word in _ABSENT):
            return Assessment(problem=ImagePullFailed(f"The image {image} is not in its registry: {message}"))
        left = PULL_GRACE_SECONDS - _age(_condition(pod, "PodScheduled"), now)
        if left <= 0:
            return Assessment(problem=ImagePullFailed(f"The image {image} could not be pulled: {message or reason}"))
        return Assessment(waiting_for=f"the image: {message or reason}", again_seconds=left)
    if reason == "CreateContainerConfigError":
        return Assessment(problem=PodRefused(f"The container cannot be configured: {message}"))
    if reason in ("RunContainerError", "CreateContainerError"):
        return Assessment(problem=PodCrashed(f"The container cannot be started: {message or reason}"))
    if _condition(pod, "Ready").get("status") == "True":
        return Assessment(ready=True)
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Assessment(waiting_for=f"a node: {scheduled.get('message') or scheduled.get('reason', '')}")
    return Assessment(waiting_for=f"the container: {reason or 'started, not ready yet'}")


def overdue(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]], seconds: int) -> DropscoreError:
    """Why a pod is still not ready when its start deadline of `seconds` has passed."""
    scheduled = _condition(pod, "PodScheduled")
    late = f"after {seconds} s"
    if scheduled.get("status") == "False":
        return PodUnschedulable(f"No node had room for the pod {late}: {scheduled.get('message', '')}")
    waiting = _container(pod).get("state", {}).get("waiting") or {}
    if waiting.get("reason") in _PULL:
        return ImagePullFailed(f"The image {_image(pod)} was not pulled {late}: {waiting.get('message', '')}")
    probe = [event["message"] for event in events if event.get("reason") == "Unhealthy"]
    mount = [event["message"] for event in events if event.get("reason") in ("FailedMount", "FailedCreatePodSandBox")]
    why = (probe or mount or [f"it is {waiting.get('reason') or 'running, but not ready'}"])[-1]
    return PodNotReady(f"The pod was not ready {late}: {why}")


def _lost(pod: Mapping[str, Any]) -> DropscoreError | None:
    status = pod.get("status", {})
    disruption = _condition(pod, "DisruptionTarget")
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


def _ended(pod: Mapping[str, Any]) -> DropscoreError | None:
    container = _container(pod)
    # A restarting container (a policy of somebody's own) shows its end in lastState only.
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not ended:
        if pod.get("status", {}).get("phase") == "Failed":
            return PodLost(
                f"The pod failed: {pod['status'].get('reason', '')} {pod['status'].get('message', '')}".strip()
            )
        return None
    code, reason = ended.get("exitCode"), ended.get("reason", "")
    facts = {"exit_code": code, "reason": reason, "message": ended.get("message")}
    if reason == "OOMKilled":
        limit = _spec_container(pod).get("resources", {}).get("limits", {}).get("memory", "its limit")
        return PodCrashed(
            f"The model ran out of memory ({limit}) and was killed.",
            "Ask for more with the tag memory, or drop a smaller file.",
            **facts,
        )
    if reason in ("StartError", "ContainerCannotRun"):
        return PodCrashed(f"The container cannot be started: {ended.get('message', reason)}", **facts)
    if code == 0:
        return PodCrashed("The model's container ended by itself (exit code 0) instead of serving.", **facts)
    signal = f", {_signal(code - 128)}" if isinstance(code, int) and 128 < code < 193 else ""
    return PodCrashed(f"The model's container ended with exit code {code}{signal}.", **facts)


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def has_closed_its_port(pod: Mapping[str, Any]) -> bool:
    """Whether the kubelet's own probe finds nobody where the model listened.

    Of a node that is gone, the control plane changes the pod's conditions, and nobody the container's status.
    """
    container = _container(pod)
    return "running" in container.get("state", {}) and container.get("ready") is False


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    first: Mapping[str, Any] = statuses[0]
    return first


def _spec_container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = pod.get("spec", {}).get("containers") or [{}]
    first: Mapping[str, Any] = containers[0]
    return first


def _image(pod: Mapping[str, Any]) -> str:
    return str(_spec_container(pod).get("image", "of the model"))


def _condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def _age(condition: Mapping[str, Any], now: datetime) -> float:
    since = condition.get("lastTransitionTime")
    return (now - parse_time(since)).total_seconds() if since else 0.0


def parse_time(text: str) -> datetime:
    """A timestamp of Kubernetes or Step Functions (RFC 3339)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
