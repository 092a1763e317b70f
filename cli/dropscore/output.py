"""Where the command talks to, and what it ends with."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

SCORED, BROKEN, ERROR_FILE = 0, 1, 3
"""Exit codes; 2 is for wrong use, by click."""
INTERRUPTED = 130
"""What a shell makes of SIGINT."""

console = Console(highlight=False)


def worst(codes: Iterable[int]) -> int:
    """The code that several files end with together: what is broken is told before an `.error`."""
    given = set(codes)
    return next((code for code in (BROKEN, ERROR_FILE) if code in given), SCORED)
