"""Repairs: Step Functions as AWS runs them, where MiniStack's engine differs in what our workflows rely on.

- A nested execution (`startExecution.sync:2`) is an ordinary one: the parent's history names it, it sends status events, its failure reaches the
  parent as `States.TaskFailed` with the child's description as cause, and it is stopped with its parent.
- The first item of a Map that fails is what the Map fails with, and nested executions of the other items are stopped;
  the tasks of items are in the history.
- An execution that was stopped or has timed out stays so, and waits, retries and starts nothing any more.
- `TimeoutSeconds` of a state machine ends it as TIMED_OUT; `TimeoutSecondsPath` of a task counts.
- `MaxDelaySeconds` and `JitterStrategy` of a Retry count.
- A function at its concurrency fails its task as `Lambda.TooManyRequestsException`.
- A second StartExecution of the same name and input, while the first is running, gets the first one's answer.
- The role of a state machine must allow what its tasks do and, for the state machine to be created, how Step Functions
  watches nested executions and writes logs.
- RedriveExecution exists, for an execution whose first state failed.
"""

import contextvars
import json
import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import lambda_svc
from ministack.services import stepfunctions as engine
from ministack.services.cloudformation import provisioners

from local.aws import access, callbacks, versions
from local.aws.versions import running as _running

NESTED_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"

Execution = dict[str, Any]
Response = Any  # MiniStack's, which has no type hints: status, headers, body

_ended: dict[str, threading.Event] = {}  # by execution ARN
_children: dict[str, set[str]] = {}  # execution ARN -> ARNs of the nested executions it waits for
_failed_maps: dict[str, Exception] = {}  # execution ARN -> what the first item of its Map failed with


