"""What holds for all tests: the embedded stack that they share is ended when the last session that uses it is done,
and workers begin with what takes long.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

# Read while Powertools and moto are imported, which any test may do first.
os.environ |= {
    "POWERTOOLS_SERVICE_NAME": "dropscore",
    "POWERTOOLS_METRICS_NAMESPACE": "dropscore",
    "MOTO_ACCOUNT_ID": "000000000000",
}

import pytest

from local import stack
from tests.order import deal


def session_of(config: pytest.Config) -> int:
    """The process that outlives all workers: the one that started them, or this one."""
    return os.getppid() if hasattr(config, "workerinput") else os.getpid()


def use(state: Path, config: pytest.Config) -> None:
    """Take note that this session uses the stack of `state`."""
    users = state / "users"
    users.mkdir(parents=True, exist_ok=True)
    (users / str(session_of(config))).touch()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        deal(items, config.workerinput["workercount"])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what has been imported and collected alone from now on: a tenth of the processor's time went into looking at it."""
    gc.freeze()
    gc.set_threshold(7_000)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End each stack that this session has used, unless another session that still runs uses it too."""
    if hasattr(session.config, "workerinput"):
        return
    for user in Path(__file__).parents[1].glob(f".local/*/users/{os.getpid()}"):
        user.unlink()
        if not any(Path(f"/proc/{other.name}").exists() for other in user.parent.iterdir()):
            stack.down(user.parents[1])
