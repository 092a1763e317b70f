"""The scheduler: binds a pod to the node, or says in the pod why it cannot."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from local.cluster import clock, podspec, quantities
from local.cluster.events import EventRecorder
from local.cluster.resources import NODES, PODS, KubeObject
from local.cluster.store import Store


class Scheduler:
    """Places pods on nodes by their requests and nodeSelector, oldest first."""

    def __init__(self, store: Store, host: str) -> None:
        self._store = store
        self._events = EventRecorder(store, "default-scheduler", host)

    async def run(self) -> None:
        """Look at the waiting pods whenever a pod or a node changes: each change may have made room."""
        with self._store.subscribe(PODS, NODES) as changes:
            self._schedule_all()
            async for _ in changes:
                self._schedule_all()

    def _schedule_all(self) -> None:
        waiting = [pod for pod in self._store.objects(PODS) if _is_waiting(pod)]
        for pod in sorted(waiting, key=lambda one: int(one["metadata"]["resourceVersion"])):
            if pod["spec"].get("schedulingGates"):
                self._hold(pod)
            else:
                self._schedule(pod)

    def _hold(self, pod: KubeObject) -> None:
        """A queue of somebody's (Kueue, for one) takes the gates away when it admits the pod."""
        metadata, message = pod["metadata"], "Scheduling is blocked due to non-empty scheduling gates"

        def hold(new: KubeObject) -> None:
            _set_condition(new, "False", {"reason": "SchedulingGated", "message": message})

        self._store.update(PODS, metadata["namespace"], metadata["name"], hold)

    def _schedule(self, pod: KubeObject) -> None:
        nodes = self._store.objects(NODES)
        problems = {}
        for node in nodes:
            name = node["metadata"]["name"]
            problems[name] = _problems(pod, node, self._store.objects(PODS))
            if not problems[name]:
                self._bind(pod, name)
                return
        self._refuse(pod, _sentence(problems))

    def _bind(self, pod: KubeObject, node: str) -> None:
        metadata = pod["metadata"]
        target = f"{metadata['namespace']}/{metadata['name']}"

        def bind(new: KubeObject) -> None:
            new["spec"]["nodeName"] = node
            _set_condition(new, "True", {})

        self._store.update(PODS, metadata["namespace"], metadata["name"], bind)
        self._events.scheduler(pod, "Normal", "Scheduled", "Binding", f"Successfully assigned {target} to {node}")

    def _refuse(self, pod: KubeObject, message: str) -> None:
        metadata = pod["metadata"]

        def refuse(new: KubeObject) -> None:
            _set_condition(new, "False", {"reason": "Unschedulable", "message": message})

        if self._store.update(PODS, metadata["namespace"], metadata["name"], refuse) is not pod:
            self._events.scheduler(pod, "Warning", "FailedScheduling", "Scheduling", message)


def _is_waiting(pod: KubeObject) -> bool:
    return not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")


def _problems(pod: KubeObject, node: KubeObject, pods: list[KubeObject]) -> list[str]:
    """Why the pod does not fit, in the words of the scheduler's filters; empty when it fits.

    A filter that refuses ends the search, so only the resources can give more than one reason.
    """
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim:
            return [f'persistentvolumeclaim "{claim}" not found']
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return ["node(s) didn't match Pod's node affinity"]
    name = node["metadata"]["name"]
    present = [one for one in pods if one["spec"].get("nodeName") == name and not _has_ended(one)]
    room = node["status"]["allocatable"]
    problems = []
    if len(present) + 1 > quantities.parse(room["pods"]):
        problems.append("Too many pods")
    taken = [requests(one) for one in present]
    for resource, amount in requests(pod).items():
        used = sum(one.get(resource, Decimal(0)) for one in taken)
        if amount > 0 and used + amount > quantities.parse(room.get(resource, "0")):
            problems.append(f"Insufficient {resource}")
    return problems


def requests(pod: KubeObject) -> dict[str, Decimal]:
    """What the pod asks for by resource."""
    return podspec.amounts(pod["spec"], "requests")


def _has_ended(pod: KubeObject) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _sentence(problems: dict[str, list[str]]) -> str:
    counts = Counter(problem for found in problems.values() for problem in found)
    reasons = sorted(f"{count} {problem}" for problem, count in counts.items())
    return f"0/{len(problems)} nodes are available: {', '.join(reasons)}."


def _set_condition(pod: KubeObject, status: str, why: dict[str, Any]) -> None:
    conditions = pod["status"].setdefault("conditions", [])
    old = next((one for one in conditions if one["type"] == "PodScheduled"), None)
    since = old["lastTransitionTime"] if old and old["status"] == status else clock.seconds()
    new = {"type": "PodScheduled", "status": status, "lastProbeTime": None, "lastTransitionTime": since} | why
    pod["status"]["conditions"] = [one for one in conditions if one is not old] + [new]
