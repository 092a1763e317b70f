"""Run a model image as the process kubelet of the embedded stack does, and talk to it."""

import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from local.images import PulledImage

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

ROOT = Path(__file__).parents[2]
MODELS_BIN = ROOT / ".venv-models" / "bin"
# All of 127/8 is this machine: an address for each server leaves them all the port they insist on.
_addresses = (f"127.{128 + os.getpid() % 100}.{os.getpid() // 100 % 250}.{number}" for number in itertools.count(1))


@dataclass
class Server:
    """A running model: where it answers, its processes' parent, and what it writes."""

    url: str
    process: subprocess.Popen[bytes]
    workspace: Path

    def get(self, path: str, **options: object) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)  # type: ignore[arg-type]

    def post(self, path: str, data: bytes | str, content_type: str = "text/csv") -> requests.Response:
        return requests.post(self.url + path, data=data, headers={"Content-Type": content_type}, timeout=30)


@dataclass(frozen=True)
class Registry:
    """MiniStack's ECR: the client of its API, and the address of its registry."""

    ecr: "ECRClient"
    url: str


@contextmanager
def serve(image: PulledImage, directory: Path, *args: str, port: int = 8080, **env: str) -> Iterator[Server]:
    """Run a copy of an image as the process kubelet does, until the block ends.

    `args` and `env` are those of a pod: arguments take the place of the image's CMD.
    """
    rootfs, workspace = directory / "rootfs", directory / "tmp"
    shutil.copytree(image.rootfs, rootfs)
    workspace.mkdir()
    host = next(_addresses)
    environment = {"HOST": host, "TMPDIR": str(workspace), **image.env, **env}
    command = [*image.entrypoint, *(args or image.cmd)]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
            cwd=rootfs / image.workdir.lstrip("/"),
            env=environment,
            stderr=log,
        )
    try:
        wait_for_port(host, port, process)
        yield Server(f"http://{host}:{port}", process, workspace)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_port(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens, as a tcpSocket probe does."""
    for _ in range(600):
        assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"{process.args!r} does not listen on {host}:{port}")


def sample(name: str) -> list[str]:
    """Read a model's sample.csv: its lines, the header first, without line ends."""
    return (ROOT / "models" / name / "sample.csv").read_text().splitlines()
