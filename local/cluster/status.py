"""From what the kubelet knows about a pod's containers to the pod's status. Pure functions and plain data.

Follows pkg/kubelet/kubelet_pods.go (getPhase, convertStatusToAPIStatus) and pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local.cluster import clock

CREATING = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}


@dataclass
class ContainerState:
    """One container of a pod, as the kubelet sees it. ``state`` and ``last_state`` are in the API's form."""

    name: str
    image: str
    image_id: str = ""
    container_id: str = ""
    state: dict[str, Any] = field(default_factory=lambda: dict(CREATING))
    last_state: dict[str, Any] = field(default_factory=dict)
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    initial: bool = False
    """Whether it has to end well before the pod's other containers start."""

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def has_ended_well(self) -> bool:
        return self.terminated is not None and self.terminated["exitCode"] == 0

    @property
    def terminated(self) -> dict[str, Any] | None:
        return self.state.get("terminated")

    def wait(self, reason: str, message: str = "") -> None:
        """Nothing runs, for this reason."""
        self.ready = self.started = False
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, container_id: str, started_at: str) -> None:
        """A process has been started."""
        self.container_id = container_id
        self.state = {"running": {"startedAt": started_at}}

    def terminate(
        self, exit_code: int, reason: str, started_at: str, finished_at: str | None = None, message: str = ""
    ) -> None:
        """The process has ended."""
        self.ready = self.started = False
        ended: dict[str, Any] = {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": started_at,
            "finishedAt": finished_at or clock.seconds(),
            "containerID": self.container_id,
        }
        self.state = {"terminated": ended | ({"message": message} if message else {})}

    def api(self) -> dict[str, Any]:
        """An entry of ``status.containerStatuses``."""
        entry: dict[str, Any] = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready and self.running,
            "restartCount": self.restart_count,
            "image": self.image,
            "imageID": self.image_id,
        }
        if self.initial:
            entry["ready"] = self.has_ended_well
        else:
            entry["started"] = self.started and self.running
        return entry | ({"containerID": self.container_id} if self.container_id else {})


def phase(restart_policy: str, containers: list[ContainerState], initial: list[ContainerState] | None = None) -> str:
    """Pending, Running, Succeeded or Failed; `initial` are the init containers, sidecars among them."""
    for one in initial or []:
        if one.initial and not one.has_ended_well:
            return "Failed" if restart_policy == "Never" and one.terminated else "Pending"
        if not one.initial and not one.started and "terminated" not in one.last_state and not one.terminated:
            return "Pending"
    waiting = [one for one in containers if "waiting" in one.state and "terminated" not in one.last_state]
    if waiting:
        return "Pending"
    if any(one.running for one in containers) or restart_policy == "Always":
        return "Running"
    # What waits to be restarted has ended before: lastState tells how.
    codes = [(one.terminated or one.last_state["terminated"])["exitCode"] for one in containers]
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def pod_status(
    old: dict[str, Any],
    restart_policy: str,
    containers: list[ContainerState],
    addresses: dict[str, Any],
    verdict: dict[str, Any] | None = None,
    initial: list[ContainerState] | None = None,
) -> dict[str, Any]:
    """The whole status of a pod that was bound to a node.

    ``old`` gives what stays (start time, times of transition, others' conditions), ``addresses`` the ``hostIP`` and
    ``podIP`` fields known so far, ``verdict`` phase, reason and message when the kubelet has ended the pod itself.
    """
    now = clock.seconds()
    initial = initial or []
    sidecars = [one for one in initial if not one.initial]
    new_phase = phase(restart_policy, containers, initial)
    if verdict:
        new_phase = verdict["phase"]
    # As the kubelet sorts them: a mesh's istio-proxy comes before the model.
    containers = sorted(containers, key=lambda one: one.name)
    unready = [one.name for one in [*sidecars, *containers] if not (one.ready and one.running)]
    incomplete = [one.name for one in initial if not (one.has_ended_well if one.initial else one.started)]
    waits = {
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(incomplete)}]",
    }
    why: dict[str, Any] = {}
    if new_phase == "Succeeded":
        why = {"reason": "PodCompleted"}
    elif unready:
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    ready = "False" if why else "True"
    wanted: dict[str, dict[str, Any]] = {
        "Initialized": {"status": "False" if incomplete else "True"}
        | ({"reason": "PodCompleted"} if new_phase == "Succeeded" else waits if incomplete else {}),
        "Ready": {"status": ready} | why,
        "ContainersReady": {"status": ready} | why,
        "PodScheduled": {"status": "True"},
    }
    before = {one["type"]: one for one in old.get("conditions") or []}
    conditions = [_condition(kind, new, before.get(kind), now) for kind, new in wanted.items()]
    conditions += [one for kind, one in before.items() if kind not in wanted]
    return {
        "phase": new_phase,
        **{key: value for key, value in (verdict or {}).items() if key != "phase"},
        "conditions": conditions,
        **addresses,
        "startTime": old.get("startTime", now),
        **({"initContainerStatuses": [one.api() for one in initial]} if initial else {}),
        "containerStatuses": [one.api() for one in containers],
        "qosClass": old["qosClass"],
    }


def _condition(kind: str, new: dict[str, Any], old: dict[str, Any] | None, now: str) -> dict[str, Any]:
    since = old["lastTransitionTime"] if old and old["status"] == new["status"] else now
    return {"type": kind, "lastProbeTime": None, "lastTransitionTime": since} | new
