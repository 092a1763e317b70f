"""How long each function is at work for a small file, beside waiting for the model: an input of docs/cost.md."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bench.stack import Bench, Scored


def of(bench: Bench, scored: Iterable[Scored]) -> dict[str, float]:
    """Give the median seconds of one call of each function."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for one in scored:
        started = bench.pipeline.history(one.execution)[0]["timestamp"].timestamp()
        # Its own time and the notification's: a little more than it is billed for.
        taken["start_scoring"].append(started - one.dropped)
        moments = bench.pods.of(one.pod)
        for name, began, ended in tasks(bench.pipeline.history(one.attempt)):
            # What it waits for the model is the model's time, and an assumption of its own.
            waited = moments.ready - moments.created if name == "launch_pod" else 0.0
            taken[name].append(ended - began - waited)
    return {name: round(statistics.median(seconds), 3) for name, seconds in taken.items()}


def tasks(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """Give the tasks of a history that succeeded: the state's name, when it was entered and when left."""
    found, entered = [], ("", 0.0)
    for event in events:
        if event["type"] == "TaskStateEntered":
            entered = (event["stateEnteredEventDetails"]["name"], event["timestamp"].timestamp())
        elif event["type"] == "TaskStateExited":
            found.append((*entered, event["timestamp"].timestamp()))
    return found
