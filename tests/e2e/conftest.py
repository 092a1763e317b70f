"""One embedded stack for the whole test session, shared by all workers; its models are images of the tests' own too."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import stack as embedded
from tests.e2e.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local/e2e"


@pytest.fixture(scope="session")
def stack() -> embedded.Stack:
    return embedded.up(STATE, parameters={"StartDeadlineSeconds": "30", "TagWaitSeconds": "1"})


@pytest.fixture(scope="session")
def pipeline(stack: embedded.Stack) -> Pipeline:
    return Pipeline(stack)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the stack when the last worker is done (only the process that has no `workerinput` knows that)."""
    if not hasattr(session.config, "workerinput"):
        embedded.down(STATE)
