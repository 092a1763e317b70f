"""Start processes that outlive their starter, find them again, end them. Linux only (/proc, pidfd)."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


class StackFailed(Exception):
    """A part of the embedded stack did not come up; the message says which, with the end of its log."""

    def __init__(self, problem: str, log: Path | None = None) -> None:
        if log is not None:
            tail = log.read_text(errors="replace").splitlines()[-20:]
            problem = "\n".join([problem, *(f"  | {line}" for line in tail), f"The whole log: {log}"])
        super().__init__(problem)


@dataclass(frozen=True)
class Process:
    """A process on record. Numbers are used again by the system, so the time of its start is part of its name."""

    pid: int
    started: str
    log: str

    @property
    def alive(self) -> bool:
        return started(self.pid) == self.started

    @property
    def replaced(self) -> bool:
        """Whether the number is another process's by now. While any of its group is left, it is nobody else's."""
        return started(self.pid) not in (self.started, None)


class Processes:
    """The processes of one stack, on record in a file. Each leads a group, so that nothing of it stays behind."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path, log: Path) -> Process:
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # it outlives this object, which would warn about that
        process = Process(child.pid, started(child.pid) or "", str(log))
        records = {name: asdict(known) for name, known in self._all().items()} | {name: asdict(process)}
        self._record.write_text(json.dumps(records, indent=2))
        return process

    def all_alive(self) -> bool:
        processes = self._all().values()
        return bool(processes) and all(process.alive for process in processes)

    def check(self) -> None:
        """Say which of the processes has ended.

        Raises
        ------
        StackFailed
            One of them has; the message has the end of its log.
        """
        for name, process in self._all().items():
            if not process.alive:
                raise StackFailed(f"The part {name} of the embedded stack has ended.", Path(process.log))

    def end(self, seconds: float = 10.0) -> None:
        """Ask each to end, wait for up to `seconds` in all, then kill what is left of its group."""
        processes = [process for process in self._all().values() if not process.replaced]
        for process in processes:
            signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for process in processes:
            wait_for_end(process.pid, deadline - time.monotonic())
            signal_group(process.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # another process's child, or nobody's any more
                os.waitpid(process.pid, 0)
        self._record.unlink(missing_ok=True)

    def _all(self) -> dict[str, Process]:
        records = json.loads(self._record.read_text()) if self._record.exists() else {}
        return {name: Process(**record) for name, record in records.items()}


def run(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Run a command to its end; `check` is called meanwhile, and raises when there is no use in going on.

    Raises
    ------
    StackFailed
        It did not exit with 0.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as child,
    ):
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.5)
                    break
                check()
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise StackFailed(f"`{Path(command[0]).name} {command[1]}` failed with exit code {child.returncode}.", log)


def wait_until(ready: Callable[[], bool], what: str, process: Process, seconds: float = 60.0) -> None:
    """Wait for what a process is going to do.

    Raises
    ------
    StackFailed
        It ended before, or was not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not process.alive:
            raise StackFailed(f"{what}: the process has ended.", Path(process.log))
        if time.monotonic() > deadline:
            raise StackFailed(f"{what}: not ready after {seconds:.0f} seconds.", Path(process.log))
        time.sleep(0.05)


def signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(leader, number)


def wait_for_end(pid: int, seconds: float) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], max(0.0, seconds))
    finally:
        os.close(descriptor)


def started(pid: int) -> str | None:
    """Give the time a process was started, in clock ticks since boot; None if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
