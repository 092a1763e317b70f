"""Step Functions with some files that were scored, for what lists and describes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dropscore.stack import Stack

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:000000000000:execution:score-file:"


class StepFunctions:
    """Some executions; `described` are those that were asked for."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys, self.described, self.listed = keys, list[str](), 0
        self.status = "SUCCEEDED"
        self._asked = ""

    def get_paginator(self, asked: str) -> Any:
        self._asked = asked
        return self

    def paginate(self, **_: Any) -> Any:
        if self._asked != "list_executions":
            yield {"events": []}
            return
        self.listed += 1
        entries = [
            {"executionArn": ARN + name, "name": name, "status": self.status, "startDate": NOW}
            | ({} if self.status == "RUNNING" else {"stopDate": NOW})
            for name in self.keys
        ]
        yield {"executions": entries}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        name = executionArn.removeprefix(ARN)
        if name not in self.keys:
            error = {"Error": {"Code": "ExecutionDoesNotExist", "Message": "no such execution"}}
            raise ClientError(error, "DescribeExecution")  # type: ignore[arg-type]
        self.described.append(name)
        source = json.dumps({"source": {"bucket": "in", "key": self.keys[name], "size": 1}})
        return {"input": source, "output": json.dumps({"output": {"rows": 1}}), "status": self.status, "startDate": NOW}


def stack_of(keys: dict[str, str]) -> tuple[Stack, StepFunctions]:
    stack, stepfunctions = (
        Stack(
            "s", "in", "incoming/", "out", "scored/", ARN.replace(":execution:", ":stateMachine:")[:-1], "arn:attempt"
        ),
        StepFunctions(keys),
    )
    stack.__dict__["stepfunctions"] = stepfunctions
    return stack, stepfunctions
