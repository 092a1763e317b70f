"""Room in a namespace: what a pod takes of a quota, who is called to it when it goes, and what that one is told (pure).

What is so decided, `queue` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring.cluster import manifest
from scoring.errors import DropscoreError, QuotaExceeded
from scoring.intake.quantities import quantity

Size = Mapping[str, float]
"""What a pod takes of a quota, or lacks: cores, bytes and pieces, as a quota names them (`pods`, `requests.cpu`, …)."""

# As names of a quota begin that pods alone count for.
_OF_PODS = ("requests.", "limits.")


class NoRoom(DropscoreError):
    """The namespace has no room, or others wait for it already; the state machine queues the file."""

    retryable = True


class NoRoomYet(DropscoreError):
    """The file was called, but the pod that makes room for it is not gone yet; the state machine tries again."""

    retryable = True


def of_attempt(state: Mapping[str, Any]) -> Size:
    """What an attempt's pod takes: as it was admitted, or, as long as nobody knows that, as it is asked for."""
    admitted: Size | None = state.get("pod", {}).get("size")
    asked = {"containers": [{"resources": manifest.resources(state["request"]["resources"])}]}
    return admitted or of_pod(asked)


def of_pod(spec: Mapping[str, Any]) -> dict[str, float]:
    """What a pod takes with its Service, by the spec that the API server has admitted: there may be more in it than was asked
    for, such as sidecars and the overhead of a RuntimeClass.

    Kubernetes documentation, "Init Containers" (Resource sharing within containers), "Sidecar Containers", "Pod Overhead"; in
    code k8s.io/component-helpers/resource (PodRequests, PodLimits).
    """
    found = {"pods": 1.0, "services": 1.0}
    for kind in ("requests", "limits"):
        found |= {f"{kind}.{name}": amount for name, amount in _effective(spec, kind).items()}
    return found


def _effective(spec: Mapping[str, Any], kind: str) -> dict[str, float]:
    together: dict[str, float] = {}
    most: dict[str, float] = {}
    for container in spec.get("initContainers") or ():
        beside = plus(together, _amounts(container, kind))
        if container.get("restartPolicy") == "Always":
            together = beside
        else:
            most = _most(most, beside)
    for container in spec["containers"]:
        together = plus(together, _amounts(container, kind))
    found, overhead = _most(together, most), _numbers(spec.get("overhead"))
    # What is not limited is not limited by an overhead either.
    return plus(found, overhead if kind == "requests" else {name: overhead[name] for name in overhead if name in found})


def _amounts(container: Mapping[str, Any], kind: str) -> dict[str, float]:
    resources = container.get("resources") or {}
    limits = _numbers(resources.get("limits"))
    # What is limited and not requested is requested as it is limited.
    return limits if kind == "limits" else limits | _numbers(resources.get("requests"))


def _numbers(quantities: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(quantity(str(amount)) or 0) for name, amount in (quantities or {}).items()}


def _most(one: Size, other: Size) -> dict[str, float]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def plus(one: Size, other: Size) -> dict[str, float]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def minus(one: Size, other: Size) -> dict[str, float]:
    """What is left of one size without another: that tells all that it requests and limits, but not each kind of object; of
    what it may have and does not tell, nothing is left.
    """
    left = {
        name: round(one[name] - other.get(name, 0), 6) for name in one if name in other or name.startswith(_OF_PODS)
    }
    return {name: amount for name, amount in left.items() if amount > 0}


def sleeper(token: str, lacks: Size) -> dict[str, Any]:
    """What a place tells: who sleeps there, what a quota lacks for it if it was asked, and what was freed since."""
    return {"token": token, "lacks": lacks, "freed": {}}


def woken(freed: Size | None, awake: str = "", wait_seconds: int = manifest.GRACE_SECONDS) -> dict[str, Any]:
    """The `called` of an attempt's state: what was freed, if that is known, and until when it is (a pod that is deleted
    counts until it is gone); or the ETag of the place that the file keeps while it tries.
    """
    return {"wait_seconds": wait_seconds, "freed": freed, "awake": awake}


def tries_by_itself(place: str, first: str, *, awake: bool, was_called: bool) -> bool:
    """Whether a file that has just queued tries once more before it sleeps.

    A tear_down that looked before the file was there has called nobody, and its pod may count yet. With its place kept,
    nobody's call is lost while it tries.
    """
    return was_called or (place == first and not awake)


def no_room(refused: QuotaExceeded, called: Mapping[str, Any]) -> DropscoreError:
    """What a quota's refusal means for a file that may queue."""
    kind = NoRoomYet if called.get("freed") else NoRoom
    return kind(refused.summary, refused.remedy, **refused.details)


def rest(called: Mapping[str, Any], own: Size) -> tuple[bool, Size | None]:
    """Whether a file that was called and has launched its pod calls the next one, and with what room."""
    if "wait_seconds" not in called:
        return False, None
    freed = called.get("freed")
    if freed is None:
        return True, None
    left = minus(freed, own)
    return bool(left), left


def made_by(event: Mapping[str, Any], state: Mapping[str, Any], deleted: list[str]) -> tuple[bool, Size | None]:
    """Whether the pod of a tear-down makes room that nobody knows of yet, and how much.

    The state machine tears each pod down once; EventBridge tells of its attempts again.
    """
    if event.get("keep_upload"):
        # The attempt launches another pod in the place of this one.
        return False, None
    if any(each.startswith("pods/") for each in deleted) or ("pod" in state and "detail" not in event):
        return True, of_attempt(state)
    return False, None
