"""Docker runs an image as a pod of dropscore's would be run: its user, capabilities, memory, arguments and variables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dropscore.stack import Unusable
from scoring.cluster.manifest import ROOT_CAPABILITIES
from scoring.intake.quantities import quantity

_SECONDS = 60.0
_LISTENING = "0A"  # linux/include/net/tcp_states.h: TCP_LISTEN


@dataclass(frozen=True)
class Image:
    """What an image says of itself."""

    name: str
    user: str
    command: tuple[str, ...]
    architecture: str
    size: int

    @property
    def is_root(self) -> bool:
        """Whether it starts as root."""
        return self.user.partition(":")[0] in ("", "0", "root")

    @property
    def is_named(self) -> bool:
        """Whether its user is a name, of which a kubelet cannot tell whether it is root's."""
        return not self.is_root and not self.user.partition(":")[0].isdecimal()


def inspect(name: str) -> Image:
    """Look at an image that is here, or can be pulled.

    Raises
    ------
    Unusable
    """
    found = _docker("image", "inspect", name, check=False)
    if found.returncode:
        # Minutes, for a large one.
        pulled = _docker("pull", "--quiet", name, check=False, seconds=None)
        if pulled.returncode:
            raise Unusable(
                f"Docker has no image {name} and cannot pull it: {pulled.stderr.strip()}",
                "Build or pull it first. A model that runs elsewhere is checked by its URL, http://….",
            )
        found = _docker("image", "inspect", name)
    said = json.loads(found.stdout)[0]
    config = said.get("Config") or {}
    command = (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))
    return Image(name, config.get("User") or "", command, said.get("Architecture", ""), said.get("Size", 0))


def arguments(image: Image, pod: Mapping[str, Any], resources: Mapping[str, str]) -> list[str]:
    """What `docker run` is told of a `pod` of a request (pure)."""
    given = ["--publish", f"127.0.0.1::{pod['port']}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    if image.is_root:
        given += [each for name in pod.get("capabilities", ROOT_CAPABILITIES) for each in ("--cap-add", name)]
    if memory := quantity(resources["memory"]):
        given += ["--memory", str(int(memory)), "--memory-swap", str(int(memory))]
    for name, value in pod.get("env", {}).items():
        given += ["--env", f"{name}={value}"]
    return [*given, image.name, *pod.get("args", ())]


class Container:
    """A container that runs until `remove`."""

    def __init__(self, image: Image, pod: Mapping[str, Any], resources: Mapping[str, str]) -> None:
        """Start it.

        Raises
        ------
        Unusable
        """
        self._port = pod["port"]
        self._id = _docker("run", "--detach", *arguments(image, pod, resources)).stdout.strip()

    @property
    def url(self) -> str:
        """Where its port is reached; while it runs."""
        published = _docker("port", self._id, f"{self._port}/tcp", check=False).stdout.split()
        return f"http://{published[0]}" if published else ""

    @property
    def ended(self) -> str:
        """What it has ended with; empty while it runs."""
        state = json.loads(_docker("inspect", self._id).stdout)[0]["State"]
        if state["Running"]:
            return ""
        if state.get("OOMKilled"):
            return "it was killed: it took more memory than the tag memory asks for"
        return f"it exited with code {state['ExitCode']}{': ' + state['Error'] if state.get('Error') else ''}"

    def log(self, lines: int = 30) -> str:
        """The end of what it has said."""
        said = _docker("logs", "--tail", str(lines), self._id, check=False)
        return said.stdout + said.stderr

    def user(self) -> str:
        """The number of the user that it runs as; empty where the image has no `id`."""
        return _docker("exec", self._id, "id", "-u", check=False).stdout.strip()

    def listening(self) -> set[tuple[int, bool]]:
        """The ports that it listens on, each with whether it is on loopback alone; none where the image has no `cat`."""
        tables = _docker("exec", self._id, "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False).stdout
        return listening(tables.splitlines())

    def remove(self) -> None:
        """End it."""
        _docker("rm", "--force", "--volumes", self._id, check=False)


def listening(lines: Iterable[str]) -> set[tuple[int, bool]]:
    """The listening ports in Linux's tables of connections (`proc(5)`), each with whether it is on loopback alone (pure)."""
    found: dict[int, bool] = {}
    for line in lines:
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTENING:
            continue
        address, _, port = fields[1].partition(":")
        # Bytes of an address are as the processor has them: 127.0.0.1 is 0100007F, ::1 ends with 01000000.
        is_loopback = address in ("0100007F", "00000000000000000000000001000000")
        found[int(port, 16)] = found.get(int(port, 16), True) and is_loopback
    return set(found.items())


def _docker(*given: str, check: bool = True, seconds: float | None = _SECONDS) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = ("docker", *given)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except FileNotFoundError:
        raise Unusable(
            "The command `docker` is not installed.", "Install it, or check a running model by its URL, http://…."
        ) from None
    except subprocess.TimeoutExpired:
        raise Unusable(f"`docker {given[0]}` has not ended after {seconds:.0f} s.") from None
    if check and done.returncode:
        raise Unusable(f"`docker {given[0]}` failed: {done.stderr.strip()}")
    return done
