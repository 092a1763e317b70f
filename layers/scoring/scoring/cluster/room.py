"""Room in a namespace: what a pod takes of a quota (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring.cluster import manifest
from scoring.intake.quantities import quantity

Size = Mapping[str, float]
"""What a pod takes of a quota, or lacks: cores, bytes and pieces, as a quota names them (`pods`, `requests.cpu`, …)."""

# As names of a quota begin that pods alone count for.
_OF_PODS = ("requests.", "limits.")


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