def repair() -> None:
    start, stop, run, fail = (
        engine._start_execution,
        engine._stop_execution,
        engine._run_execution,
        engine._fail_execution,
    )
    find_retrier, find_catcher, execute_task, call_lambda, handle_request, run_items, run_item = (
        engine._find_matching_retrier,
        engine._find_matching_catcher,
        engine._execute_task,
        engine._call_lambda,
        engine.handle_request,
        engine._run_map_items,
        engine._run_sub_machine,
    )

    def start_execution(request: dict[str, Any]) -> Response:
        answer = start(request)
        if answer[0] != 400 or error_type(answer) != "ExecutionAlreadyExists":
            return answer
        machine = engine._state_machines[engine._resolve_state_machine_arn(request["stateMachineArn"])]
        first = engine._executions[
            f"{machine['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{request['name']}"
        ]
        if first["status"] != "RUNNING" or first["input"] != request.get("input", "{}"):
            return answer
        return answered({"executionArn": first["executionArn"], "startDate": first["startDate"]})

    def stop_execution(request: dict[str, Any]) -> Response:
        answer = stop(request)
        if answer[0] == 200:
            finish(request["executionArn"])
        return answer

    def run_execution(arn: str) -> None:
        with vital():
            _running.set(arn)
            execution = engine._executions[arn]
            deadline = threading.Timer(time_limit(execution), contextvars.copy_context().run, (time_out, execution))
            deadline.daemon = True
            deadline.start()
            try:
                run(arn)
            finally:
                deadline.cancel()
                ended(arn).set()

    def fail_execution(execution: Execution, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    def sleep(seconds: float) -> None:
        if ended(_running.get()).wait(seconds * engine._SFN_WAIT_SCALE):
            raise engine._ExecutionError("States.Runtime", "the execution has ended")

    def find_matching_retrier(retriers: list[dict[str, Any]], error: str, counts: dict[int, int]) -> tuple[Any, int]:
        retrier, index = find_retrier(retriers, error, counts)
        if retrier is not None:
            delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0)
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            if retrier.get("JitterStrategy") == "FULL":
                delay = random.uniform(0, delay)
            retrier = {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}
        return retrier, index

    def find_matching_catcher(catchers: list[dict[str, Any]], error: str) -> Any:
        # What ends a task of an execution that has ended leads nowhere.
        return None if ended(_running.get()).is_set() else find_catcher(catchers, error)

    def execute_task_in_time(
        state: dict[str, Any], given: object, execution: Execution, context: dict[str, Any]
    ) -> Any:
        if "TimeoutSecondsPath" in state:
            timeout = engine._resolve_path_or_ctx(state["TimeoutSecondsPath"], given, context)
            state = {**state, "TimeoutSeconds": timeout}
        if "Map" not in context:
            return execute_task(state, given, execution, context)
        name = context["State"]["Name"]
        entered = {"name": name, "input": json.dumps(given)}
        engine._add_event(execution, "TaskStateEntered", {"stateEnteredEventDetails": entered})
        result, after = execute_task(state, given, execution, context)
        exited = {"name": name, "output": json.dumps(result)}
        engine._add_event(execution, "TaskStateExited", {"stateExitedEventDetails": exited})
        return result, after

    def call_lambda_if_allowed(function: str, event: object) -> Any:
        _, config, _ = lambda_svc._get_func_record_for_ref(function)
        if config:
            authorize(access.INVOKE, config["FunctionArn"], error="Lambda.AWSLambdaException")
        try:
            return call_lambda(function, event)
        except engine._ExecutionError as error:
            # A refusal of Lambda itself has no errorType, as a failure of the function has.
            if error.error == "Lambda.Unknown" and '"TooManyRequestsException"' in error.cause:
                raise engine._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
            raise

    def run_map_items(*given: Any) -> Any:
        _failed_maps.pop(_running.get(), None)
        return run_items(*given)

    def run_map_item(*given: Any) -> Any:
        arn = _running.get()
        try:
            return run_item(*given)
        except Exception as error:
            # The first one is what the Map fails with, and ends the other items.
            if _failed_maps.setdefault(arn, error) is error:
                stop_children(arn)
            raise _failed_maps[arn] from error

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            return redrive_execution(json.loads(body))
        return await handle_request(method, path, headers, body, query)

    state_machine = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    create = state_machine["create"]

    def create_if_allowed(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        check_role(properties)
        return create(logical_id, properties, stack)

    state_machine["create"] = create_if_allowed
    engine._start_execution = start_execution
    engine._stop_execution = stop_execution
    engine._run_execution = run_execution
    engine._fail_execution = fail_execution
    engine._scaled_sleep = sleep
    engine._find_matching_retrier = find_matching_retrier
    engine._find_matching_catcher = find_matching_catcher
    engine._execute_task = execute_task_in_time
    engine._call_lambda = call_lambda_if_allowed
    engine._run_map_items = run_map_items
    engine._run_sub_machine = run_map_item
    engine._invoke_nested_start_execution_sync = run_nested_execution
    engine.handle_request = handle
    callbacks.repair(_running.get, ended)


def time_limit(execution: Execution) -> float:
    """Give the TimeoutSeconds of an execution's state machine. If that is gone or no JSON, MiniStack says so itself."""
    try:
        return float(json.loads(versions.machine_of(execution)["definition"])["TimeoutSeconds"])
    except (TypeError, ValueError, KeyError):
        return threading.TIMEOUT_MAX


@contextmanager
def vital() -> Iterator[None]:
    """Let nothing outlive what is done in here: a thread dies alone, and its execution would be RUNNING for ever.

    What a workflow itself may do wrong fails its execution and does not come here.
    """
    try:
        yield
    except BaseException:
        logging.exception("a workflow's thread has died, and the embedded AWS ends with it")
        os._exit(1)


def run_nested_execution(_resource: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Start the child, wait for its end and answer as `startExecution.sync:2` does."""
    request = engine._nested_start_execution_request(parameters)
    # Of a version or an alias, the policy names the state machine (Step Functions' resource-level permissions).
    machine = engine._resolve_state_machine_arn(request["stateMachineArn"]) or request["stateMachineArn"]
    authorize("states:StartExecution", machine, error="StepFunctions.AccessDeniedException")
    answer = engine._start_execution(request)
    if answer[0] != 200:
        raise engine._ExecutionError(f"StepFunctions.{error_type(answer)}", json.loads(answer[2])["message"])
    child = json.loads(answer[2])["executionArn"]
    submitted = {"ExecutionArn": child, "StartDate": json.loads(answer[2])["startDate"]}
    engine._add_event(
        engine._executions[_running.get()],
        "TaskSubmitted",
        {
            "taskSubmittedEventDetails": {
                "resourceType": "states",
                "resource": "startExecution.sync:2",
                "output": json.dumps(submitted),
            }
        },
    )
    siblings = _children.setdefault(_running.get(), set())
    siblings.add(child)
    if ended(_running.get()).is_set() or _running.get() in _failed_maps:
        # That was in between.
        engine._stop_execution({"executionArn": child, "cause": "Its parent has ended"})
    ended(child).wait()
    siblings.discard(child)
    described = json.loads(engine._describe_execution({"executionArn": child})[2])
    succeeded = described["status"] == "SUCCEEDED"
    if succeeded:
        described["output"] = json.loads(described["output"])
    else:
        described.pop("output")
    result = {name[0].upper() + name[1:]: value for name, value in described.items()}
    if not succeeded:
        raise engine._ExecutionError("States.TaskFailed", json.dumps(result))
    return result


def redrive_execution(request: dict[str, Any]) -> Response:
    arn = request["executionArn"]
    execution = engine._executions.get(arn)
    if execution is None:
        return refused("ExecutionDoesNotExist", f"Execution {arn} not found")
    if execution["status"] not in ("FAILED", "ABORTED", "TIMED_OUT"):
        return refused("ExecutionNotRedrivable", f"Execution is {execution['status']} and cannot be redriven")
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in execution["events"]
        if "stateEnteredEventDetails" in event
    ]
    first = json.loads(versions.machine_of(execution)["definition"])["StartAt"]
    if entered and entered[-1] != first:
        return refused("ExecutionNotRedrivable", f"The embedded stack redrives only the first state, not {entered[-1]}")
    count = execution["redriveCount"] = execution.get("redriveCount", 0) + 1
    execution.update(status="RUNNING", stopDate=None, output=None, error=None, cause=None)
    _ended.pop(arn, None)
    engine._add_event(execution, "ExecutionRedriven", {"executionRedrivenEventDetails": {"redriveCount": count}})
    engine._emit_execution_status_event(execution)
    threading.Thread(target=contextvars.copy_context().run, args=(engine._run_execution, arn), daemon=True).start()
    return answered({"redriveDate": engine.now_iso()})


def time_out(execution: Execution) -> None:
    with vital():
        if execution["status"] == "RUNNING":
            execution.update(status="TIMED_OUT", stopDate=engine.now_iso())
            engine._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
            engine._emit_execution_status_event(execution)
            finish(execution["executionArn"])


def finish(arn: str) -> None:
    """Wake whatever waits in an execution that is over, and stop what it has started."""
    ended(arn).set()
    callbacks.end(arn)
    stop_children(arn)


def stop_children(arn: str) -> None:
    for child in list(_children.get(arn, ())):
        engine._stop_execution({"executionArn": child, "cause": f"Parent execution {arn} has ended"})


def ended(arn: str) -> threading.Event:
    return _ended.setdefault(arn, threading.Event())


def authorize(action: str, resource: str, error: str) -> None:
    """Refuse what the role of the running state machine does not allow, in AWS's words."""
    arn = _running.get()
    role, session = versions.machine_of(engine._executions[arn])["roleArn"], arn.rpartition(":")[2]
    if not access.role_allows(role, session, action, resource):
        raise engine._ExecutionError(
            error,
            f"User: {access.session_arn(role, session)} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action",
        )


def check_role(properties: dict[str, Any]) -> None:
    """Refuse to create a state machine whose role does not allow what Step Functions itself needs, in AWS's words."""
    role = properties["RoleArn"]
    rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{NESTED_RULE}"

    def allows(resource: str, *actions: str) -> bool:
        return all(access.role_allows(role, "create", action, resource) for action in actions)

    if ":startExecution.sync" in provisioners._sfn_definition(properties) and not allows(
        rule, "events:PutTargets", "events:PutRule", "events:DescribeRule"
    ):
        raise ValueError(f"'{role}' is not authorized to create managed-rule.")
    if properties.get("LoggingConfiguration", {}).get("Level", "OFF") != "OFF" and not allows(
        "*", "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:ListLogDeliveries"
    ):
        raise ValueError("The state machine IAM Role is not authorized to access the Log Destination")


def answered(body: dict[str, Any]) -> Response:
    return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(body).encode()


def refused(error: str, message: str) -> Response:
    return engine.error_response_json(error, message, 400)


def error_type(answer: Response) -> str:
    return str(json.loads(answer[2]).get("__type", "")).rpartition("#")[2]
