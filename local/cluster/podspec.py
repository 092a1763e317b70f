"""The containers of a pod's spec: those that start one after the other before all others, and those."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from local.cluster import quantities

Spec = dict[str, Any]


def all_containers(spec: Spec) -> list[dict[str, Any]]:
    """Init containers first."""
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def is_sidecar(container: dict[str, Any]) -> bool:
    """Whether an init container goes on running beside the others (Kubernetes 1.29)."""
    return container.get("restartPolicy") == "Always"


def amounts(spec: Spec, kind: str) -> dict[str, Decimal]:
    """What a pod takes by its `requests` or its `limits`: what goes on together, or more where an init container needs it.

    As k8s.io/component-helpers/resource (PodRequests, PodLimits).
    """
    together: dict[str, Decimal] = {}
    most: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or []:
        if is_sidecar(container):
            _add(together, container, kind)
        else:
            needed = dict(together)
            _add(needed, container, kind)
            most = {name: max(needed.get(name, Decimal(0)), most.get(name, Decimal(0))) for name in {*needed, *most}}
    for container in spec["containers"]:
        _add(together, container, kind)
    return {name: max(together.get(name, Decimal(0)), most.get(name, Decimal(0))) for name in {*together, *most}}


def _add(total: dict[str, Decimal], container: dict[str, Any], kind: str) -> None:
    for name, amount in (container["resources"].get(kind) or {}).items():
        total[name] = total.get(name, Decimal(0)) + quantities.parse(amount)
