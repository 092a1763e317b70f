"""One embedded stack for the whole test session, shared by all workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local import stack as embedded
from tests.conftest import use
from tests.e2e import models
from tests.e2e.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local/e2e"


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> embedded.Stack:
    use(STATE, pytestconfig)
    return embedded.up(STATE, parameters={"StartDeadlineSeconds": "60", "TagWaitSeconds": "1"})


@pytest.fixture(scope="session")
def pipeline(stack: embedded.Stack) -> Pipeline:
    return Pipeline(stack)


@pytest.fixture
def misbehaving(pipeline: Pipeline) -> Callable[[str], str]:
    """Push an image that misbehaves in the given way; its repository."""
    return lambda behaviour: models.push(pipeline, behaviour)
