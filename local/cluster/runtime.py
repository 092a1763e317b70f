"""What a node runs containers with: as processes of this machine, or in Docker if that has built the image."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from local.cluster import engine, environment, quantities
from local.cluster.engine import Engine, EngineContainer, EngineFailed
from local.cluster.environment import CommandNotFound
from local.cluster.events import EventRecorder
from local.cluster.image_store import ImageStore
from local.cluster.logs import LogFile
from local.cluster.process import ContainerProcess, MemoryGuard, Reaper
from local.cluster.resources import KubeObject
from local.cluster.store import Store
from local.images import PulledImage

Running = ContainerProcess | EngineContainer

_RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process"
)


class CannotStart(Exception):
    """A container was created, but cannot be started; the message is the container runtime's."""


class OtherProcessors(Exception):
    """The image's program is for another kind of processor; the message is the program."""


@dataclass(frozen=True)
class Node:
    """What all containers of a node share."""

    store: Store
    events: EventRecorder
    images: ImageStore
    reaper: Reaper
    memory: MemoryGuard
    session: aiohttp.ClientSession
    engine: Engine
    failed: Callable[[BaseException], None]
    """Told of what ended a piece of work that should not have ended so."""


async def start(
    node: Node,
    pod: KubeObject,
    spec: dict[str, Any],
    image: PulledImage,
    variables: dict[str, str],
    root: Path,
    temporary: Path,
    log: LogFile,
) -> Running:
    """Start a container of a pod.

    Parameters
    ----------
    spec
        The container's, in the pod.
    variables
        Its environment.
    root
        Its own copy of the image's root.
    temporary
        Its TMPDIR, which is emptied with it.

    Raises
    ------
    CannotStart, OtherProcessors
    """
    if image.in_docker:
        words = {
            key: [environment.expand(word, variables) for word in spec.get(key) or []] for key in ("command", "args")
        }
        try:
            given = engine.arguments(pod, spec, variables)
            return await EngineContainer.start(node.engine, image.in_docker, given, words, log)
        except EngineFailed as error:
            raise CannotStart(str(error)) from error
    directory = root / (spec.get("workingDir") or image.workdir).lstrip("/")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        command = environment.command(spec, image.entrypoint, image.cmd, variables)
        localized = environment.localize(command, root, directory, variables)
        process = await ContainerProcess.start(localized, directory, variables, temporary, log, node.reaper)
    except (CommandNotFound, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
            raise OtherProcessors(command[0]) from error
        raise CannotStart(f"{_RUNC}: {error}: unknown") from error
    if limit := (spec["resources"].get("limits") or {}).get("memory"):
        node.memory.watch(process, int(quantities.parse(limit)))
    return process
