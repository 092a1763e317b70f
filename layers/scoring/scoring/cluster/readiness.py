"""Waiting for a pod: by a watch until it is ready, then by the model's ping until the route carries to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from scoring import protocols
from scoring.cluster import api as clusters
from scoring.cluster import diagnosis, routes
from scoring.cluster.api import Api, namespace_path
from scoring.cluster.pods import PORT
from scoring.errors import SERVER_TIME_OUT, DropscoreError, ModelFailed, PodLost, RouteNotReady
from scoring.protocols import detection
from scoring.protocols.model import Model, NoAnswer, StillBusy
from scoring.settings import ClusterSettings

# An image that nodes have already and a model that starts quickly are ready within this; the state machine waits for the
# rest (a new node, a large image), since a waiting Lambda is paid for.
_WATCH_SECONDS = 50.0
# A route is there when several pings in a row succeed: replicas of a data plane learn of it one after the other.
_PINGS_IN_A_ROW, _PING_PAUSE_SECONDS, _LOOK_AT_POD_SECONDS = 3, 0.05, 5.0
# A kubelet needs a moment to notice what the connection told already.
_BLAME_SECONDS = 5.0


def await_ready(api: Api, pod: Mapping[str, Any], request: Mapping[str, Any], seconds: float) -> dict[str, Any] | str:
    """Watch the pod until it is ready, at most `seconds`.

    Returns
    -------
    dict or str
        The pod once it is ready, else what is being waited for.

    Raises
    ------
    PodCrashed, PodLost, PodRefused, ImagePullFailed, ModelTimeout
        What became of the pod instead.
    PodUnschedulable, PodNotReady, ImagePullFailed
        The start deadline has passed.
    """
    until = time.monotonic() + min(seconds, _WATCH_SECONDS)
    start_seconds = request["deadlines"]["start_seconds"]
    deadline = diagnosis.parse_time(pod["created"]) + timedelta(seconds=start_seconds)
    while True:
        current = get(api, pod)
        while True:
            now = datetime.now(UTC)
            assessment = diagnosis.assess(current, now)
            if assessment.problem:
                raise assessment.problem
            if assessment.ready:
                return current
            if now >= deadline:
                raise diagnosis.overdue(current, events(api, pod), start_seconds)
            left = min(until - time.monotonic(), (deadline - now).total_seconds(), assessment.again_seconds or 1e9)
            if until - time.monotonic() <= 0:
                return assessment.waiting_for
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
    except clusters.Expired:
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
    except clusters.NotFound as error:
        raise PodLost("The pod is gone: its node was lost or somebody deleted it.") from error
    if current["metadata"]["uid"] != pod["uid"]:
        raise PodLost("The pod is gone; another one bears its name.")
    return current


def check_alive(api: Api, pod: Mapping[str, Any]) -> None:
    """Raise what became of the pod, if it is not running any more.

    Raises
    ------
    PodCrashed, PodLost, ModelTimeout, ClusterUnreachable
    """
    problem = diagnosis.assess(get(api, pod), datetime.now(UTC)).problem
    if problem:
        raise problem


def events(api: Api, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of the pod, oldest first."""
    query = {"fieldSelector": f"involvedObject.uid={pod['uid']}"}
    items: list[dict[str, Any]] = api.call("GET", namespace_path(pod["namespace"]) + "/events", query=query)["items"]
    return sorted(items, key=lambda item: (_second(item), int(item.get("metadata", {}).get("resourceVersion", 0))))


def _second(event: Mapping[str, Any]) -> str:
    """When an event happened last, to the second: the scheduler's have microseconds, the kubelet's have not."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")[:19]


def await_route(
    api: Api, pod: Mapping[str, Any], ready_pod: Mapping[str, Any], request: Mapping[str, Any], cluster: ClusterSettings
) -> tuple[str, str]:
    """Ping the model through its route until it answers reliably; its URL, and the name of its protocol.

    Raises
    ------
    RouteNotReady
        It does not within the route deadline.
    InvalidTags, InvalidFile
        The request asks for what a model of the protocol that was found cannot do.
    PodCrashed, PodLost
        The pod ended meanwhile.
    """
    url = routes.url(cluster, pod["name"], ready_pod, PORT)
    protocol = protocols.of_request(request, Model(url))
    seconds = request["deadlines"]["route_seconds"]
    began = looked = time.monotonic()
    in_a_row, answered = 0, "nothing"
    while in_a_row < _PINGS_IN_A_ROW:
        try:
            refused = protocol.ready()
        except (NoAnswer, StillBusy) as error:
            refused = error.summary
        in_a_row = 0 if refused else in_a_row + 1
        answered = refused or answered
        now = time.monotonic()
        if refused and now - looked > _LOOK_AT_POD_SECONDS:
            looked = now
            check_alive(api, pod)
        if now - began > seconds:
            raise RouteNotReady(
                f"The model's ping did not come through {url} within {seconds} s; last: {answered}",
                detection.REMEDY if request["protocol"] == "auto" else None,
            )
        # A data plane tells nobody when it has taken up a route.
        time.sleep(_PING_PAUSE_SECONDS if not refused else 4 * _PING_PAUSE_SECONDS)
    if request["protocol"] == "auto":
        detection.check(request, protocol.name)
    return url, protocol.name


def blame(api: Api, pod: Mapping[str, Any]) -> DropscoreError | None:
    """Why a model fell silent, by its pod's state; None if that is well, as far as the cluster knows."""
    until = time.monotonic() + _BLAME_SECONDS
    try:
        current = get(api, pod)
        while True:
            assessment = diagnosis.assess(current, datetime.now(UTC))
            if assessment.problem:
                return assessment.problem
            left = until - time.monotonic()
            if left <= 0:
                break
            current = _next_change(api, pod, current, max(left, 1.0)) or get(api, pod)
    except PodLost as lost:
        return lost
    if diagnosis.has_closed_its_port(current):
        return ModelFailed("The model has closed its port. Its container is running still.", SERVER_TIME_OUT)
    return None
