"""Model servers from PyPI as they are: an environment for each family, a model that is trained in it, a process that serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scoring import protocols
from scoring.protocols.model import Model, NoAnswer, StillBusy

ROOT = Path(__file__).parents[2]
MODELS = Path(__file__).parent / "models"
_START_SECONDS, _TRAIN_SECONDS, _END_SECONDS = 120.0, 300.0, 10.0
_PAUSE_SECONDS = 0.1


class ServerFailed(Exception):
    """A model was not trained or a server did not come up; the message has the end of its log."""


@dataclass(frozen=True)
class Environment:
    """One of the environments that `make test-servers` installs."""

    name: str

    @property
    def bin(self) -> Path:
        return ROOT / f".venv-servers-{self.name}" / "bin"

    def require(self) -> None:
        """Skip the test where the environment could not be installed."""
        if not (self.bin.parent / ".installed").exists():
            pytest.skip(f"{self.bin.parent.name} is not installed: `make test-servers` says why")

    def variables(self, home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a process in it finds: nothing of the developer's own shell."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1", **(more or {})}

    def train(self, script: str, directory: Path) -> None:
        """Run a script of models/ that trains models, and leaves in `directory` what they predict in its process."""
        self.require()
        command = [self.bin / "python", MODELS / script, directory]
        log = directory / "train.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command,
                cwd=directory,
                env=self.variables(directory),
                stdout=output,
                stderr=output,
                timeout=_TRAIN_SECONDS,
            )
        if done.returncode:
            raise ServerFailed(f"{script} failed:\n{_tail(log)}")


@dataclass(frozen=True)
class Server:
    """A model server: where it answers, and where it says what it does."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log_tail(self) -> str:
        return _tail(self.log_file)


# All of 127/8 is this machine: for a server that insists on its port.
OWN_ADDRESS = f"127.{128 + os.getpid() % 100}.{os.getpid() // 100 % 250}.9"


@contextmanager
def serve(
    command: Sequence[Any],
    directory: Path,
    environment: Mapping[str, str],
    protocol: str,
    port: int,
    *,
    host: str = "127.0.0.1",
    name: str = "server",
    model_name: str = "",
) -> Iterator[Server]:
    """Run a server in `directory` until the block ends; it begins when the model is ready by its protocol's own ping."""
    log, url = directory / f"{name}.log", f"http://{host}:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server = Server(url, process, log)
        _wait_until_ready(server, {"protocol": protocol, "model_name": model_name})
        yield server
    finally:
        _end(process)


def _wait_until_ready(server: Server, request: Mapping[str, str]) -> None:
    deadline, answer = time.monotonic() + _START_SECONDS, "nothing"
    ready = protocols.of_request(request, Model(server.url)).ready
    while True:
        with suppress(NoAnswer, StillBusy):
            refused = ready()
            if refused is None:
                return
            answer = refused
        ended = server.process.poll()
        if ended is not None:
            raise ServerFailed(f"{server.process.args!r} has ended with {ended}:\n{server.log_tail}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{server.process.args!r} is not ready; it answered {answer}:\n{server.log_tail}")
        time.sleep(_PAUSE_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it has started: they are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def expected(directory: Path, name: str = "expected") -> Any:
    """What the model predicted in the process that trained it."""
    return json.loads((directory / f"{name}.json").read_text())


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])
