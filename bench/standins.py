"""Stand-ins as processes of their own: started, found, and gone with whoever started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).parents[1]
# Of the loopback's order: aiohttp's own 64 KiB would make the stand-in the slowest part.
_READ_BUFFER_BYTES = 1 << 20


@contextmanager
def running(module: str, *options: str) -> Iterator[str]:
    """Run a stand-in; its URL. It ends with the block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"{module} did not start")
        yield url
    finally:
        process.communicate()


def serve(app: web.Application) -> None:
    """Serve on a free port of loopback, say where, and end with the starter's end of the pipe."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    web.run_app(app, sock=listening, print=None, access_log=None, read_bufsize=_READ_BUFFER_BYTES)


def _end_with_starter() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
