"""What is measured, against what, and whether that is good enough: the table on the screen and results.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Sample:
    """One quantity, measured several times: what the machine's noise made of it."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.median:.3g}"
        return f"{min(self.values):.3g} … {self.median:.3g} … {max(self.values):.3g}"


@dataclass(frozen=True)
class Goal:
    """What is to be reached: how it is written, and the test of a row's value and ratio."""

    text: str
    met: Callable[[float, float], bool]


def ratio_at_least(least: float) -> Goal:
    return Goal(f"≥ {least:g}x", lambda _, ratio: ratio >= least)


def ratio_at_most(most: float) -> Goal:
    return Goal(f"≤ {most:g}x", lambda _, ratio: ratio <= most)


def holds(text: str, condition: bool) -> Goal:
    """A goal that is more than a number of the row."""
    return Goal(text, lambda _value, _ratio: condition)


def value_at_most(most: float, unit: str) -> Goal:
    return Goal(f"≤ {most:g} {unit}", lambda value, _: value <= most)


def value_at_least(least: float, unit: str) -> Goal:
    return Goal(f"≥ {least:g} {unit}", lambda value, _: value >= least)


@dataclass(frozen=True)
class Row:
    """A line of the table. Without a baseline there is no ratio; without a goal the row only informs.

    `statistic` is what is taken of several measurements.
    """

    name: str
    ours: Sample
    unit: str
    baseline: Sample | None = None
    baseline_name: str = ""
    goal: Goal | None = None
    statistic: Callable[[Sequence[float]], float] = statistics.median

    @property
    def value(self) -> float:
        return self.statistic(self.ours.values)

    @property
    def ratio(self) -> float | None:
        """Ours by the baseline's, which is in the row's own unit."""
        return self.value / self.statistic(self.baseline.values) if self.baseline else None

    @property
    def met(self) -> bool | None:
        return self.goal.met(self.value, self.ratio or 0.0) if self.goal else None

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "goal": self.goal.text if self.goal else None,
            "met": self.met,
        }


@dataclass(frozen=True)
class Missing:
    """Rows that could not be measured, and why."""

    name: str
    reason: str


def alternating(rounds: int, *measures: Callable[[], float]) -> tuple[Sample, ...]:
    """Measure each in turn, `rounds` times: what disturbs the machine meanwhile then disturbs all of them."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return tuple(Sample(values) for values in zip(*taken, strict=True))


def write(rows: Iterable[Row], path: Path) -> None:
    path.write_text(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False) + "\n")


_MARKS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


def show(rows: Iterable[Row], missing: Iterable[Missing], console: Console) -> None:
    """Print the table; min … median … max where there is more than one measurement."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("row", "ours", "unit", "baseline", "", "ratio", "goal", ""):
        table.add_column(name, overflow="fold")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}x"
        baseline = (str(row.baseline), f"[dim]{row.baseline_name}[/]") if row.baseline else ("", "")
        goal = row.goal.text if row.goal else ""
        table.add_row(row.name, str(row.ours), row.unit, *baseline, ratio, goal, _MARKS[row.met])
    console.print(table)
    for gap in missing:
        console.print(f"[red]not measured[/] {escape(gap.name)}: {escape(gap.reason)}", soft_wrap=True)
