"""What Step Functions knows of executions: how far one had come, whether it is over, how old the oldest is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws

# Set by score_file on what it starts; the console links the two executions by it.
STARTED_BY = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
# The states of a Map's items have an input and an output of their own.
OF_ITEMS = ("score_shard",)
_LASTING = ("TaskStateEntered", "WaitStateEntered", "MapStateEntered")
_LAST = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")


def last_state(stepfunctions: Any, execution: str) -> dict[str, Any]:
    """The newest state that the history of an execution shows; at least its input.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    for event in _newest_first(stepfunctions, execution):
        for details, field in (
            ("stateExitedEventDetails", "output"),
            ("stateEnteredEventDetails", "input"),
            ("executionStartedEventDetails", "input"),
        ):
            told = event.get(details, {})
            text = told.get(field)
            if text and told.get("name") not in OF_ITEMS:
                state: dict[str, Any] = json.loads(text)
                return state
    return {}


def seconds_by_state(stepfunctions: Any, execution: str, now: datetime) -> dict[str, float]:
    """Seconds that an execution has spent in each state so far, by the states' names, in the order in which they were
    first entered. Retries and their pauses are in them; states that only decide are not told.

    One request for 1,000 events, which a file has some 50 of. Step Functions answers 20 of them a second (its Developer Guide,
    "Quotas related to API action throttling"; in bursts 400).

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    spent: dict[str, float] = {}
    entered: dict[str, datetime] = {}
    with aws.errors_named(f"states:GetExecutionHistory of {execution}"):
        pages = stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=execution, includeExecutionData=False, PaginationConfig={"PageSize": 1_000}
        )
        for event in (event for page in pages for event in page["events"]):
            kind, moment = event["type"], event["timestamp"]
            if kind in _LASTING:
                name = event["stateEnteredEventDetails"]["name"]
                if name not in OF_ITEMS:
                    entered[name] = moment
                    spent.setdefault(name, 0.0)
            elif kind.endswith("StateExited"):
                name = event["stateExitedEventDetails"]["name"]
                if name in entered:
                    spent[name] += (moment - entered.pop(name)).total_seconds()
            elif kind in _LAST:
                now = moment
    for name, moment in entered.items():
        # The clocks of Step Functions and of Lambda are not the same.
        spent[name] += max((now - moment).total_seconds(), 0.0)
    return {name: round(seconds, 3) for name, seconds in spent.items()}


def has_started_a_child(stepfunctions: Any, execution: str) -> bool:
    """Whether a `score_file` execution came as far as having an attempt.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    return any(event["type"] == "TaskSubmitted" for event in _newest_first(stepfunctions, execution))


def _newest_first(stepfunctions: Any, execution: str) -> Iterator[dict[str, Any]]:
    with aws.errors_named(f"states:GetExecutionHistory of {execution}"):
        pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution, reverseOrder=True)
        for page in pages:
            yield from page["events"]


def executions_of(state_machine: str) -> str:
    """What the ARNs of a state machine's executions begin with."""
    return state_machine.replace(":stateMachine:", ":execution:") + ":"


def is_over(stepfunctions: Any, state_machine: str, name: str) -> bool:
    """Whether the execution of that name runs no more; one that never was is over too.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    arn = executions_of(state_machine) + name
    with aws.errors_named(f"states:DescribeExecution of {arn}"):
        try:
            return str(stepfunctions.describe_execution(executionArn=arn)["status"]) != "RUNNING"
        except ClientError as error:
            if aws.code(error) == "ExecutionDoesNotExist":
                return True
            raise


def version_of(stepfunctions: Any, execution: str) -> str:
    """The ARN of the version of the state machine that an execution runs; of the state machine itself if it was started so.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    with aws.errors_named(f"states:DescribeExecution of {execution}"):
        described = stepfunctions.describe_execution(executionArn=execution)
    return str(described.get("stateMachineVersionArn") or described["stateMachineArn"])


def running(stepfunctions: Any, state_machine: str) -> Iterator[dict[str, Any]]:
    """The executions that run, in whichever version, as ListExecutions tells of them.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    with aws.errors_named(f"states:ListExecutions of {state_machine}"):
        pages = stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=state_machine, statusFilter="RUNNING", PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            yield from page["executions"]


def oldest_running_seconds(stepfunctions: Any, state_machine: str, now: datetime) -> float:
    """Age of the oldest running execution, 0 when none runs.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    starts = [execution["startDate"] for execution in running(stepfunctions, state_machine)]
    return (now - min(starts)).total_seconds() if starts else 0.0
