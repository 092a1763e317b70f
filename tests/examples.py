"""How many examples a property is tried with: `EXAMPLES=20 make test` tries twenty times as many."""

from __future__ import annotations

import os


def examples(usually: int) -> int:
    """So many, or as many times more as the environment says."""
    return usually * int(os.environ.get("EXAMPLES", "1"))
