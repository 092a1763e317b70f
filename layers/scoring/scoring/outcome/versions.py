"""Old versions: of the state machine of attempts and of the functions that it calls. They go when nothing runs by them.

An attempt ends with the code that it began with: each deployment publishes a version of the state machine, whose definition
names the functions' versions. Neither CloudFormation nor SAM removes the former ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from scoring import aws
from scoring.outcome import history

# For a start that was on its way when the version was superseded to be listed, and a deployment to come to its end.
GRACE_SECONDS = 3600
_FUNCTION_VERSION = re.compile(r"arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]+:function:[A-Za-z0-9_-]+:[0-9]+")


@dataclass(frozen=True)
class Version:
    """A published version and when that was."""

    arn: str
    published: datetime

    @property
    def number(self) -> int:
        return int(self.arn.rpartition(":")[2])


def superseded(versions: Iterable[Version], now: datetime) -> list[str]:
    """The versions that have had a successor for a while (pure)."""
    ordered = sorted(versions, key=lambda version: version.number)
    return [
        version.arn
        for version, successor in pairwise(ordered)
        if (now - successor.published).total_seconds() > GRACE_SECONDS
    ]


def called(definition: str) -> set[str]:
    """The versions of functions that a state machine's definition names (pure)."""
    return set(_FUNCTION_VERSION.findall(definition))


def sweep(stepfunctions: Any, functions: Any, state_machine: str, alias: str, now: datetime) -> list[str]:
    """Delete the versions that no running execution needs, but for the newest two; give their ARNs.

    While an execution runs that was started without a version, which only its own history could tell, nothing goes.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    executions = history.running(stepfunctions, state_machine)
    running = {execution.get("stateMachineVersionArn") for execution in executions}
    if None in running:
        return []
    versions = _of_state_machine(stepfunctions, state_machine)
    needed = running | _of_alias(stepfunctions, alias)
    # The last but one stays as well: a deployment that hangs and fails goes back to it.
    old = [arn for arn in superseded(versions, now)[:-1] if arn not in needed]
    for arn in old:
        with aws.errors_named(f"states:DeleteStateMachineVersion of {arn}"):
            stepfunctions.delete_state_machine_version(stateMachineVersionArn=arn)
    kept = [version.arn for version in versions if version.arn not in old]
    return old + _sweep_functions(functions, _called(stepfunctions, kept), now)


def _sweep_functions(functions: Any, needed: set[str], now: datetime) -> list[str]:
    old: list[str] = []
    for function in sorted({arn.rpartition(":")[0] for arn in needed}):
        for arn in superseded(_of_function(functions, function), now):
            if arn not in needed:
                name, _, number = arn.rpartition(":")
                with aws.errors_named(f"lambda:DeleteFunction of {arn}"):
                    functions.delete_function(FunctionName=name, Qualifier=number)
                old.append(arn)
    return old


def _of_state_machine(stepfunctions: Any, state_machine: str) -> list[Version]:
    found: list[Version] = []
    token: dict[str, str] = {}
    with aws.errors_named(f"states:ListStateMachineVersions of {state_machine}"):
        while True:
            page = stepfunctions.list_state_machine_versions(stateMachineArn=state_machine, **token)
            found += [
                Version(each["stateMachineVersionArn"], each["creationDate"]) for each in page["stateMachineVersions"]
            ]
            if not page.get("nextToken"):
                return found
            token = {"nextToken": page["nextToken"]}


def _of_alias(stepfunctions: Any, alias: str) -> set[str]:
    with aws.errors_named(f"states:DescribeStateMachineAlias of {alias}"):
        routes = stepfunctions.describe_state_machine_alias(stateMachineAliasArn=alias)["routingConfiguration"]
    return {route["stateMachineVersionArn"] for route in routes}


def _called(stepfunctions: Any, versions: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for arn in versions:
        with aws.errors_named(f"states:DescribeStateMachine of {arn}"):
            found |= called(stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"])
    return found


def _of_function(functions: Any, function: str) -> list[Version]:
    with aws.errors_named(f"lambda:ListVersionsByFunction of {function}"):
        pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        listed = [version for page in pages for version in page["Versions"] if version["Version"] != "$LATEST"]
    # "2026-11-27T05:44:03.000+0000" (Lambda API reference, FunctionConfiguration).
    return [Version(each["FunctionArn"], datetime.fromisoformat(each["LastModified"])) for each in listed]
