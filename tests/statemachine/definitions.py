"""The definitions in statemachine/, as files and as they are deployed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# The child first: the parent names it.
MACHINES = ("attempt", "score_file")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def text(machine: str) -> str:
    return (ROOT / f"statemachine/{machine}.asl.json").read_text()


def definition(machine: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(machine))
    return found


def deployed(machine: str, **arns: str) -> dict[str, Any]:
    """The definition with its placeholders filled in: with `arns`, the rest with functions that nobody has."""
    function = "arn:aws:lambda:us-east-1:000000000000:function:"
    filled = PLACEHOLDER.sub(lambda found: arns.get(found[1]) or function + found[1].removesuffix("Arn"), text(machine))
    whole: dict[str, Any] = json.loads(filled)
    return whole


def tasks(machine: str) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in definition(machine)["States"].items() if state["Type"] == "Task"}
