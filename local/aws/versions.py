"""Repairs: an execution keeps the definition that it began with, and state machines have versions.

- An execution runs, and is redriven, by the revision or the version of the state machine that it was started with, with
  that one's role. MiniStack starts versions, but runs what the state machine is by then.
- DescribeExecution and ListExecutions name the version, and list by it.
- CloudFormation knows `AWS::StepFunctions::StateMachineVersion` and `…Alias`.
"""

import contextvars
import json
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, new_uuid
from ministack.services import stepfunctions as engine
from ministack.services.cloudformation import provisioners

Execution = dict[str, Any]
Machine = dict[str, Any]
Response = Any  # MiniStack's, which has no type hints: status, headers, body

running: contextvars.ContextVar[str] = contextvars.ContextVar("running_execution", default="")
_started_with: dict[str, Machine] = {}  # execution ARN -> the state machine as it was then
_versions: dict[str, str] = {}  # execution ARN -> the version that it was started with


class _AsStarted(AccountRegionScopedDict):  # type: ignore[misc]  # MiniStack has no type hints
    """The state machines; `get`, by which a running execution reads its own, gives that as it was at the start."""

    def get(self, key: str, default: Any = None) -> Any:
        execution = engine._executions.get(running.get()) if running.get() else None
        if execution and execution["stateMachineArn"] == key:
            return machine_of(execution)
        return super().get(key, default)


def repair() -> None:
    start, describe, list_all = engine._start_execution, engine._describe_execution, engine._list_executions

    def start_execution(request: dict[str, Any]) -> Response:
        arn = engine._resolve_state_machine_arn(request.get("stateMachineArn", ""))
        if arn is None:
            return start(request)
        request = {**request, "name": request.get("name") or new_uuid()}
        execution = f"{arn.replace(':stateMachine:', ':execution:')}:{request['name']}"
        if execution not in engine._executions:
            # Before there is a thread that looks for it.
            version = engine._execution_version_arn(request["stateMachineArn"])
            revision = {"definition": engine._state_machines[arn]["definition"]}
            if version:
                _versions[execution] = version
                published = engine._state_machine_versions[version]
                revision = {name: published[name] for name in ("definition", "roleArn")}
            _started_with[execution] = {**engine._state_machines[arn], **revision}
        return start(request)

    def describe_execution(request: dict[str, Any]) -> Response:
        answer = describe(request)
        if answer[0] != 200:
            return answer
        return answer[0], answer[1], json.dumps(named_version(json.loads(answer[2]))).encode()

    def list_executions(request: dict[str, Any]) -> Response:
        named = request.get("stateMachineArn", "")
        answer = list_all({**request, "stateMachineArn": engine._resolve_state_machine_arn(named) or named})
        if answer[0] != 200:
            return answer
        body = json.loads(answer[2])
        listed = [named_version(execution) for execution in body["executions"]]
        if named in engine._state_machine_versions:
            listed = [execution for execution in listed if execution.get("stateMachineVersionArn") == named]
        return answer[0], answer[1], json.dumps({**body, "executions": listed}).encode()

    machines = _AsStarted()
    machines._data = engine._state_machines._data
    engine._state_machines = machines
    engine._start_execution = start_execution
    engine._describe_execution = describe_execution
    engine._list_executions = list_executions
    provisioners._RESOURCE_HANDLERS |= {
        "AWS::StepFunctions::StateMachineVersion": {
            "create": create_version,
            "update": update_version,
            "update_with_logical_id": True,
            "delete": delete_version,
        },
        "AWS::StepFunctions::StateMachineAlias": {
            "create": create_alias,
            "update": update_alias,
            "delete": delete_alias,
        },
    }


def machine_of(execution: Execution) -> Machine:
    """Give the state machine of an execution as it was when that was started.

    Raises
    ------
    KeyError
        It was started before MiniStack was, and there is no such state machine.
    """
    return _started_with.get(execution["executionArn"]) or dict(engine._state_machines[execution["stateMachineArn"]])


def named_version(execution: dict[str, Any]) -> dict[str, Any]:
    version = _versions.get(execution["executionArn"])
    return {**execution, "stateMachineVersionArn": version} if version else execution


def create_version(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    request = {"stateMachineArn": properties["StateMachineArn"], "description": properties.get("Description", "")}
    arn = answered(engine._publish_state_machine_version(request))["stateMachineVersionArn"]
    return arn, {"Arn": arn}


def update_version(
    physical_id: str,
    old: dict[str, Any],
    new: dict[str, Any],
    stack: str,
    logical_id: str | None = None,
) -> tuple[str, dict[str, str]]:
    """Every property of a version requires another one in its place."""
    created = create_version(logical_id or physical_id, new, stack)
    provisioners._delete_predecessor(delete_version, physical_id, old)
    return created


def delete_version(physical_id: str, _properties: dict[str, Any]) -> None:
    answered(engine._delete_state_machine_version({"stateMachineVersionArn": physical_id}))


def create_alias(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    request = {"name": properties["Name"], "routingConfiguration": routing(properties)}
    arn = answered(engine._create_state_machine_alias(request))["stateMachineAliasArn"]
    return arn, {"Arn": arn}


def update_alias(
    physical_id: str, _old: dict[str, Any], new: dict[str, Any], _stack: str
) -> tuple[str, dict[str, str]]:
    request = {"stateMachineAliasArn": physical_id, "routingConfiguration": routing(new)}
    answered(engine._update_state_machine_alias(request))
    return physical_id, {"Arn": physical_id}


def delete_alias(physical_id: str, _properties: dict[str, Any]) -> None:
    answered(engine._delete_state_machine_alias({"stateMachineAliasArn": physical_id}))


def routing(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """All at once, to the version that is named."""
    return [{"stateMachineVersionArn": properties["DeploymentPreference"]["StateMachineVersionArn"], "weight": 100}]


def answered(answer: Response) -> dict[str, Any]:
    """What the engine answers; what it refuses fails the deployment."""
    body: dict[str, Any] = json.loads(answer[2])
    if answer[0] != 200:
        raise ValueError(str(body.get("message", body)))
    return body
