"""Executions keep what they began with; state machines have versions, also by CloudFormation."""

from __future__ import annotations

import json
from typing import Any

from tests.local.conftest import Aws, wait_for


def says(word: str, seconds: int = 0) -> dict[str, Any]:
    """Give a state machine whose output is a word."""
    states = {
        "wait": {"Type": "Wait", "Seconds": seconds, "Next": "say"},
        "say": {"Type": "Pass", "Result": word, "End": True},
    }
    return {"StartAt": "wait", "States": states}


def fails(word: str) -> dict[str, Any]:
    return {"StartAt": "fail", "States": {"fail": {"Type": "Fail", "Error": word}}}


def test_an_execution_under_way_keeps_its_definition(aws: Aws) -> None:
    machine = aws.machine("kept", says("before", seconds=2))
    execution = aws.start(machine)
    aws.states.update_state_machine(stateMachineArn=machine, definition=json.dumps(says("after")))
    later = aws.start(machine)
    assert json.loads(aws.end(later)["output"]) == "after"
    assert json.loads(aws.end(execution)["output"]) == "before"


def test_a_redrive_keeps_the_definition_too(aws: Aws) -> None:
    machine = aws.machine("redriven", fails("Before"))
    execution = aws.start(machine)
    aws.end(execution)
    aws.states.update_state_machine(stateMachineArn=machine, definition=json.dumps(fails("After")))
    aws.states.redrive_execution(executionArn=execution)
    assert aws.end(execution)["error"] == "Before"


def test_an_execution_of_a_version_is_named_and_listed_by_it(aws: Aws) -> None:
    machine = aws.machine("versioned", says("one"))
    version = aws.states.publish_state_machine_version(stateMachineArn=machine)["stateMachineVersionArn"]
    alias = aws.states.create_state_machine_alias(
        name="live", routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}]
    )["stateMachineAliasArn"]
    aws.states.update_state_machine(stateMachineArn=machine, definition=json.dumps(says("two")))
    by_alias, by_machine = aws.start(alias), aws.start(machine)
    assert json.loads(aws.end(by_alias)["output"]) == "one"
    assert json.loads(aws.end(by_machine)["output"]) == "two"
    assert aws.states.describe_execution(executionArn=by_alias)["stateMachineVersionArn"] == version
    assert "stateMachineVersionArn" not in aws.states.describe_execution(executionArn=by_machine)

    def listed(arn: str) -> list[str]:
        return [each["executionArn"] for each in aws.states.list_executions(stateMachineArn=arn)["executions"]]

    assert listed(version) == [by_alias]
    assert sorted(listed(machine)) == sorted([by_alias, by_machine])


def test_cloudformation_publishes_a_version_for_each_change_and_keeps_the_old_one(aws: Aws) -> None:
    cloudformation, role = aws.client("cloudformation"), aws.role("of-the-stack")

    def template(word: str) -> str:
        machine = {"StateMachineName": "deployed", "RoleArn": role, "DefinitionString": json.dumps(says(word))}
        version = {
            "StateMachineArn": {"Ref": "Machine"},
            "StateMachineRevisionId": {"Fn::GetAtt": ["Machine", "StateMachineRevisionId"]},
        }
        preference = {"Type": "ALL_AT_ONCE", "StateMachineVersionArn": {"Ref": "Version"}}
        alias = {"Name": "live", "DeploymentPreference": preference}
        resources: dict[str, Any] = {
            name: {"Type": f"AWS::StepFunctions::StateMachine{suffix}", "Properties": properties}
            for name, suffix, properties in (
                ("Machine", "", machine),
                ("Version", "Version", version),
                ("Alias", "Alias", alias),
            )
        }
        resources["Version"] |= {"UpdateReplacePolicy": "Retain", "DeletionPolicy": "Retain"}
        return json.dumps({"Resources": resources, "Outputs": {"Alias": {"Value": {"Ref": "Alias"}}}})

    def deployed(status: str) -> dict[str, Any] | None:
        (stack,) = cloudformation.describe_stacks(StackName="versions")["Stacks"]
        assert "ROLLBACK" not in stack["StackStatus"], stack
        return stack if stack["StackStatus"] == status else None

    cloudformation.create_stack(StackName="versions", TemplateBody=template("one"))
    stack = wait_for(lambda: deployed("CREATE_COMPLETE"))
    alias = stack["Outputs"][0]["OutputValue"]
    first = aws.states.describe_execution(executionArn=aws.start(alias))["stateMachineVersionArn"]
    cloudformation.update_stack(StackName="versions", TemplateBody=template("two"))
    wait_for(lambda: deployed("UPDATE_COMPLETE"))
    assert json.loads(aws.end(aws.start(alias))["output"]) == "two"
    assert json.loads(aws.end(aws.start(first))["output"]) == "one"
