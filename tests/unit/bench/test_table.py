"""Rows of the benchmarks: ratios, goals, and what is written."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.table import (
    Goal,
    Missing,
    Row,
    Sample,
    alternating,
    holds,
    ratio_at_least,
    ratio_at_most,
    show,
    value_at_most,
    write,
)

FAST, SLOW = Sample((90.0, 100.0, 170.0)), Sample((40.0, 50.0, 60.0))


def test_a_sample_shows_the_noise() -> None:
    assert str(FAST) == "90 … 100 … 170"
    assert str(Sample((0.25,))) == "0.25"


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (ratio_at_least(2), True),
        (ratio_at_least(2.1), False),
        (ratio_at_most(2), True),
        (ratio_at_most(1.9), False),
        (value_at_most(100, "s"), True),
        (value_at_most(99, "s"), False),
        (holds("constant", True), True),
        (holds("constant", False), False),
        (None, None),
    ],
)
def test_a_goal_is_about_the_medians(goal: Goal | None, met: bool | None) -> None:
    assert Row("speed", FAST, "MB/s", SLOW, "curl", goal).met is met


def test_a_row_can_go_by_the_shortest() -> None:
    assert Row("import", FAST, "s", SLOW, statistic=min).ratio == 90 / 40


def test_without_a_baseline_there_is_no_ratio() -> None:
    row = Row("pod Ready to first byte", FAST, "s", goal=value_at_most(0.3, "s"))
    assert (row.ratio, row.met) == (None, False)


def test_measures_take_turns() -> None:
    calls: list[str] = []

    def measure(name: str, value: float) -> float:
        calls.append(name)
        return value

    ours, theirs = alternating(2, lambda: measure("ours", 1.0), lambda: measure("theirs", 2.0))
    assert calls == ["ours", "theirs"] * 2
    assert (ours.values, theirs.values) == ((1.0, 1.0), (2.0, 2.0))


def test_results_are_a_list_of_rows(tmp_path: Path) -> None:
    write(
        [Row("speed", FAST, "MB/s", SLOW, "curl", ratio_at_least(3)), Row("size", SLOW, "MiB")],
        tmp_path / "results.json",
    )
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"row": "speed", "value": 100.0, "unit": "MB/s", "ratio": 2.0, "goal": "≥ 3x", "met": False},
        {"row": "size", "value": 50.0, "unit": "MiB", "ratio": None, "goal": None, "met": None},
    ]


def test_the_screen_shows_what_is_missing_too() -> None:
    console = Console(record=True, width=150)
    show(
        [Row("speed", FAST, "MB/s", SLOW, "curl", ratio_at_least(3))],
        [Missing("memory", "[Errno 2] no such file")],
        console,
    )
    text = console.export_text()
    assert "90 … 100 … 170" in text
    assert "missed" in text
    assert "memory: [Errno 2] no such file" in text
