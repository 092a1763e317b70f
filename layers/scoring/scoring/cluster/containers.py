"""The containers of a pod, by name: a mesh, an agent or a policy of the cluster may put others beside the model's.

A kubelet sorts `containerStatuses` by name (`istio-proxy` comes before `model`), so no place in a list means anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

MODEL = "model"
"""The name of the model's container in the pods that dropscore launches."""


def spec(pod: Mapping[str, Any], name: str = MODEL) -> Mapping[str, Any]:
    """What was asked for of a container; empty where the pod has none of that name."""
    asked = pod.get("spec", {})
    return _named([*(asked.get("containers") or ()), *(asked.get("initContainers") or ())], name)


def status(pod: Mapping[str, Any], name: str = MODEL) -> Mapping[str, Any]:
    """What the kubelet says of a container; empty until it has looked at it."""
    told = pod.get("status", {})
    return _named([*(told.get("containerStatuses") or ()), *(told.get("initContainerStatuses") or ())], name)


def state(pod: Mapping[str, Any], name: str = MODEL) -> tuple[str, Mapping[str, Any]]:
    """`waiting`, `running` or `terminated`, and what is said of it; `waiting` for a container that nobody knows yet."""
    for kind, said in (status(pod, name).get("state") or {}).items():
        return kind, said or {}
    return "waiting", {}


def waiting(pod: Mapping[str, Any], name: str = MODEL) -> tuple[str, str]:
    """Reason and message of a container that waits; of any other, nothing."""
    kind, said = state(pod, name)
    return (said.get("reason") or "", said.get("message") or "") if kind == "waiting" else ("", "")


def before_the_model(pod: Mapping[str, Any]) -> list[str]:
    """The init containers, in the order in which they start."""
    return [container["name"] for container in pod.get("spec", {}).get("initContainers") or ()]


def to_be_started(pod: Mapping[str, Any]) -> list[str]:
    """The containers that have to start for the model to run, itself the last."""
    return [*before_the_model(pod), MODEL]


def beside_the_model(pod: Mapping[str, Any]) -> list[str]:
    """The sidecars: all other containers, and the init containers that go on running (Kubernetes 1.29)."""
    names = [container["name"] for container in pod.get("spec", {}).get("containers") or ()]
    return [name for name in names if name != MODEL] + [name for name in before_the_model(pod) if goes_on(pod, name)]


def goes_on(pod: Mapping[str, Any], name: str) -> bool:
    """Whether an init container is a sidecar: it is started anew for ever, and the model does not wait for its end."""
    return spec(pod, name).get("restartPolicy") == "Always"


def image(pod: Mapping[str, Any], name: str) -> str:
    asked = spec(pod, name).get("image", "of the model")
    return str(asked) if name == MODEL else f"{asked} of the init container {name}"


def other(name: str) -> str | None:
    """The name for an error's details: only that of another container says anything."""
    return None if name == MODEL else name


def field_path(pod: Mapping[str, Any], name: str = MODEL) -> str:
    """How the events of a pod name one of its containers."""
    return f"spec.{'initContainers' if name in before_the_model(pod) else 'containers'}{{{name}}}"


def events_of(pod: Mapping[str, Any], name: str, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a pod's events that are about one of its containers."""
    path = field_path(pod, name)
    return [event for event in events if event.get("involvedObject", {}).get("fieldPath") == path]


def parse_time(text: str) -> datetime:
    """A timestamp of Kubernetes or Step Functions (RFC 3339)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return _named(pod.get("status", {}).get("conditions") or (), kind, "type")


def _named(items: Any, name: str, key: str = "name") -> Mapping[str, Any]:
    for item in items:
        if item.get(key) == name:
            found: Mapping[str, Any] = item
            return found
    return {}
