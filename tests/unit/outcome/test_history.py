"""What Step Functions knows of executions, read as it tells it: newest first, page by page."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring.errors import AccessDenied, AwsThrottled
from scoring.outcome import evidence, history
from tests.builders import ATTEMPT_ID, EXECUTION, STATES, state

MACHINE = f"{STATES}:stateMachine:attempt"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
STARTED_BY = {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": f"{STATES}:execution:score_file:loans"}


def started(found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "ExecutionStarted", "executionStartedEventDetails": {"input": json.dumps(found)}}


def entered(found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "s", "input": json.dumps(found)}}


def left(found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "TaskStateExited", "stateExitedEventDetails": {"name": "s", "output": json.dumps(found)}}


SUBMITTED = {"type": "TaskSubmitted"}
ABORTED = {"type": "ExecutionAborted", "executionAbortedEventDetails": {}}


class StepFunctions:
    """An execution with a history, oldest event first, that comes in pages of two; other executions run."""

    def __init__(self, *events: dict[str, Any], status: str = "", code: str = "", ages: tuple[float, ...] = ()) -> None:
        self._events, self._status, self._code, self._ages = events, status, code, ages

    def get_paginator(self, verb: str) -> "StepFunctions":
        self._verb = verb
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self._refuse()
        if self._verb == "list_executions":
            assert asked.pop("PaginationConfig") == {"PageSize": 1_000}
            assert asked == {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}
            return [{"executions": [{"startDate": NOW - timedelta(seconds=age)}]} for age in self._ages]
        assert asked == {"executionArn": EXECUTION, "reverseOrder": True}
        newest_first = self._events[::-1]
        return [{"events": newest_first[at : at + 2]} for at in range(0, len(newest_first), 2)]

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803  (boto3's name)
        assert executionArn == EXECUTION
        self._refuse()
        return {"status": self._status}

    def _refuse(self) -> None:
        if self._code:
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "DescribeExecution")


@pytest.mark.parametrize(
    ("events", "newest"),
    [
        ([started({"n": 0})], 0),
        ([started({"n": 0}), entered({"n": 1})], 1),
        ([started({"n": 0}), entered({"n": 1}), SUBMITTED, ABORTED], 1),
        ([started({"n": 0}), entered({"n": 1}), left({"n": 2}), entered({"n": 2}), ABORTED], 2),
        ([started({"n": 0}), entered({"n": 1}), left({"n": 2}), ABORTED, ABORTED, ABORTED], 2),
    ],
)
def test_how_far_an_execution_had_come_is_in_its_newest_state(events: list[dict[str, Any]], newest: int) -> None:
    assert history.last_state(StepFunctions(*events), EXECUTION) == {"n": newest}


def test_a_history_without_data_tells_nothing() -> None:
    assert history.last_state(StepFunctions(ABORTED), EXECUTION) == {}


@pytest.mark.parametrize(
    ("status", "code", "over"),
    [
        ("RUNNING", "", False),
        ("SUCCEEDED", "", True),
        ("FAILED", "", True),
        ("TIMED_OUT", "", True),
        ("ABORTED", "", True),
        ("", "ExecutionDoesNotExist", True),
    ],
)
def test_an_attempt_is_over_when_its_execution_runs_no_more(status: str, code: str, over: bool) -> None:
    assert history.is_over(StepFunctions(status=status, code=code), MACHINE, ATTEMPT_ID) is over


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDeniedException", AccessDenied), ("ThrottlingException", AwsThrottled)]
)
def test_what_cannot_be_known_is_not_guessed(code: str, error: type[Exception]) -> None:
    """A throttled call must not end a running pod."""
    for ask in (
        lambda found: history.is_over(found, MACHINE, ATTEMPT_ID),
        lambda found: history.last_state(found, EXECUTION),
        lambda found: history.has_started_a_child(found, EXECUTION),
        lambda found: history.oldest_running_seconds(found, MACHINE, NOW),
    ):
        with pytest.raises(error):
            ask(StepFunctions(code=code))


@pytest.mark.parametrize(("ages", "oldest"), [((), 0.0), ((5.0,), 5.0), ((5.0, 700.0, 60.0), 700.0)])
def test_the_oldest_running_attempt_is_found_on_any_page(ages: tuple[float, ...], oldest: float) -> None:
    assert history.oldest_running_seconds(StepFunctions(ages=ages), MACHINE, NOW) == oldest


def detail(status: str, **more: Any) -> dict[str, Any]:
    return {"executionArn": EXECUTION, "name": ATTEMPT_ID, "status": status} | more


@pytest.mark.parametrize(
    ("status", "more", "error"),
    [
        ("ABORTED", {"error": None, "cause": None}, {"Error": "Aborted", "Cause": None}),
        ("TIMED_OUT", {}, {"Error": "States.Timeout", "Cause": None}),
        (
            "FAILED",
            {"error": "States.Runtime", "cause": "a path was not there"},
            {"Error": "States.Runtime", "Cause": "a path was not there"},
        ),
    ],
)
def test_an_attempt_that_ended_without_an_outcome_is_told_with_what_it_ended_with(
    status: str, more: dict[str, Any], error: dict[str, Any]
) -> None:
    held = state(**STARTED_BY)
    ended = evidence.unreported(detail(status, **more), StepFunctions(started(held), ABORTED))
    assert ended == held | {"error": error}


def test_the_error_that_the_state_holds_already_is_the_one_to_tell() -> None:
    held = state(**STARTED_BY, error={"Error": "PodCrashed", "Cause": "it crashed"})
    ended = evidence.unreported(detail("ABORTED"), StepFunctions(started(state()), left(held), ABORTED))
    assert ended == held


@pytest.mark.parametrize("outcome", ["failure", "output"])
def test_an_attempt_that_has_its_outcome_is_not_told_again(outcome: str) -> None:
    held = state(**STARTED_BY, **{outcome: {}})
    assert evidence.unreported(detail("FAILED"), StepFunctions(started(state()), left(held))) is None


def test_a_parent_leaves_the_word_to_the_attempt_it_started() -> None:
    begun = StepFunctions(started(state()), entered(state()), SUBMITTED, ABORTED)
    assert evidence.unreported(detail("ABORTED"), begun) is None
    never_begun = StepFunctions(started(state()), entered(state()), ABORTED)
    assert evidence.unreported(detail("ABORTED"), never_begun) == state(error={"Error": "Aborted", "Cause": None})


def test_an_execution_that_somebody_started_with_something_else_is_none_of_ours() -> None:
    assert evidence.unreported(detail("FAILED"), StepFunctions(started({"hello": "world"}))) is None


def at(kind: str, seconds: float, name: str = "") -> dict[str, Any]:
    """An event after so many seconds, without its data."""
    details = {"stateEnteredEventDetails": {"name": name}} if kind.endswith("Entered") else {}
    details |= {"stateExitedEventDetails": {"name": name}} if kind.endswith("Exited") else {}
    return {"type": kind, "timestamp": NOW + timedelta(seconds=seconds), **details}


STEPS = (
    at("ExecutionStarted", 0),
    at("TaskStateEntered", 0, "resolve_request"),
    at("TaskStateExited", 0.5, "resolve_request"),
    at("ChoiceStateEntered", 0.5, "how_many_pods"),
    at("ChoiceStateExited", 0.5, "how_many_pods"),
    at("TaskStateEntered", 1, "await_pod"),
    at("LambdaFunctionFailed", 2),
    at("TaskStateExited", 3, "await_pod"),
    at("WaitStateEntered", 3, "wait_for_pod"),
    at("WaitStateExited", 13, "wait_for_pod"),
    at("TaskStateEntered", 13, "await_pod"),
    at("TaskStateExited", 14.25, "await_pod"),
    at("TaskStateEntered", 15, "score_shard"),
    at("TaskStateEntered", 20, "persist_output"),
)
SPENT = {"resolve_request": 0.5, "await_pod": 3.25, "wait_for_pod": 10}


class Forwards(StepFunctions):
    """One that is asked for the events from the oldest on, without their data."""

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self._refuse()
        assert asked.pop("includeExecutionData") is False
        assert asked == {"executionArn": EXECUTION, "PaginationConfig": {"PageSize": 1_000}}
        return [{"events": self._events[place : place + 5]} for place in range(0, len(self._events), 5)]


def test_the_seconds_of_each_state_are_added_up_and_the_last_one_goes_on() -> None:
    found = history.seconds_by_state(Forwards(*STEPS), EXECUTION, NOW + timedelta(seconds=22))
    assert found == SPENT | {"persist_output": 2}
    assert list(found) == ["resolve_request", "await_pod", "wait_for_pod", "persist_output"]


def test_the_state_of_an_execution_that_was_stopped_ends_with_it() -> None:
    stopped = Forwards(*STEPS, at("ExecutionAborted", 21))
    assert history.seconds_by_state(stopped, EXECUTION, NOW + timedelta(hours=1)) == SPENT | {"persist_output": 1}
