"""Whatever goes wrong, a file ends in exactly one of `.scoreout` and `.error`, and nothing is left of its attempt."""

from __future__ import annotations

import pytest

from tests.e2e.faults.case import Case, Stage, play
from tests.e2e.faults.table import CASES

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for cases in CASES.values() for case in cases])
def test_a_fault_leaves_one_outcome_and_nothing_else(case: Case, request: pytest.FixtureRequest) -> None:
    play(Stage(request.getfixturevalue("rough" if case.rough else "calm"), case))
