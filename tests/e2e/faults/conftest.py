"""Two stacks: a calm one, where cases run side by side, and a rough one for those that disturb all others on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from local import parts
from local import stack as embedded
from tests.e2e.faults.table import CASES
from tests.e2e.pipeline import Pipeline

CALM, ROUGH = parts.ROOT / ".local/faults", parts.ROOT / ".local/faults-rough"
# The shortest deadlines that the template takes, so that those who wait for them need not wait for long.
DEADLINES = {
    "StartDeadlineSeconds": "30",
    "RouteDeadlineSeconds": "10",
    "ScoringDeadlineSeconds": "60",
    "TagWaitSeconds": "1",
}
TOKEN_SECONDS = 5.0
ROUGH_CASES = {case.name for cases in CASES.values() for case in cases if case.rough}


class OneRow(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type hints
    """Hands all rough cases to one worker, since each disturbs whatever runs on its stack.

    (xdist's own groups, `--dist loadgroup`, do nothing with pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.rpartition("[")[2].rstrip("]")
        return "rough" if name in ROUGH_CASES else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRow:
    return OneRow(config, log)


def bring_up(state: Path, token_seconds: float = 900.0, **parameters: str) -> Pipeline:
    return Pipeline(embedded.up(state, parameters=DEADLINES | parameters, token_seconds=token_seconds))


@pytest.fixture(scope="session")
def calm() -> Pipeline:
    return bring_up(CALM)


@pytest.fixture(scope="session")
def rough() -> Pipeline:
    """Its bucket keeps no versions, and its clusters refuse a token after a few seconds."""
    return bring_up(ROUGH, TOKEN_SECONDS, InputVersioning="Suspended")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End both. Only the process that has no `workerinput` outlives all workers."""
    if not hasattr(session.config, "workerinput"):
        embedded.down(CALM)
        embedded.down(ROUGH)
