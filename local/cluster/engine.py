"""Containers that Docker runs: those whose image it has built. The API server, the scheduler and the probes see no difference.

They are in a network of the cluster's own that has no way out, as cluster/'s network policy leaves a model none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import docker
from local.cluster import quantities
from local.cluster.logs import LogFile

_log = logging.getLogger(__name__)

_BUFFER = 64 * 2**10
_SECONDS = 60.0
_KILLED = 137
_SHARED_MEMORY = "/dev/shm"


class EngineFailed(Exception):
    """Docker did not do what it was asked; the message is its own."""


class Engine:
    """What the containers of one cluster share. Its network is made with the first of them, and noted in the cluster's folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._name = docker.name_of(state)
        self._making = asyncio.Lock()

    async def network(self) -> str:
        """Name the network, which is there then. It labels whatever is the cluster's. Raises EngineFailed."""
        label = f"{docker.LABEL}={self._name}"
        async with self._making:
            docker.note(self._state)
            # Each time: whoever prunes Docker takes a network that nothing is in.
            if not await ask("network", "ls", "--quiet", "--filter", f"label={label}"):
                await ask("network", "create", "--internal", "--label", label, self._name)
        return self._name

    def close(self) -> None:
        """Remove all containers, and the network."""
        docker.remove_of(self._state)


