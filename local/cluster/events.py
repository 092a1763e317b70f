"""Events: what the scheduler and the kubelet tell about a pod, in the form each of them writes."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from local.cluster import clock
from local.cluster.resources import EVENTS, NAMESPACES, KubeObject
from local.cluster.store import Store

EventType = Literal["Normal", "Warning"]

# How many events are remembered to be counted up, as in client-go's correlator.
_REMEMBERED = 4096


class EventRecorder:
    """Writes events about pods. One per component."""

    def __init__(self, store: Store, component: str, host: str) -> None:
        self._store = store
        self._component = component
        self._host = host
        self._written: dict[tuple[str | None, ...], str] = {}

    def kubelet(
        self, pod: KubeObject, kind: EventType, reason: str, message: str, container: str | None = None
    ) -> None:
        """An event of core/v1's client: the same thing again raises the count of the first."""
        about = _reference(pod)
        if container:
            initial = any(one["name"] == container for one in pod["spec"].get("initContainers") or [])
            about["fieldPath"] = f"spec.{'initContainers' if initial else 'containers'}{{{container}}}"
        key = (about["uid"], container, reason, message)
        name = self._written.get(key)
        if name is None or self._store.get(EVENTS, about["namespace"], name) is None:
            now = clock.seconds()
            fields = {"count": 1, "eventTime": None, "firstTimestamp": now, "lastTimestamp": now}
            source = {"component": self._component, "host": self._host}
            name = self._create(pod, about, kind, reason, message, fields | {"source": source}, "", "")
            self._remember(key, name)
            return

        def again(event: KubeObject) -> None:
            event["count"] += 1
            event["lastTimestamp"] = clock.seconds()

        self._store.update(EVENTS, about["namespace"], name, again)

    def scheduler(self, pod: KubeObject, kind: EventType, reason: str, action: str, message: str) -> None:
        """An event of events.k8s.io's client: no count and no source, but an action and a time in microseconds."""
        fields = {"action": action, "eventTime": clock.micro(), "firstTimestamp": None, "lastTimestamp": None}
        instance = f"{self._component}-{self._host}"
        self._create(pod, _reference(pod), kind, reason, message, fields | {"source": {}}, self._component, instance)

    def _remember(self, key: tuple[str | None, ...], name: str) -> None:
        self._written[key] = name
        if len(self._written) > _REMEMBERED:
            del self._written[next(iter(self._written))]

    def _create(
        self,
        pod: KubeObject,
        about: dict[str, Any],
        kind: EventType,
        reason: str,
        message: str,
        fields: dict[str, Any],
        component: str,
        instance: str,
    ) -> str:
        namespace, name = pod["metadata"]["namespace"], f"{pod['metadata']['name']}.{secrets.token_hex(8)}"
        if self._store.get(NAMESPACES, None, namespace) is None:
            # The last words of a pod whose namespace is gone have no place to be kept.
            return name
        event = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "reportingComponent": component,
            "reportingInstance": instance,
        }
        self._store.create(EVENTS, event | fields)
        return name


def _reference(pod: KubeObject) -> dict[str, Any]:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "v1",
        "resourceVersion": metadata["resourceVersion"],
    }
