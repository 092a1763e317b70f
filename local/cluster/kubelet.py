"""The process kubelet: runs the pods that are bound to its node as local processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.cluster import clock, deletion, podspec
from local.cluster.container import Container
from local.cluster.deletion import DeleteOptions
from local.cluster.errors import ApiError
from local.cluster.resources import CONFIG_MAPS, PODS, SECRETS, KubeObject
from local.cluster.runtime import Node
from local.cluster.status import ContainerState, pod_status

_log = logging.getLogger(__name__)

# Pods get addresses out of 127.64.0.0/10: all of 127.0.0.0/8 is this machine's on Linux.
_FIRST_ADDRESS = (127 << 24) + (64 << 16)
_ADDRESSES = 2**22
_HOST_ADDRESS = "127.0.0.1"

_DEADLINE_EXCEEDED = {
    "phase": "Failed",
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}


class Kubelet:
    """Starts a worker for each pod of its node, and ends it with the pod."""

    def __init__(self, node: Node, name: str, directory: Path) -> None:
        self._node = node
        self._name = name
        self._directory = directory
        self._workers: dict[str, PodWorker] = {}

    async def run(self) -> None:
        with self._node.store.subscribe(PODS) as changes:
            async for change in changes:
                self._sync(change.object, removed=change.type == "DELETED")

    def _sync(self, pod: KubeObject, removed: bool) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if removed:
            if worker is not None:
                worker.remove().add_done_callback(lambda _: self._workers.pop(uid, None))
            return
        if pod["spec"].get("nodeName") != self._name:
            return
        if worker is None:
            worker = self._workers[uid] = PodWorker(self._node, pod, self._directory / uid)
        if pod["metadata"].get("deletionTimestamp"):
            worker.terminate(pod["metadata"]["deletionGracePeriodSeconds"])

    def container(self, uid: str, name: str) -> Container | None:
        """A container by its pod, for its logs."""
        worker = self._workers.get(uid)
        return worker.containers.get(name) if worker else None

    def kill_all(self) -> None:
        """End every process at once."""
        for worker in self._workers.values():
            worker.kill()


class PodWorker:
    """One pod from its binding to its end."""

    def __init__(self, node: Node, pod: KubeObject, directory: Path) -> None:
        self._node = node
        self._pod = pod
        self._directory = directory
        self._addresses: dict[str, Any] = {"hostIP": _HOST_ADDRESS}
        self._verdict: dict[str, Any] | None = None
        self.containers = {
            spec["name"]: Container(node, pod, spec, directory / spec["name"], self._publish)
            for spec in podspec.all_containers(pod["spec"])
        }
        self._initial = [one["name"] for one in pod["spec"].get("initContainers") or []]
        self._changed = asyncio.Event()
        self._running = self._start(self._run())
        self._ending: asyncio.Task[None] | None = None
        self._grace_seconds = math.inf

    def terminate(self, grace_seconds: float) -> asyncio.Task[None]:
        """End the pod gracefully, then remove it from the API. A second call can only shorten the time."""
        if self._ending is None:
            self._ending = self._start(self._end(grace_seconds))
        elif grace_seconds < self._grace_seconds:
            asyncio.get_running_loop().call_later(grace_seconds, self.kill)
        self._grace_seconds = min(grace_seconds, self._grace_seconds)
        return self._ending

    def remove(self) -> asyncio.Task[None]:
        """The pod is gone from the API: end what is left of it at once."""
        self.kill()
        return self.terminate(0)

    def kill(self) -> None:
        for container in self.containers.values():
            container.kill()

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        task.add_done_callback(self._report)
        return task

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # A kubelet without this worker would let everybody wait for the pod for ever.
            _log.error("worker of pod %s failed", self._pod["metadata"]["name"], exc_info=error)
            self._node.failed(error)

    async def _run(self) -> None:
        self._publish()
        try:
            async with asyncio.timeout(self._seconds_left()):
                await self._mount_volumes()
                address = self._take_address()
                await self._run_containers(address)
        except TimeoutError:
            self._verdict = _DEADLINE_EXCEEDED
            self._publish()
            self._node.events.kubelet(self._pod, "Normal", "DeadlineExceeded", _DEADLINE_EXCEEDED["message"])
            await self._stop_containers(self._pod["spec"]["terminationGracePeriodSeconds"])

    async def _run_containers(self, address: str) -> None:
        """The init containers one after the other, then the others; the sidecars among the first go when those have ended."""
        async with asyncio.TaskGroup() as sidecars:
            going = []
            for name in self._initial:
                container = self.containers[name]
                if container.state.initial:
                    await container.run(address)
                else:
                    going.append((container, sidecars.create_task(container.run(address))))
                    await self._until(container)
                if container.state.initial and not container.state.has_ended_well:
                    break
            else:
                async with asyncio.TaskGroup() as group:
                    for name in self.containers.keys() - set(self._initial):
                        group.create_task(self.containers[name].run(address))
            for container, task in going:
                task.cancel()
                await asyncio.wait([task])
                await container.stop(self._pod["spec"]["terminationGracePeriodSeconds"])
        self._publish()

    async def _until(self, sidecar: Container) -> None:
        """Until a sidecar has started: its startup probe, if it has one, has succeeded."""
        while not sidecar.state.started:
            await self._changed.wait()

    def _seconds_left(self) -> float | None:
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return None
        end = clock.parse(self._status()["startTime"]) + timedelta(seconds=deadline)
        return max(0.0, (end - clock.now()).total_seconds())

    def _take_address(self) -> str:
        number = _FIRST_ADDRESS + random.randrange(1, _ADDRESSES - 1)
        address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        self._addresses |= {"podIP": address, "podIPs": [{"ip": address}]}
        return address

    async def _mount_volumes(self) -> None:
        """Wait until what the mounted volumes refer to exists. A process has no mounts, so that is all there is to it."""
        delay = 0.5
        while missing := self._missing_volume():
            self._node.events.kubelet(self._pod, "Warning", "FailedMount", missing)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 122.0)

    def _missing_volume(self) -> str | None:
        namespace = self._pod["metadata"]["namespace"]
        containers = podspec.all_containers(self._pod["spec"])
        mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts") or []}
        for volume in self._pod["spec"].get("volumes") or []:
            if volume["name"] not in mounted:
                continue
            for resource, kind, key in ((CONFIG_MAPS, "configMap", "name"), (SECRETS, "secret", "secretName")):
                source = volume.get(kind)
                if source is None or source.get("optional"):
                    continue
                if self._node.store.get(resource, namespace, source[key]) is None:
                    what = f'{resource.kind.lower()} "{source[key]}" not found'
                    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {what}'
        return None

    async def _end(self, grace_seconds: float) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        await self._stop_containers(grace_seconds)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        metadata = self._pod["metadata"]
        options = DeleteOptions(grace_seconds=0, uid=metadata["uid"])
        # Whoever deleted it by force, or made another pod of that name since, has done this already.
        with contextlib.suppress(ApiError):
            deletion.delete(self._node.store, PODS, metadata["namespace"], metadata["name"], options)

    async def _stop_containers(self, grace_seconds: float) -> None:
        await asyncio.gather(*(container.stop(grace_seconds) for container in self.containers.values()))
        self._publish()

    def _status(self) -> dict[str, Any]:
        metadata = self._pod["metadata"]
        pod = self._node.store.get(PODS, metadata["namespace"], metadata["name"]) or self._pod
        status: dict[str, Any] = pod["status"]
        return status

    def _publish(self) -> None:
        """Write the pod's status as the containers are now."""
        metadata = self._pod["metadata"]
        self._changed.set()
        self._changed = asyncio.Event()
        own = [self.containers[name] for name in self.containers.keys() - set(self._initial)]
        moved = next((one.address for one in own if one.address), "")
        addresses = self._addresses | ({"podIP": moved, "podIPs": [{"ip": moved}]} if moved else {})
        initial, states = self._states(self._initial), [one.state for one in own]
        policy = self._pod["spec"]["restartPolicy"]

        def write(new: KubeObject) -> None:
            if new["metadata"]["uid"] == metadata["uid"]:
                new["status"] = pod_status(new["status"], policy, states, addresses, self._verdict, initial)

        self._node.store.update(PODS, metadata["namespace"], metadata["name"], write)

    def _states(self, names: Iterable[str]) -> list[ContainerState]:
        return [self.containers[name].state for name in names]
