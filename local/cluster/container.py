"""The life of one container: image, configuration, start, probes, end, restart."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local import images
from local.cluster import clock, environment, listening, podspec, probes, runtime
from local.cluster.environment import ConfigError
from local.cluster.events import EventType
from local.cluster.image_store import ImageProblem
from local.cluster.logs import LogFile
from local.cluster.process import ContainerProcess
from local.cluster.resources import KubeObject
from local.cluster.runtime import CannotStart, Node, OtherProcessors, Running
from local.cluster.status import INITIALIZING, ContainerState
from local.images import PulledImage, Reference

# How often a kubelet looks again at what it could not do.
_RESYNC_SECONDS = 10.0
# How long a failed pull shows as ErrImagePull before it shows as ImagePullBackOff: the kubelet's next look at the pod.
_NEXT_LOOK_SECONDS = 1.0
_LONGEST_BACK_OFF = 300.0
# A container that ran this long starts over with the shortest back-off (twice the longest).
_FORGIVEN_AFTER = 600.0
_EXIT_KILLED = 137
_START_ERROR = 128
_NOT_EXECUTABLE = 255
_LOST = "The container could not be located when the pod was terminated"


class Container:
    """Runs one container of a pod until it has ended for good."""

    def __init__(
        self, node: Node, pod: KubeObject, spec: dict[str, Any], directory: Path, publish: Callable[[], None]
    ) -> None:
        self._node = node
        self._pod = pod
        self._spec = spec
        self._directory = directory
        self._temporary = directory / "tmp"
        self._publish = publish
        self._process: Running | None = None
        self.address = ""
        """Where it is reached, if that is not the address that its pod was given."""
        # How this container is started anew: a sidecar always, one that has to end well as long as it does not.
        self._policy = spec.get("restartPolicy") or pod["spec"]["restartPolicy"]
        initial = spec in (pod["spec"].get("initContainers") or []) and not podspec.is_sidecar(spec)
        if initial and self._policy == "Always":
            self._policy = "OnFailure"
        self.state = ContainerState(spec["name"], spec["image"], initial=initial)
        if pod["spec"].get("initContainers"):
            self.state.state = dict(INITIALIZING)
        # By container id: the last instance and the one before it.
        self.logs: dict[str, LogFile] = {}

    async def run(self, address: str) -> None:
        """Keep the container going as its restart policy says."""
        back_off = 0.0
        while True:
            began = asyncio.get_running_loop().time()
            await self._instance(address)
            if asyncio.get_running_loop().time() - began > _FORGIVEN_AFTER:
                back_off = 0.0
            ended = self.state.terminated or self.state.last_state["terminated"]
            if not self._restarts_after(ended["exitCode"]):
                return
            if back_off:
                await self._wait_to_restart(back_off)
            back_off = min(back_off * 2, _LONGEST_BACK_OFF) or 10.0
            self.state.last_state = {"terminated": ended}
            self.state.restart_count += 1

    async def stop(self, grace_seconds: float) -> None:
        """End what runs; ``run`` must have been cancelled before."""
        if self._process is None or not self.state.running:
            return
        self._event("Normal", "Killing", f"Stopping container {self.state.name}")
        await self._process.stop(grace_seconds)
        self._ended(await self._process.wait())

    def kill(self) -> None:
        """End what runs at once, without a word."""
        if self._process is not None:
            self._process.kill()

    def _restarts_after(self, exit_code: int) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and exit_code != 0)

    async def _wait_to_restart(self, seconds: float) -> None:
        metadata = self._pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        message = f"back-off {clock.duration(seconds)} restarting failed container={self.state.name} pod={pod}"
        self.state.last_state = {"terminated": self.state.terminated or self.state.last_state["terminated"]}
        self.state.wait("CrashLoopBackOff", message)
        self._event("Warning", "BackOff", "Back-off restarting failed container")
        self._publish()
        await asyncio.sleep(seconds)

    async def _instance(self, address: str) -> None:
        """One start of the container, to its end."""
        image = await self._image()
        variables = await self._configured(image, address)
        container_id = f"containerd://{secrets.token_hex(32)}"
        root = await self._create(image, container_id)
        try:
            process = await runtime.start(
                self._node, self._pod, self._spec, image, variables, root, self._temporary, self.logs[container_id]
            )
        except OtherProcessors as error:
            self._is_for_other_processors(container_id, str(error))
            return
        except CannotStart as error:
            self._cannot_start(container_id, str(error))
            return
        self._process = process
        self.address = process.address
        self._event("Normal", "Started", f"Started container {self.state.name}")
        self.state.run(container_id, clock.seconds())
        self.state.started = "startupProbe" not in self._spec
        self.state.ready = self.state.started and "readinessProbe" not in self._spec
        self._publish()
        ports = {port["name"]: port["containerPort"] for port in self._spec.get("ports") or [] if "name" in port}
        target = probes.Target(
            process.address or address, ports, variables, process.directory, self._node.session, process.inside
        )
        beside = [asyncio.create_task(self._probe(process, target))]
        if isinstance(process, ContainerProcess):
            listens = [port["containerPort"] for port in self._spec.get("ports") or []]
            beside.append(asyncio.create_task(listening.keep_apart(process, address, listens)))
        try:
            code = await process.wait()
        finally:
            for task in beside:
                task.cancel()
        self._ended(code)
        self._publish()

    def _ended(self, code: int) -> None:
        assert self._process is not None
        if isinstance(self._process, ContainerProcess):
            self._node.memory.forget(self._process)
        started_at = self.state.state["running"]["startedAt"]
        message = ""
        if code and self._spec["terminationMessagePolicy"] == "FallbackToLogsOnError":
            message = self._process.log.tail(lines=80, limit=2048)
        if self._process.is_lost:
            # The kubelet's words (pkg/kubelet, convertToAPIContainerStatuses).
            self.state.terminate(code, "ContainerStatusUnknown", started_at, message=_LOST)
        elif self._process.out_of_memory:
            self.state.terminate(_EXIT_KILLED, "OOMKilled", started_at, message=message)
        else:
            self.state.terminate(code, "Error" if code else "Completed", started_at, message=message)

    def _is_for_other_processors(self, container_id: str, program: str) -> None:
        """The runtime has started its own process in the container, and that cannot become the image's program."""
        self._event("Normal", "Started", f"Started container {self.state.name}")
        log = self.logs[container_id]
        log.write(f"exec {program}: exec format error\n".encode())
        log.close()
        now = clock.seconds()
        self.state.run(container_id, now)
        self.state.terminate(_NOT_EXECUTABLE, "Error", now)
        self._publish()

    def _cannot_start(self, container_id: str, message: str) -> None:
        self._event("Warning", "Failed", f"Error: {message}")
        self.logs[container_id].close()
        self.state.container_id = container_id
        self.state.terminate(_START_ERROR, "StartError", clock.NEVER, message=message)
        if self._restarts_after(_START_ERROR):
            self.state.last_state = self.state.state
            self.state.wait("RunContainerError", message)
        self._publish()

    # -- image and configuration -------------------------------------------------------------------------------------

    async def _image(self) -> PulledImage:
        """The image, however long it takes to get it."""
        back_off = 10.0
        while True:
            try:
                return await self._node.images.ensure(self._spec["image"], self._spec["imagePullPolicy"], self._event)
            except ImageProblem as problem:
                self._event("Warning", "Failed", f"Error: {problem.reason}")
                self.state.wait(problem.reason, problem.message)
                self._publish()
                if problem.reason != "ErrImagePull":
                    await asyncio.sleep(_RESYNC_SECONDS)
                    continue
                await asyncio.sleep(_NEXT_LOOK_SECONDS)
                message = f'Back-off pulling image "{self.state.image}"'
                self._event("Normal", "BackOff", message)
                self._event("Warning", "Failed", "Error: ImagePullBackOff")
                self.state.wait("ImagePullBackOff", message)
                self._publish()
                await asyncio.sleep(back_off - _NEXT_LOOK_SECONDS)
                back_off = min(back_off * 2, _LONGEST_BACK_OFF)

    async def _configured(self, image: PulledImage, address: str) -> dict[str, str]:
        """The environment, as soon as all that it refers to exists."""
        # A process has no network of its own: HOST tells it which address is the pod's.
        self._temporary.mkdir(parents=True, exist_ok=True)
        known = {"PATH": images.DEFAULT_PATH} | image.env | {"HOSTNAME": self._pod["metadata"]["name"]}
        if not image.in_docker:
            # What a container writes to /tmp goes with it.
            known = {name: environment.at_own_address(value, address) for name, value in known.items()}
            known |= {"HOST": address, "TMPDIR": str(self._temporary)}
        while True:
            try:
                environment.check_user(self._pod, self._spec, image.user)
                return environment.variables(self._node.store, self._pod, self._spec, known)
            except ConfigError as error:
                self.state.wait("CreateContainerConfigError", str(error))
                self._event("Warning", "Failed", f"Error: {error}")
                self._publish()
            await asyncio.sleep(_RESYNC_SECONDS)
            await self._image()

    async def _create(self, image: PulledImage, container_id: str) -> Path:
        """A copy of the image's root for this instance, in place of that of the instance before."""
        root = self._directory / "rootfs"
        copying = asyncio.create_task(asyncio.to_thread(_replace_tree, image.rootfs, root))
        try:
            await asyncio.shield(copying)
        finally:
            # A thread cannot be cancelled, and whoever cleans up must not find it at work.
            await asyncio.wait([copying])
        for old in list(self.logs)[:-1]:
            self.logs.pop(old).path.unlink()
        reference = Reference.parse(self.state.image)
        self.state.image_id = f"{reference.host}/{reference.repository}@{image.digest}"
        self.logs[container_id] = LogFile(self._directory / f"{self.state.restart_count}.log")
        self._event("Normal", "Created", f"Created container {self.state.name}")
        return root

    # -- probes ------------------------------------------------------------------------------------------------------

    async def _probe(self, process: Running, target: probes.Target) -> None:
        if "startupProbe" in self._spec:
            await self._watch("startup", target, lambda ok: self._startup_turned(process, ok))
        async with asyncio.TaskGroup() as group:
            if "livenessProbe" in self._spec:
                group.create_task(self._watch("liveness", target, lambda ok: self._liveness_turned(process, ok)))
            if "readinessProbe" in self._spec:
                group.create_task(self._watch("readiness", target, self._readiness_turned))

    async def _watch(self, kind: str, target: probes.Target, turned: Callable[[bool], Any]) -> None:
        def failed(message: str) -> None:
            self._event("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {message}")

        await probes.watch(self._spec[f"{kind}Probe"], target, failed, turned)

    async def _startup_turned(self, process: Running, ok: bool) -> bool:
        if not ok:
            await self._kill_unhealthy(process, "startup")
        elif self.state.running:
            self.state.started = True
            self.state.ready = "readinessProbe" not in self._spec
            self._publish()
        return True

    async def _liveness_turned(self, process: Running, ok: bool) -> bool:
        if not ok:
            await self._kill_unhealthy(process, "liveness")
        return not ok

    async def _readiness_turned(self, ok: bool) -> bool:
        if self.state.running and self.state.ready is not ok:
            self.state.ready = ok
            self._publish()
        return False

    async def _kill_unhealthy(self, process: Running, kind: str) -> None:
        message = f"Container {self.state.name} failed {kind} probe"
        if self._policy != "Never":
            message += ", will be restarted"
        elif len(self._pod["spec"]["containers"]) == 1:
            # With nothing left to run, the kubelet ends the pod, and says no more than that.
            message = f"Stopping container {self.state.name}"
        self._event("Normal", "Killing", message)
        await process.stop(self._pod["spec"]["terminationGracePeriodSeconds"])

    def _event(self, kind: EventType, reason: str, message: str) -> None:
        self._node.events.kubelet(self._pod, kind, reason, message, self.state.name)


def _replace_tree(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
