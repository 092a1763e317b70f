"""How a cluster's process, or that of a front, says that it serves, and comes to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path


def until_stopped(loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """What SIGTERM and SIGINT end."""
    stopped: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, stopped)
    return stopped


def _end(stopped: asyncio.Future[None]) -> None:
    if not stopped.done():
        stopped.set_result(None)


def fail(stopped: asyncio.Future[None], error: BaseException) -> None:
    """End the process: whoever waits for it must not wait for a part of it that is gone."""
    if not stopped.done():
        stopped.set_exception(error)


def announce(state: Path, description: Mapping[str, str]) -> Path:
    """Write cluster.json, whole or not at all: who finds it finds what serves."""
    draft = state / "cluster.json.new"
    draft.write_text(json.dumps({**description, "pid": os.getpid()}, indent=2) + "\n")
    return draft.replace(state / "cluster.json")
