"""Errors on their way through Lambda and Step Functions, and what is read back from them."""

import inspect
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import errors
from scoring.errors import DropscoreError, Failure, ModelFailed, PodCrashed
from scoring.outcome import files as outcome
from tests.builders import error_of, state

NAMED = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DropscoreError)]


@pytest.mark.parametrize("kind", NAMED)
def test_each_error_says_what_its_reader_can_do(kind: type[DropscoreError]) -> None:
    """The README names what is worth a new start; here it must at least be a sentence."""
    assert kind.remedy.endswith(".")
    assert str(Failure.from_state(error_of(kind("It broke."))).remedy) == kind.remedy


def test_what_a_function_raised_is_read_back_whole() -> None:
    raised = ModelFailed("It answered 500.", "Repair it.", status=500, answer='"ä"\n', nothing=None, empty="")
    assert Failure.from_state(error_of(raised)) == Failure(
        "ModelFailed", "It answered 500.", "Repair it.", {"status": 500, "answer": '"ä"\n'}
    )


def test_details_that_are_no_json_are_written_as_text() -> None:
    assert Failure.from_state(error_of(PodCrashed("x", when=inspect))).details["when"].startswith("<module")


# As Lambda and Step Functions report what happened in a function's place.
@pytest.mark.parametrize(
    ("error", "cause", "summary", "message"),
    [
        (
            "Sandbox.Timedout",
            '{"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 5c2 Error: Task timed out after 900.00 seconds"}',
            "The function ran out of time.",
            "RequestId: 5c2 Error: Task timed out after 900.00 seconds",
        ),
        (
            "Runtime.ExitError",
            '{"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 5c2 Error: Runtime exited with error: signal: killed"}',
            "The function's process ended unexpectedly, mostly for want of memory.",
            "RequestId: 5c2 Error: Runtime exited with error: signal: killed",
        ),
        ("States.Timeout", "", "The step ran out of time.", None),
        (
            "Lambda.TooManyRequestsException",
            "Rate Exceeded. (Service: Lambda, Status Code: 429)",
            "The step failed for a reason that has no name yet.",
            "Rate Exceeded. (Service: Lambda, Status Code: 429)",
        ),
    ],
)
def test_what_happened_in_a_functions_place_is_said_in_plain_words(
    error: str, cause: str, summary: str, message: str | None
) -> None:
    failure = Failure.from_state({"Error": error, "Cause": cause})
    assert (failure.name, failure.summary, failure.details.get("message")) == (error, summary, message)
    assert "Redrive" in failure.remedy


def test_an_error_without_a_name_of_ours_keeps_its_trace() -> None:
    """As awslambdaric writes it."""
    cause = {"errorMessage": "'url'", "errorType": "KeyError", "stackTrace": ['  File "/var/task/app.py", line 3\n']}
    failure = Failure.from_state({"Error": "KeyError", "Cause": json.dumps(cause)})
    assert failure.details == {"message": "'url'", "stack_trace": ['  File "/var/task/app.py", line 3\n']}


def document_of(failure: Failure) -> bytes:
    return outcome.error_document(failure, "await_pod", state(), {}, {}, datetime.now(UTC))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CAUSES = st.one_of(
    ANYTHING,
    ANYTHING.map(json.dumps),
    st.fixed_dictionaries({"errorMessage": ANYTHING}).map(json.dumps),
    st.fixed_dictionaries({"summary": ANYTHING}, optional={"remedy": ANYTHING, "details": ANYTHING})
    .map(json.dumps)
    .map(lambda message: json.dumps({"errorMessage": message, "stackTrace": []})),
)


@given(st.fixed_dictionaries({}, optional={"Error": ANYTHING, "Cause": CAUSES}))
def test_no_error_is_too_odd_to_be_told(error: dict[str, Any]) -> None:
    failure = Failure.from_state(error)
    assert json.loads(document_of(failure))["error"] == failure.name


def test_a_cause_is_json_even_if_step_functions_cuts_it() -> None:
    """It cuts at 32,768 characters."""
    error = ModelFailed("KeyError: " + "x" * 60_000, columns=["column " + "y" * 60_000], log_tail="z" * 60_000)
    cause = json.dumps({"errorMessage": str(error), "errorType": "ModelFailed", "stackTrace": ["…"] * 40})
    failure = Failure.from_state({"Error": "ModelFailed", "Cause": cause[:32_768]})
    assert failure.summary.startswith("KeyError: xxx")
    assert failure.details


@pytest.mark.parametrize("cause", ["[" * 20_000, '{"errorMessage": ' * 10_000, "\ud800", "x" * 32_768])
def test_no_cause_is_too_deep_or_too_long(cause: str) -> None:
    failure = Failure.from_state({"Error": "Odd", "Cause": cause})
    assert len(failure.details["message"]) <= 8_000
    assert json.loads(document_of(failure))["error"] == "Odd"
