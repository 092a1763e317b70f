"""Serve the page until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import uvicorn
from rich.console import Console

from dropscore.stack import Stack, Unusable
from dropscore.ui import app
from dropscore.ui.board import Board


def serve(console: Console, stack: Stack, port: int, *, opens: bool) -> None:
    """Serve the page of a stack on loopback, on a free port if it is 0; say where, and open it if there is a browser.

    Raises
    ------
    Unusable
        The port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise Unusable(f"Port {port} of this machine is taken: {error}", "Name another with --port.") from error
    token = secrets.token_urlsafe(24)
    taken = listening.getsockname()[1]
    address = f"http://127.0.0.1:{taken}/?token={token}"
    console.print(f"The page is at {address} (Ctrl-C ends it)", soft_wrap=True)
    config = uvicorn.Config(app.make(Board(stack), taken, token), log_level="warning", lifespan="off", access_log=False)
    with listening, ExitStack() as cleaned_up:
        if opens and _has_browser():
            # Not by its address: whoever lists the processes of this machine would see the token.
            folder = tempfile.TemporaryDirectory(prefix="dropscore-", dir=_readable_by_browsers())
            way = Path(cleaned_up.enter_context(folder)) / "page.html"
            way.touch(mode=0o600)
            way.write_text(f'<meta http-equiv="refresh" content="0; url={address}">')
            webbrowser.open(way.as_uri())
        uvicorn.Server(config).run(sockets=[listening])


def _readable_by_browsers() -> Path | None:
    """The folder for files of the moment (None: the system's) that a browser may read, too.

    One that is a snap (Firefox on Ubuntu is) has a /tmp of its own, and of the home folder it reads what is not hidden
    (Snapcraft's documentation, "The home interface").
    """
    home = Path.home()
    return home if sys.platform == "linux" and os.access(home, os.W_OK) else None


def _has_browser() -> bool:
    """Whether a browser can show itself here: one in a terminal would take that away."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY"))
