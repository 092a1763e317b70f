"""Whatever goes wrong, a file ends in exactly one of `.scoreout` and `.error`, and nothing is left of its attempt."""

from __future__ import annotations

import pytest

from tests.e2e.faults.case import Case, Stage, play
from tests.e2e.faults.table import CASES

pytestmark = pytest.mark.faults


def parameter(case: Case) -> object:
    # One after the other on the rough stack: with `--dist loadgroup` a group stays on one worker.
    return pytest.param(case, id=case.name, marks=pytest.mark.xdist_group("rough") if case.rough else ())


@pytest.mark.parametrize("case", [parameter(case) for cases in CASES.values() for case in cases])
def test_a_fault_leaves_one_outcome_and_nothing_else(case: Case, request: pytest.FixtureRequest) -> None:
    play(Stage(request.getfixturevalue("rough" if case.rough else "calm"), case))
