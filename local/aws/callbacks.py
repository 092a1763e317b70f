"""Repairs: a Task that waits for its token (`lambda:invoke.waitForTaskToken`) as AWS runs it.

- What fails the function fails the task. (MiniStack waits on for a token that nobody has got.)
- Each try has a token of its own, and the first answer to a token counts: a later one is told TaskTimedOut, as it is when
  the task's time is up or its execution has ended. A token that never was is an InvalidToken.
- A task that waits ends with its execution.
"""

import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.services import stepfunctions as engine

SUFFIX = "states:::lambda:invoke.waitForTaskToken"

_CLOSED = "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'"


@dataclass
class Callback:
    """A task that waits, or has waited, for the answer to its token."""

    execution: str
    answer: threading.Event = field(default_factory=threading.Event)
    output: Any = None
    failure: tuple[str, str] | None = None
    is_closed: bool = False


_callbacks: dict[str, Callback] = {}
_lock = threading.Lock()


def repair(running: Any, ended: Any) -> None:
    """Let `running` tell the ARN of this thread's execution, and `ended` the event that it is over."""
    invoke, succeed, fail, apply = (
        engine._invoke_with_callback,
        engine._send_task_success,
        engine._send_task_failure,
        engine._apply_parameters,
    )

    def apply_parameters(state: dict[str, Any], given: object, context: Any = None) -> Any:
        # Called once a try.
        if str(state.get("Resource", "")).endswith(SUFFIX):
            context["Task"] = {"Token": uuid.uuid4().hex}
        return apply(state, given, context)

    def invoke_with_callback(resource: str, given: dict[str, Any], token: str, state: dict[str, Any]) -> Any:
        if not resource.endswith(SUFFIX):
            return invoke(resource, given, token, state)
        callback = _callbacks[token] = Callback(running())
        try:
            engine._call_lambda(
                engine._resolve_lambda_function_ref(given["FunctionName"], optimized=True), given["Payload"]
            )
            if not ended(callback.execution).is_set():
                callback.answer.wait(state.get("TimeoutSeconds", threading.TIMEOUT_MAX))
        finally:
            with _lock:
                callback.is_closed = True
        if callback.failure:
            raise engine._ExecutionError(*callback.failure)
        if ended(callback.execution).is_set():
            raise engine._ExecutionError("States.Runtime", "the execution has ended")
        if not callback.answer.is_set():
            raise engine._ExecutionError("States.Timeout", "")
        return callback.output

    def answered(request: dict[str, Any], output: Any = None, failure: tuple[str, str] | None = None) -> Any:
        callback = _callbacks.get(request["taskToken"])
        if callback is None:
            return engine.error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        with _lock:
            if callback.is_closed:
                return engine.error_response_json(*_CLOSED, 400)
            callback.is_closed, callback.output, callback.failure = True, output, failure
        callback.answer.set()
        return engine.json_response({})

    def send_task_success(request: dict[str, Any]) -> Any:
        if request["taskToken"] in engine._task_tokens:
            return succeed(request)
        try:
            output = json.loads(request["output"])
        except ValueError:
            return engine.error_response_json("InvalidOutput", "Invalid Output: 'Invalid JSON'", 400)
        return answered(request, output)

    def send_task_failure(request: dict[str, Any]) -> Any:
        if request["taskToken"] in engine._task_tokens:
            return fail(request)
        return answered(request, failure=(request.get("error", ""), request.get("cause", "")))

    engine._apply_parameters = apply_parameters
    engine._invoke_with_callback = invoke_with_callback
    engine._send_task_success = send_task_success
    engine._send_task_failure = send_task_failure


def end(execution: str) -> None:
    """Wake the tasks that wait in an execution which is over."""
    for callback in list(_callbacks.values()):
        if callback.execution == execution:
            with _lock:
                callback.is_closed = True
            callback.answer.set()
