"""What keeps a container from being started: its image, its configuration, its node (pure; times are passed in)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scoring.cluster import containers, remedies
from scoring.cluster.containers import parse_time
from scoring.errors import DropscoreError, ImagePullFailed, PodCrashed, PodLost, PodRefused

Pod = Mapping[str, Any]
Events = Sequence[Mapping[str, Any]]

PULL_GRACE_SECONDS = 60
"""How long a failing pull is given: a registry's rate limit and a node that just joined look the same and recover."""
# A large image that failed after minutes needs as many again, and may be slower the second time.
_PULL_AGAIN = 2
CREATE_GRACE_SECONDS = 300
"""How long a node is given to create a container: under load a runtime takes longer than a kubelet waits for it."""

PULL = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}
_HOPELESS_PULL = {"InvalidImageName", "ErrImageNeverPull"}
# containerd's words for an image that is not there; nothing to wait for.
_ABSENT = ("code = NotFound", "not found", "manifest unknown", "repository does not exist")
_PULL_FAILURE = re.compile(r'Failed to pull image "[^"]*": (.*)', re.DOTALL)
_CREATE = {"CreateContainerError", "RunContainerError"}
# The kubelet's words for a runtime, or an API server, that is too slow; the last is what the next try meets.
_PASSING = ("context deadline exceeded", "timed out waiting for the condition", "failed to reserve container name")


@dataclass(frozen=True)
class Assessment:
    """One of: `ready`; a `problem`; or `waiting_for` something, to be looked at again in `again_seconds` at the latest.

    `gated`: the pod waits for a queue's admission, so that its start has not begun yet.
    """

    ready: bool = False
    problem: DropscoreError | None = None
    waiting_for: str = ""
    again_seconds: float | None = None
    gated: bool = False


def needs_events(pod: Pod) -> bool:
    """Whether something fails that may pass: since when, only the pod's events tell."""
    reasons = [containers.waiting(pod, name) for name in containers.to_be_started(pod)]
    return any(reason in PULL or _passes(reason, message) for reason, message in reasons)


def stuck(pod: Pod, name: str, now: datetime, events: Events) -> Assessment | None:
    """What the kubelet says of a container that it cannot start; None if it says nothing of that kind."""
    reason, message = containers.waiting(pod, name)
    image, facts = containers.image(pod, name), {"container": containers.other(name)}
    if reason in _HOPELESS_PULL:
        return Assessment(problem=ImagePullFailed(f"The image {image} cannot be pulled: {message or reason}", **facts))
    if reason in PULL:
        message = _words_of_pull(pod, name, events) or message
        if remedies.is_of_another_architecture(message):
            why = f"The image {image} is not there for the processor architecture of the node: {message}"
            return Assessment(problem=ImagePullFailed(why, remedies.ARCHITECTURE, **facts))
        if any(word in message for word in _ABSENT):
            return Assessment(problem=ImagePullFailed(f"The image {image} is not in its registry: {message}", **facts))
        left = _left_to_pull(pod, name, now, events)
        if left <= 0:
            why = f"The image {image} could not be pulled: {message or reason}"
            return Assessment(problem=ImagePullFailed(why, **facts))
        return Assessment(waiting_for=f"the image: {message or reason}", again_seconds=left)
    if _passes(reason, message):
        left = CREATE_GRACE_SECONDS - _since_failure(pod, name, now, events)
        if left <= 0:
            return Assessment(problem=PodLost(f"The node cannot create the container: {message}", **facts))
        return Assessment(waiting_for=f"the node to create the container: {message}", again_seconds=left)
    if reason == "CreateContainerConfigError":
        why = f"The container cannot be configured: {message}"
        return Assessment(problem=PodRefused(why, remedies.of_refusal(message), **facts))
    if reason in _CREATE:
        return Assessment(problem=not_startable("The container", message or reason, None, facts))
    return None


def not_startable(what: str, message: str, remedy: str | None, facts: Mapping[str, Any]) -> DropscoreError:
    if any(words in message for words in _PASSING):
        return PodLost(f"{what} could not be started by its node: {message}", **facts)
    if remedies.is_of_another_architecture(message):
        what = f"{what} is built for another processor architecture than the node's and"
        remedy = remedies.ARCHITECTURE
    return PodCrashed(f"{what} cannot be started: {message}", remedy, **facts)


def _left_to_pull(pod: Pod, name: str, now: datetime, events: Events) -> float:
    """Seconds that a failing pull still has. They count from its first failure, and grow with how long that took."""
    failed = _first(pod, name, events, "Failed")
    if failed is None:
        # The event comes a moment after the status that it explains.
        return PULL_GRACE_SECONDS
    began = _first(pod, name, events, "Pulling") or failed
    took = max((failed - began).total_seconds(), 0.0)
    return PULL_GRACE_SECONDS + _PULL_AGAIN * took - (now - failed).total_seconds()


def _since_failure(pod: Pod, name: str, now: datetime, events: Events) -> float:
    failed = _first(pod, name, events, "Failed")
    return (now - failed).total_seconds() if failed else 0.0


def _first(pod: Pod, name: str, events: Events, reason: str) -> datetime | None:
    """When something happened to a container for the first time."""
    times = [event.get("firstTimestamp") or event.get("eventTime") for event in _of(pod, name, events, reason)]
    return min((parse_time(time) for time in times if time), default=None)


def _words_of_pull(pod: Pod, name: str, events: Events) -> str:
    """Why a pull failed last: while the kubelet waits to pull again, older ones say no more in the status than that."""
    found = [_PULL_FAILURE.match(event["message"]) for event in _of(pod, name, events, "Failed")]
    return next((match[1] for match in reversed(found) if match), "")


def _of(pod: Pod, name: str, events: Events, reason: str) -> list[Mapping[str, Any]]:
    return [event for event in containers.events_of(pod, name, events) if event.get("reason") == reason]


def _passes(reason: str, message: str) -> bool:
    return reason in {*_CREATE, "CreateContainerConfigError"} and any(words in message for words in _PASSING)
