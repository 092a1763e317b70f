"""Two stacks: a calm one, where cases run side by side, and a rough one for those that disturb all others on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from local import parts
from local import stack as embedded
from local.foreign import Foreign
from tests.conftest import use
from tests.e2e.faults.table import CASES
from tests.e2e.pipeline import Pipeline

CALM, ROUGH = parts.ROOT / ".local/faults", parts.ROOT / ".local/faults-rough"
# The shortest deadlines that the template takes, so that those who wait for them need not wait for long; and receipts.
PARAMETERS = {
    "StartDeadlineSeconds": "30",
    "RouteDeadlineSeconds": "10",
    "ScoringDeadlineSeconds": "60",
    "TagWaitSeconds": "1",
    "Receipts": "true",
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


def bring_up(state: Path, config: pytest.Config, token_seconds: float = 900.0, **parameters: str) -> Pipeline:
    use(state, config)
    stack = embedded.up(state, parameters=PARAMETERS | parameters, token_seconds=token_seconds, foreign=Foreign.asked())
    # Before any file of this session: a function keeps the profiles that it knows for a minute.
    stack.client("ssm").put_parameter(
        Name="/dropscore/profiles/broken", Value='{"cpus": 2}', Type="String", Overwrite=True
    )
    return Pipeline(stack)


@pytest.fixture(scope="session")
def calm(pytestconfig: pytest.Config) -> Pipeline:
    return bring_up(CALM, pytestconfig)


@pytest.fixture(scope="session")
def rough(pytestconfig: pytest.Config) -> Pipeline:
    """Its bucket keeps no versions, and its clusters refuse a token after a few seconds."""
    return bring_up(ROUGH, pytestconfig, TOKEN_SECONDS, InputVersioning="Suspended")
