"""Pods that do not start, end early or are taken away."""

from __future__ import annotations

from tests.e2e.faults.case import Case

CASES = (
    Case(
        "container-crashes",
        "the container ends at its start",
        "PodCrashed",
        "exit code 1",
        "Repair the image",
        model="crashes",
    ),
)
