"""Readiness, liveness and startup probes: what a container is asked, and how the kubelet words a failure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

# The output of a failed exec probe that goes into the event (kubelet's maxProbeMessageLength is 10 KiB).
_LONGEST_MESSAGE = 1024


@dataclass(frozen=True)
class Result:
    """The answer to one probe; ``message`` says why it failed."""

    ok: bool
    message: str = ""


@dataclass(frozen=True)
class Target:
    """The running container a probe is sent to."""

    address: str
    ports: dict[str, int]
    environment: dict[str, str]
    directory: Path | None
    session: aiohttp.ClientSession
    inside: tuple[str, ...] = ()

    def port(self, port: int | str) -> int:
        return port if isinstance(port, int) else self.ports.get(port) or int(port)


async def ask(probe: dict[str, Any], target: Target) -> Result:
    """One try of a probe."""
    timeout = probe["timeoutSeconds"]
    if "httpGet" in probe:
        return await _http(probe["httpGet"], target, timeout)
    if "tcpSocket" in probe:
        return await _tcp(probe["tcpSocket"], target, timeout)
    return await _exec([*target.inside, *probe["exec"]["command"]], target, timeout)


async def _http(action: dict[str, Any], target: Target, timeout: float) -> Result:
    address = f"{action.get('host') or target.address}:{target.port(action['port'])}"
    url = f"{action['scheme'].lower()}://{address}{action['path']}"
    headers = {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
    headers.setdefault("User-Agent", "kube-probe/1.33")
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with target.session.get(url, headers=headers, timeout=limit, allow_redirects=False, ssl=False) as answer:
            if 200 <= answer.status < 400:
                return Result(True)
            return Result(False, f"HTTP probe failed with statuscode: {answer.status}")
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    except aiohttp.ClientConnectorError as error:
        why = f"dial tcp {address}: connect: {_reason(error.os_error)}"
    except aiohttp.ServerDisconnectedError:
        why = "EOF"
    except aiohttp.ClientOSError as error:
        why = f"read tcp {address}: read: {_reason(error)}"
    except aiohttp.ClientError as error:
        why = str(error)
    return Result(False, f'Get "{url}": {why}')


async def _tcp(action: dict[str, Any], target: Target, timeout: float) -> Result:
    host, port = action.get("host") or target.address, target.port(action["port"])
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Result(False, f"dial tcp {host}:{port}: connect: {_reason(error)}")
    writer.close()
    return Result(True)


def _reason(error: OSError) -> str:
    """Go's words for an error number are the C library's, in lower case."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _exec(command: list[str], target: Target, timeout: float) -> Result:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=target.directory,
            # What runs the command in a container of Docker's is this machine's own.
            env=None if target.inside else target.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Result(False, f'exec: "{command[0]}": {_reason(error)}: unknown')
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except TimeoutError:
        return Result(False, f'command "{" ".join(command)}" timed out')
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Result(process.returncode == 0, output[:_LONGEST_MESSAGE].decode(errors="replace"))


async def watch(
    probe: dict[str, Any],
    target: Target,
    failed: Callable[[str], None],
    turned: Callable[[bool], Awaitable[bool]],
) -> None:
    """Probe for ever. ``failed`` hears of each failure; ``turned`` of each result that its threshold confirms,
    and ends the watch by answering True.
    """
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    streak, last = 0, None
    while True:
        result = await ask(probe, target)
        if not result.ok:
            failed(result.message)
        streak = streak + 1 if result.ok is last else 1
        last = result.ok
        if streak >= probe["successThreshold" if result.ok else "failureThreshold"] and await turned(result.ok):
            return
        await asyncio.sleep(probe["periodSeconds"])
