"""docs/failures.md says what the cases say."""

from __future__ import annotations

from collections import Counter

from scoring import errors
from tests.e2e.faults.document import DOCUMENT, render
from tests.e2e.faults.table import CASES

# What Lambda and Step Functions raise themselves, and what a stopped execution is called.
SERVICE_ERRORS = {"Runtime.ExitError", "States.Timeout", "Aborted"}


def test_the_document_is_made_of_the_cases() -> None:
    assert DOCUMENT.read_text() == render(), "run `make failures`"


def test_every_case_has_a_name_of_its_own_and_says_what_comes_of_it() -> None:
    cases = [case for cases in CASES.values() for case in cases]
    assert len(cases) >= 40
    assert Counter(case.name for case in cases).most_common(1)[0][1] == 1
    for case in cases:
        assert bool(case.error) == bool(case.summary) == bool(case.remedy), case.name
        assert bool(case.error) != bool(case.but), case.name
        assert not case.error or hasattr(errors, case.error) or case.error in SERVICE_ERRORS, case.name
