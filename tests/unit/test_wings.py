"""The library's wings stand on each other: imports run downwards only."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "layers/scoring/scoring"
FLOORS = {
    **dict.fromkeys(("errors", "settings", "aws", "observability", "pauses"), 1),
    "intake": 2,
    "files": 3,
    "protocols": 4,
    **dict.fromkeys(("cluster", "streaming"), 5),
    "outcome": 6,
}


FUNCTIONS = LIBRARY.parents[2] / "functions"
# What decides over tags and profiles. A function compiles at each cold start what it loads.
DECIDES = {"scoring.intake.request", "scoring.intake.profiles", "scoring.intake.schema"}


def imported(module: Path) -> set[str]:
    """The parts of the library that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: an import says where from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("scoring.")}
    return found


def test_each_part_has_its_floor() -> None:
    parts = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("module", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_run_downwards(module: Path) -> None:
    own = module.relative_to(LIBRARY).parts[0].removesuffix(".py")
    upwards = {part for part in imported(module) - {own} if FLOORS[part] >= FLOORS.get(own, 7)}
    # Settings are the ground that errors stand on, too: on the ground floor alone, neighbours may know each other.
    assert not upwards or all(FLOORS[part] == FLOORS[own] == 1 for part in upwards), f"{module} imports {upwards}"


# Many functions load the same modules.
parsed = cache(lambda module: ast.parse(module.read_text()))


def loaded_with(module: Path, found: set[str]) -> set[str]:
    """The library's modules that are loaded with a module; what is imported for its types alone is not."""
    for node in parsed(module).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("scoring"):
            for name in (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)):
                path = LIBRARY.parent / name.replace(".", "/")
                file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
                if file.exists() and name not in found:
                    found.add(name)
                    loaded_with(file, found)
    return found


@pytest.mark.parametrize("function", sorted(folder.parent.name for folder in FUNCTIONS.glob("*/app.py")))
def test_only_the_function_that_resolves_a_request_loads_what_decides_over_it(function: str) -> None:
    loaded = loaded_with(FUNCTIONS / function / "app.py", set())
    assert DECIDES & loaded == (DECIDES if function == "resolve_request" else set())
