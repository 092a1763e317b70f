"""Which executions a redrive of a time window takes up."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from ops.redrive_failed import Execution, since, to_redrive

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def execution(key: str, status: str = "FAILED", started: int = 30, stopped: int | None = 20) -> Execution:
    """An execution that started and stopped so many minutes ago."""
    ago = [NOW - timedelta(minutes=minutes) if minutes is not None else None for minutes in (started, stopped)]
    assert ago[0]
    return Execution(f"arn:{key}:{started}", f"{key}-{started}", status, ago[0], ago[1], ("bucket", key))


def test_failed_and_timed_out_ones_of_the_window_are_redriven_oldest_first() -> None:
    young, old = execution("b", started=25), execution("a", "TIMED_OUT", started=40)
    others = [
        execution("c", "SUCCEEDED"),
        execution("d", "ABORTED"),
        execution("e", "RUNNING", stopped=None),
        execution("f", started=200, stopped=90),
    ]
    assert to_redrive([young, *others, old], NOW - timedelta(hours=1)) == ([old, young], [])


@pytest.mark.parametrize("later", ["SUCCEEDED", "RUNNING", "FAILED"])
def test_a_file_that_was_dropped_again_is_not_overwritten_by_the_older_one(later: str) -> None:
    first = execution("a", started=50)
    second = execution("a", later, started=40, stopped=30)
    redriven, superseded = to_redrive([first, second], NOW - timedelta(hours=1))
    assert first in superseded
    assert redriven == ([second] if later == "FAILED" else [])


def test_spans_are_read_and_nonsense_is_refused() -> None:
    assert since("90m") == timedelta(minutes=90)
    assert since("14d") == timedelta(days=14)
    for text in ("15d", "1w", "-1h", "h", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            since(text)
