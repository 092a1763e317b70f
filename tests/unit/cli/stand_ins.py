"""Step Functions with some files that were scored, for what lists and describes them."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dropscore.check.memory_s3 import MemoryS3
from dropscore.stack import Stack

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:000000000000:execution:score-file:"


class StepFunctions:
    """Some executions; `described` are those that were asked for.

    `told` is what DescribeExecution says of one beside that, by its name, `histories` are their events, by their ARNs, and
    `refusals` what DescribeExecution answers first, by a name.
    """

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys, self.described, self.listed = keys, list[str](), 0
        self.status = "SUCCEEDED"
        self.told: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.refusals: dict[str, list[ClientError]] = {}
        self._asked = ""

    def get_paginator(self, asked: str) -> Any:
        self._asked = asked
        return self

    def paginate(self, **asked: Any) -> Any:
        if self._asked != "list_executions":
            yield {"events": copy.deepcopy(self.histories.get(asked["executionArn"], []))[::-1]}
            return
        self.listed += 1
        entries = [
            {"executionArn": ARN + name, "name": name, "status": self.status, "startDate": NOW}
            | ({} if self.status == "RUNNING" else {"stopDate": NOW})
            | {field: value for field, value in self.told.get(name, {}).items() if field in ("status", "startDate")}
            for name in self.keys
        ]
        yield {"executions": entries}

    def redrive_execution(self, executionArn: str) -> None:  # noqa: N803
        self.told[executionArn.removeprefix(ARN)] = {"status": "RUNNING"}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        name = executionArn.removeprefix(ARN)
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        if name not in self.keys:
            raise refused("ExecutionDoesNotExist")
        self.described.append(name)
        source = {"bucket": "in", "key": self.keys[name], "size": 1, "sequencer": "05"}
        description = {"output": json.dumps({"output": {"rows": 1}}), "status": self.status, "startDate": NOW}
        return {"input": json.dumps({"source": source})} | description | self.told.get(name, {})


def refused(code: str, operation: str = "DescribeExecution") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "AWS's own words"}}, operation)


def started(arn: str, number: int = 1) -> dict[str, Any]:
    """The event that an attempt was started."""
    details = {"output": json.dumps({"ExecutionArn": arn})}
    return {"id": number, "type": "TaskSubmitted", "timestamp": NOW, "taskSubmittedEventDetails": details}


def failed(attempt: str, error: str = "PodCrashed") -> dict[str, Any]:
    """What DescribeExecution says of a file whose attempt has failed."""
    cause = json.dumps({"Error": error, "Cause": "It died. Repair it.", "ExecutionArn": attempt})
    return {"status": "FAILED", "stopDate": NOW, "error": "States.TaskFailed", "cause": cause, "output": None}


def stack_of(keys: dict[str, str]) -> tuple[Stack, StepFunctions]:
    stack, stepfunctions = (
        Stack(
            "s", "in", "incoming/", "out", "scored/", ARN.replace(":execution:", ":stateMachine:")[:-1], "arn:attempt"
        ),
        StepFunctions(keys),
    )
    stack.__dict__.update(stepfunctions=stepfunctions, s3=MemoryS3())
    return stack, stepfunctions
