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


def states(machine: str) -> dict[str, dict[str, Any]]:
    """All states, those of a Map's items included."""
    found: dict[str, dict[str, Any]] = definition(machine)["States"]
    return found | items(machine)


def items(machine: str) -> dict[str, dict[str, Any]]:
    """The states that a Map's items go through."""
    maps = [state for state in definition(machine)["States"].values() if state["Type"] == "Map"]
    return {name: inner for state in maps for name, inner in state["ItemProcessor"]["States"].items()}


def tasks(machine: str) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in states(machine).items() if state["Type"] == "Task"}
