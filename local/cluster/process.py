"""A container as a local process: its own process group, its memory, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import IO

from local.cluster.logs import LogFile

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BUFFER = 256 * 2**10
_DRAIN_SECONDS = 1.0
# What reading about a process raises when it has ended meanwhile.
ENDED = (FileNotFoundError, ProcessLookupError)


class Reaper:
    """A helper process that kills the containers' process groups when the cluster's process has died.

    It learns of the death from the end of its standard input, which also comes after a SIGKILL.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Reaper:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", _REAPER_PROGRAM, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        return cls(process)

    def guard(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def release(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())

    async def stop(self) -> None:
        """End the helper; what it still guards is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


_REAPER_PROGRAM = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class ContainerProcess:
    """A started container. Its first process is what the container lives and dies with."""

    inside: tuple[str, ...] = ()
    """What a command is begun with that is to run in the container."""
    address = ""
    """Where it is reached, if that is not the address that its pod was given."""
    is_lost = False
    """Whether nobody knows what it has ended with; of a process, its parent does."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        directory: Path,
        output: IO[bytes],
        temporary: Path,
        log: LogFile,
        reaper: Reaper,
    ) -> None:
        self._process = process
        self.directory = directory
        self._temporary = temporary
        self._reaper = reaper
        self.log = log
        self.out_of_memory = False
        self.group = process.pid
        reaper.guard(self.group)
        self._end = asyncio.create_task(self._follow(output))

    @classmethod
    async def start(
        cls,
        command: list[str],
        directory: Path,
        environment: dict[str, str],
        temporary: Path,
        log: LogFile,
        reaper: Reaper,
    ) -> ContainerProcess:
        """Start the command; raises OSError when it cannot be. ``temporary`` is the container's own TMPDIR."""
        # A pipe of our own: asyncio's would make the end of the process wait for all who have inherited it.
        read_end, write_end = os.pipe()
        output = os.fdopen(read_end, "rb", buffering=0)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except BaseException:
            output.close()
            raise
        finally:
            os.close(write_end)
        return cls(process, directory, output, temporary, log, reaper)

    async def wait(self) -> int:
        """The exit code, 128 + n for a process that signal n has ended."""
        return await asyncio.shield(self._end)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the first process, as a container runtime does, and SIGKILL to all when the time is over."""
        if self._end.done():
            return
        if grace_seconds > 0:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await asyncio.wait([self._end], timeout=grace_seconds)
        self.kill()
        await asyncio.wait([self._end])

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)

    async def _follow(self, output: IO[bytes]) -> int:
        """Copy the output to the log until the end. The other processes end with the first, as in a container."""
        copying = asyncio.create_task(self._copy(output))
        code = await self._process.wait()
        self.kill()
        _kill_escaped(self._temporary)
        self._reaper.release(self.group)
        # What was written is read to the end; who still holds the pipe then does not hold up the pod.
        await asyncio.wait([copying], timeout=_DRAIN_SECONDS)
        copying.cancel()
        self.log.close()
        return 128 - code if code < 0 else code

    async def _copy(self, output: IO[bytes]) -> None:
        reader = asyncio.StreamReader(_BUFFER)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), output)
        try:
            while data := await reader.read(_BUFFER):
                self.log.write(data)
        finally:
            transport.close()


class MemoryGuard:
    """Kills the containers that use more memory than their limit, as the kernel does with a control group."""

    # A process that allocates at full speed takes about 200 MB in this time.
    _INTERVAL_SECONDS = 0.1

    def __init__(self) -> None:
        self._limits: dict[ContainerProcess, int] = {}
        # Of no container. None of them ever gets into a container's group: that is in a session of its own.
        self._others: set[int] = set()
        self._watched = asyncio.Event()

    def watch(self, process: ContainerProcess, limit: int) -> None:
        self._limits[process] = limit
        # It may have been seen before it was watched.
        self._others.clear()
        self._watched.set()

    def forget(self, process: ContainerProcess) -> None:
        self._limits.pop(process, None)

    async def run(self) -> None:
        while True:
            if not self._limits:
                self._watched.clear()
                await self._watched.wait()
            members = self._members()
            for process, limit in list(self._limits.items()):
                if _memory(members[process.group], limit) > limit:
                    process.out_of_memory = True
                    process.kill()
                    self.forget(process)
            await asyncio.sleep(self._INTERVAL_SECONDS)

    def _members(self) -> dict[int, dict[int, int]]:
        """The processes of what is watched: process group → {pid: resident bytes}.

        Each other process of this machine is looked at once: to do so ten times a second would be most of the cluster's work.
        """
        groups: dict[int, dict[int, int]] = {process.group: {} for process in self._limits}
        there = set(processes())
        # A number may come again as another process's.
        self._others &= there
        for pid in there - self._others:
            with contextlib.suppress(*ENDED):
                # After the command, which may itself hold spaces and brackets: state, parent, group, …, resident pages.
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                if (group := int(fields[2])) in groups:
                    groups[group][pid] = int(fields[21]) * _PAGE
                else:
                    self._others.add(pid)
        return groups


def processes() -> list[int]:
    """The numbers of all processes of this machine."""
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]


def _kill_escaped(temporary: Path) -> None:
    """SIGKILL to those who left the process group: they are told by the TMPDIR that they have inherited."""
    mark = f"TMPDIR={temporary}\0".encode()
    for pid in processes():
        with contextlib.suppress(*ENDED, PermissionError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _memory(members: dict[int, int], limit: int) -> int:
    """Bytes of a group. Resident sizes count shared pages several times, so they only say whether to look closer."""
    resident = sum(members.values())
    if resident <= limit or len(members) == 1:
        return resident
    return sum(_proportional(pid) for pid in members)


def _proportional(pid: int) -> int:
    """A process's memory with shared pages divided among those who share them."""
    with contextlib.suppress(*ENDED):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
