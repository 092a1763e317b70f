"""The pod as it is: waited for by a watch until it is ready, looked after while it scores, blamed when it is silent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scoring.cluster import containers, diagnosis, remedies, starting
from scoring.cluster.api import Api, namespace_path
from scoring.cluster.refusals import Expired, NotFound
from scoring.errors import SERVER_TIME_OUT, DropscoreError, ModelFailed, PodCrashed, PodLost, PodNotReady, RouteNotReady
from scoring.observability import logger

# An image that nodes have already and a model that starts quickly are ready within this; the state machine waits for the
# rest (a new node, a large image), since a waiting Lambda is paid for.
_WATCH_SECONDS = 50.0
# A kubelet needs a moment to notice what the connection told already.
_BLAME_SECONDS = 5.0
# A sidecar that has ended no longer ago than this, when a model falls silent, is what made it silent.
_SIDECAR_SECONDS = 60.0
# A log is searched for what it betrays, and its last line is told.
_LOG_LINES = 40


@dataclass(frozen=True)
class Waiting:
    """A pod that is not ready yet; `gated`: a queue holds it back."""

    waiting_for: str
    gated: bool = False


def await_ready(
    api: Api, pod: Mapping[str, Any], deadline: datetime, start_seconds: int, seconds: float
) -> dict[str, Any] | Waiting:
    """Watch the pod until its model's port is open, at most `seconds`; one that a queue holds back is not watched.

    Parameters
    ----------
    deadline
        When its `start_seconds` are over.

    Returns
    -------
    dict or Waiting
        The pod once it is ready, else what is being waited for.

    Raises
    ------
    PodCrashed, PodLost, PodRefused, ImagePullFailed, ModelTimeout
        What became of the pod instead, to be `explained`.
    PodUnschedulable, PodNotReady, ImagePullFailed
        The start deadline has passed.
    """
    until = time.monotonic() + min(seconds, _WATCH_SECONDS)
    while True:
        current = get(api, pod)
        while True:
            now = datetime.now(UTC)
            assessment = _assess(api, pod, current)
            if assessment.problem:
                raise assessment.problem
            if assessment.ready:
                return current
            if assessment.gated:
                return Waiting(assessment.waiting_for, gated=True)
            if now >= deadline:
                raise diagnosis.overdue(current, events(api, pod), start_seconds)
            left = min(until - time.monotonic(), (deadline - now).total_seconds(), assessment.again_seconds or 1e9)
            if until - time.monotonic() <= 0:
                return Waiting(assessment.waiting_for)
            changed = _next_change(api, pod, current, max(left, 1.0))
            if changed is None:
                break
            current = changed


def _next_change(api: Api, pod: Mapping[str, Any], current: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
    """The pod as the next event of a watch shows it; None when the watch ended, so that it must be read again."""
    query = {
        "fieldSelector": f"metadata.name={pod['name']}",
        "resourceVersion": current["metadata"]["resourceVersion"],
    }
    try:
        for event in api.watch(namespace_path(pod["namespace"]) + "/pods", query, seconds):
            if event["type"] == "DELETED":
                raise PodLost("The pod was deleted by somebody else.")
            if event["type"] in ("ADDED", "MODIFIED"):
                changed: dict[str, Any] = event["object"]
                return changed
    except Expired:
        return None
    return None


def get(api: Api, pod: Mapping[str, Any]) -> dict[str, Any]:
    """The pod as it is now.

    Raises
    ------
    PodLost
        It is gone, or another one bears its name.
    """
    try:
        current = api.call("GET", f"{namespace_path(pod['namespace'])}/pods/{pod['name']}")
    except NotFound as error:
        raise PodLost("The pod is gone: its node was lost or somebody deleted it.") from error
    if current["metadata"]["uid"] != pod["uid"]:
        raise PodLost("The pod is gone; another one bears its name.")
    return current


def check_alive(api: Api, pod: Mapping[str, Any]) -> None:
    """Raise what became of the model's container, if it is not running any more.

    Raises
    ------
    PodCrashed, PodLost, ModelTimeout, ClusterUnreachable
    """
    problem = problem_of(api, pod)
    if problem:
        raise explained(api, pod, problem)


def problem_of(api: Api, pod: Mapping[str, Any]) -> DropscoreError | None:
    """What became of the model's container, if it is not running any more, to be `explained`.

    Raises
    ------
    PodLost, ClusterUnreachable
    """
    return _assess(api, pod, get(api, pod)).problem


def _assess(api: Api, pod: Mapping[str, Any], current: Mapping[str, Any]) -> starting.Assessment:
    told = events(api, pod) if starting.needs_events(current) else ()
    return diagnosis.assess(current, datetime.now(UTC), told)


def explained(api: Api, pod: Mapping[str, Any], problem: DropscoreError) -> DropscoreError:
    """A problem of a container's with what the end of its log says; any other as it is."""
    if not isinstance(problem, PodCrashed | PodNotReady | RouteNotReady):
        return problem
    try:
        said = log(api, pod, problem.details.get("container", containers.MODEL))
    except DropscoreError as error:
        # A container that never ran has none; the problem is the one to tell.
        logger.info("no log", reason=error.summary)
        return problem
    return remedies.explained(problem, said)


def log(api: Api, pod: Mapping[str, Any], container: str) -> str:
    """The end of a container's log. (Without a name, the API server refuses as soon as a pod has two.)"""
    path = f"{namespace_path(pod['namespace'])}/pods/{pod['name']}/log"
    return api.text(path, {"container": container, "tailLines": _LOG_LINES})


def events(api: Api, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of the pod, oldest first."""
    query = {"fieldSelector": f"involvedObject.uid={pod['uid']}"}
    items: list[dict[str, Any]] = api.call("GET", namespace_path(pod["namespace"]) + "/events", query=query)["items"]
    return sorted(items, key=lambda item: (_second(item), int(item.get("metadata", {}).get("resourceVersion", 0))))


def _second(event: Mapping[str, Any]) -> str:
    """When an event happened last, to the second: the scheduler's have microseconds, the kubelet's have not."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")[:19]


def blame(api: Api, pod: Mapping[str, Any]) -> DropscoreError | None:
    """Why a model fell silent, by its pod's state; None if that is well, as far as the cluster knows."""
    began = datetime.now(UTC)
    until = time.monotonic() + _BLAME_SECONDS
    try:
        current = get(api, pod)
        while True:
            assessment = _assess(api, pod, current)
            if assessment.problem:
                return explained(api, pod, assessment.problem)
            left = until - time.monotonic()
            if left <= 0:
                break
            current = _next_change(api, pod, current, max(left, 1.0)) or get(api, pod)
    except PodLost as lost:
        return lost
    beside = diagnosis.ended_beside(current, began - timedelta(seconds=_SIDECAR_SECONDS))
    if beside:
        return PodLost(f"{beside} The model is well, but does not answer any more.")
    if diagnosis.has_closed_its_port(current):
        return ModelFailed("The model has closed its port. Its container is running still.", SERVER_TIME_OUT)
    return None