def arguments(pod: Mapping[str, Any], container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """Say to `docker create` what a pod says of one of its containers (pure); raises EngineFailed.

    Parameters
    ----------
    env
        The variables, with the references in them resolved.
    """
    security = (pod["spec"].get("securityContext") or {}) | (container.get("securityContext") or {})
    capabilities = security.get("capabilities") or {}
    given = ["--hostname", pod["metadata"]["name"], "--pull", "never", "--log-driver", "json-file"]
    if (user := security.get("runAsUser")) is not None:
        group = security.get("runAsGroup")
        given += ["--user", str(user) if group is None else f"{user}:{group}"]
    for name in capabilities.get("drop") or ():
        given += ["--cap-drop", name]
    for name in capabilities.get("add") or ():
        given += ["--cap-add", name]
    if security.get("allowPrivilegeEscalation") is False:
        given += ["--security-opt", "no-new-privileges"]
    if security.get("readOnlyRootFilesystem"):
        given += ["--read-only"]
    given += _resources(container["resources"])
    given += _mounts(pod, container)
    for name, value in env.items():
        given += ["--env", f"{name}={value}"]
    if container.get("workingDir"):
        given += ["--workdir", container["workingDir"]]
    return given


def _resources(resources: Mapping[str, Mapping[str, str]]) -> list[str]:
    limits, requests, given = resources.get("limits") or {}, resources.get("requests") or {}, []
    if "memory" in limits:
        # As a node without swap: what is over the limit is killed.
        memory = str(int(quantities.parse(limits["memory"])))
        given += ["--memory", memory, "--memory-swap", memory]
    if "cpu" in limits:
        # Docker takes no more than there are.
        cpus = min(max(float(quantities.parse(limits["cpu"])), 0.01), os.cpu_count() or 1)
        given += ["--cpus", f"{cpus:g}"]
    if "cpu" in requests:
        # The kubelet's: 1,024 a cpu, and the kernel's least.
        given += ["--cpu-shares", str(max(2, int(quantities.parse(requests["cpu"]) * 1024)))]
    return given


def _mounts(pod: Mapping[str, Any], container: Mapping[str, Any]) -> list[str]:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    given = []
    for mount in container.get("volumeMounts") or ():
        empty = volumes[mount["name"]].get("emptyDir")
        if empty is None:
            raise EngineFailed(
                f"volume {mount['name']}: only an emptyDir can be mounted where Docker runs the container"
            )
        size = int(quantities.parse(empty["sizeLimit"])) if "sizeLimit" in empty else None
        if mount["mountPath"] == _SHARED_MEMORY and size:
            given += ["--shm-size", str(size)]
        elif empty.get("medium") == "Memory":
            given += ["--tmpfs", f"{mount['mountPath']}:exec,mode=1777" + (f",size={size}" if size else "")]
        else:
            given += ["--mount", f"type=volume,destination={mount['mountPath']}"]
    return given


class EngineContainer:
    """A started container of Docker's. It is removed when it has ended; its log is in the cluster's file before."""

    def __init__(self, identity: str, address: str, log: LogFile) -> None:
        self._id = identity
        self.inside = ("docker", "exec", identity)
        self.address = address
        self.directory = None
        self.log = log
        self.out_of_memory = False
        self.is_lost = False
        """Whether Docker has it no more, so that nobody knows what it has ended with."""
        self._end = asyncio.create_task(self._follow())
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, engine: Engine, image: str, given: list[str], words: Mapping[str, list[str]], log: LogFile
    ) -> EngineContainer:
        """Create and start one.

        Parameters
        ----------
        image
            Its ID in Docker.
        given
            What ``arguments`` says of it.
        words
            The pod's ``command`` and ``args``, as far as it has any.

        Raises
        ------
        EngineFailed
        """
        network = await engine.network()
        name = f"{network}-{secrets.token_hex(6)}"
        command, args = words.get("command") or [], words.get("args") or []
        entrypoint = ["--entrypoint", command[0]] if command else []
        labels = ["--label", f"{docker.LABEL}={network}"]
        try:
            await ask(
                *("create", "--name", name, "--network", network, *labels, *given, *entrypoint, image),
                *command[1:],
                *args,
            )
            await ask("start", name)
            described = json.loads(await ask("inspect", "--format", "{{json .NetworkSettings.Networks}}", name))
            return cls(name, described[network]["IPAddress"], log)
        except BaseException as error:
            # Also when the pod is deleted in the meantime.
            await asyncio.shield(_forget(name))
            if not isinstance(error, EngineFailed):
                log.close()
            raise

    async def wait(self) -> int:
        """The exit code."""
        return await asyncio.shield(self._end)

    async def stop(self, grace_seconds: float) -> None:
        """Send the image's stop signal, and SIGKILL when the time is over."""
        if self._end.done():
            return
        with contextlib.suppress(EngineFailed):  # it has ended meanwhile
            seconds = math.ceil(grace_seconds)
            await ask("stop", "-t", str(seconds), self._id, seconds=seconds + _SECONDS)
        await asyncio.wait([self._end])

    def kill(self) -> None:
        """SIGKILL. Whoever ends the event loop next removes the container besides (``Engine.close``)."""
        if not self._end.done() and self._killing is None:
            self._killing = asyncio.get_running_loop().create_task(self._kill())

    async def _kill(self) -> None:
        with contextlib.suppress(EngineFailed):  # it has ended meanwhile
            await ask("kill", self._id)

    async def _follow(self) -> int:
        """Copy the output to the log until the end. One that Docker knows no more was killed, as far as anybody can tell."""
        try:
            code = await self._copy()
        except (EngineFailed, OSError) as error:
            _log.warning("container %s: %s", self._id, error)
            self.is_lost, code = True, _KILLED
        self.log.close()
        await _forget(self._id)
        return code

    async def _copy(self) -> int:
        following = await asyncio.create_subprocess_exec(
            *("docker", "logs", "--follow", self._id),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert following.stdout is not None
        while data := await following.stdout.read(_BUFFER):
            self.log.write(data)
        await following.wait()
        # The log may end a moment before the container is said to have.
        code = int(await ask("wait", self._id, seconds=None))
        state = json.loads(await ask("inspect", "--format", "{{json .State}}", self._id))
        # Of any of its processes; the first may have gone on without it.
        self.out_of_memory = bool(state["OOMKilled"]) and code != 0
        return code


async def ask(*arguments: str, seconds: float | None = _SECONDS) -> str:
    """Run a command of Docker's and give what it prints; raises EngineFailed.

    Who is cancelled meanwhile waits for its end: what it was about to make is there then, and can be removed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *("docker", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise EngineFailed(f"the command `docker` cannot be run: {error}") from error
    communicating = asyncio.create_task(process.communicate())
    try:
        await asyncio.wait([communicating], timeout=seconds)
    except asyncio.CancelledError:
        await asyncio.wait([communicating], timeout=seconds)
        raise
    finally:
        if not communicating.done():
            process.kill()
    if not communicating.done():
        raise EngineFailed(f"`docker {arguments[0]}` has not ended in {seconds:.0f} seconds")
    printed, said = communicating.result()
    if process.returncode:
        raise EngineFailed(said.decode(errors="replace").strip().removeprefix("Error response from daemon: "))
    return printed.decode(errors="replace").strip()


async def _forget(name: str) -> None:
    with contextlib.suppress(EngineFailed):  # there is none, or it is being removed
        await ask("rm", "--force", "--volumes", name)
