"""Old versions: which go, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring.errors import AccessDenied
from scoring.outcome import versions
from scoring.outcome.versions import GRACE_SECONDS, Version

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:dropscore-attempt"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:dropscore-LaunchPod-X"
ALIAS = f"{MACHINE}:live"


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


class Aws:
    """Step Functions and Lambda with four deployments; the fourth is live, 2 hours old. Each calls the function of its number."""

    def __init__(self, running: list[str | None]) -> None:
        self.running, self.deleted = running, list[str]()
        self.published = {1: ago(48), 2: ago(24), 3: ago(12), 4: ago(2)}
        self.refuses = ""

    def get_paginator(self, verb: str) -> Any:
        return type("Pages", (), {"paginate": staticmethod(lambda **given: getattr(self, verb)(**given))})

    def list_executions(self, **given: Any) -> list[dict[str, Any]]:
        paged = {"PaginationConfig": {"PageSize": 1000}}
        assert given == {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"} | paged
        return [{"executions": [{"stateMachineVersionArn": arn} if arn else {}]} for arn in self.running]

    def list_state_machine_versions(self, nextToken: str = "4", **_: str) -> dict[str, Any]:  # noqa: N803
        number = int(nextToken)
        page = [{"stateMachineVersionArn": f"{MACHINE}:{number}", "creationDate": self.published[number]}]
        return {"stateMachineVersions": page} | ({"nextToken": str(number - 1)} if number > 1 else {})

    def describe_state_machine_alias(self, **given: str) -> dict[str, Any]:
        assert given == {"stateMachineAliasArn": ALIAS}
        return {"routingConfiguration": [{"stateMachineVersionArn": f"{MACHINE}:4", "weight": 100}]}

    def describe_state_machine(self, stateMachineArn: str) -> dict[str, str]:  # noqa: N803
        number = stateMachineArn.rpartition(":")[2]
        return {"definition": f'{{"launch_pod": {{"Resource": "{FUNCTION}:{number}"}}}}'}

    def list_versions_by_function(self, **given: str) -> list[dict[str, Any]]:
        assert given == {"FunctionName": FUNCTION}
        numbered = [
            {"Version": str(number), "FunctionArn": f"{FUNCTION}:{number}", "LastModified": f"{at:%FT%T}.000+0000"}
            for number, at in self.published.items()
        ]
        latest = {"Version": "$LATEST", "FunctionArn": f"{FUNCTION}:$LATEST", "LastModified": f"{NOW:%FT%T}.000+0000"}
        return [{"Versions": [latest, *numbered[:1]]}, {"Versions": numbered[1:]}]

    def delete_state_machine_version(self, stateMachineVersionArn: str) -> None:  # noqa: N803
        self._delete(stateMachineVersionArn)

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        self._delete(f"{FunctionName}:{Qualifier}")

    def _delete(self, arn: str) -> None:
        if arn == self.refuses:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "Delete")
        self.deleted.append(arn)


def sweep(aws: Aws) -> list[str]:
    found = versions.sweep(aws, aws, MACHINE, ALIAS, NOW)
    assert found == aws.deleted
    return found


@pytest.mark.parametrize(
    ("running", "gone"),
    [
        ([], [f"{MACHINE}:1", f"{MACHINE}:2", f"{FUNCTION}:1", f"{FUNCTION}:2"]),
        ([f"{MACHINE}:4"], [f"{MACHINE}:1", f"{MACHINE}:2", f"{FUNCTION}:1", f"{FUNCTION}:2"]),
        # The first has a file under way: it stays, and the function that it calls.
        ([f"{MACHINE}:4", f"{MACHINE}:1"], [f"{MACHINE}:2", f"{FUNCTION}:2"]),
        # By what code one runs that was started without a version, nobody can tell.
        ([f"{MACHINE}:4", None], []),
    ],
)
def test_what_no_running_execution_needs_goes(running: list[str | None], gone: list[str]) -> None:
    assert sweep(Aws(running)) == gone


def test_what_was_superseded_just_now_stays_for_whoever_is_about_to_start_it() -> None:
    aws = Aws([])
    aws.published |= {3: NOW - timedelta(seconds=GRACE_SECONDS), 4: NOW}
    # Of those that are superseded for longer, the newest stays, too.
    assert sweep(aws) == []


def test_a_version_that_may_not_be_deleted_is_told() -> None:
    aws = Aws([])
    aws.refuses = f"{FUNCTION}:1"
    with pytest.raises(AccessDenied, match="DeleteFunction"):
        sweep(aws)


def test_versions_are_ordered_by_their_numbers() -> None:
    found = versions.superseded([Version(f"{MACHINE}:{number}", ago(24 - number)) for number in (9, 11, 10)], NOW)
    assert found == [f"{MACHINE}:9", f"{MACHINE}:10"]


def test_the_versions_that_a_definition_calls_are_found_wherever_they_stand() -> None:
    definition = (
        f'{{"a": "{FUNCTION}:12", "b": {{"FunctionName": "{FUNCTION}-2:3"}}, "c": "{FUNCTION}", "d": "{MACHINE}:1"}}'
    )
    assert versions.called(definition) == {f"{FUNCTION}:12", f"{FUNCTION}-2:3"}
