"""Where the command talks to, and what it ends with."""

from __future__ import annotations

from rich.console import Console

SCORED, BROKEN, ERROR_FILE = 0, 1, 3
"""Exit codes; 2 is for wrong use, by click."""
INTERRUPTED = 130
"""What a shell makes of SIGINT."""

console = Console(highlight=False)
