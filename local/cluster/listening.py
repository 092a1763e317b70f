"""Who listens where: processes share one network, so that a port of all addresses is the port of every pod.

A pod whose port another process has in that way would be answered for by that other one, and nobody would see.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from local.cluster.process import ENDED, ContainerProcess, processes

_INTERVAL_SECONDS = 0.25
_LISTENING = "0A"  # linux/include/net/tcp_states.h: TCP_LISTEN
_ALL = ("00000000", "0" * 32)


async def keep_apart(process: ContainerProcess, address: str, ports: Iterable[int]) -> None:
    """Until a container listens on its ports: end it if another process has one of them at all addresses."""
    own = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}"
    waited = set(ports)
    while waited:
        listeners = _listeners()
        for port in list(waited):
            everywhere = {inode for where in _ALL for inode in listeners.get((where, port), ())}
            # Nearly always there is nobody: whose sockets these are is not looked for then.
            if everywhere and everywhere - _sockets(process.group):
                process.log.write(
                    f"Port {port} of all addresses is another process's: what is sent to this pod would reach that one. Let models "
                    "listen at $HOST, not at 0.0.0.0, where containers are processes.\n".encode()
                )
                process.kill()
                return
            if everywhere or (own, port) in listeners:
                waited.remove(port)
        await asyncio.sleep(_INTERVAL_SECONDS)


def _listeners() -> dict[tuple[str, int], set[str]]:
    """The sockets that listen, by address (as in proc(5)) and port: their inodes."""
    found: dict[tuple[str, int], set[str]] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # a machine without IPv6
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    address, _, port = fields[1].partition(":")
                    found.setdefault((address, int(port, 16)), set()).add(fields[9])
    return found


def _sockets(group: int) -> set[str]:
    """The inodes of the sockets of a process group."""
    found = set()
    for pid in processes():
        with contextlib.suppress(*ENDED, PermissionError):
            if os.getpgid(pid) == group:
                for link in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(*ENDED):
                        kind, _, inode = os.readlink(link).partition(":")  # noqa: PTH115 - no path
                        if kind == "socket":
                            found.add(inode.strip("[]"))
    return found
