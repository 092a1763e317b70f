"""MiniStack's Step Functions as these tests need it: `python -m tests.statemachine.engine`, in MiniStack's environment.

With the repairs of local/aws, so that it runs workflows as AWS does, and with one of our own: MiniStack looks a mocked
response up once for a task, and gives the same one to each Retry. Step Functions Local, whose file format this is, looks
it up at each try; only then can a mocked error pass.
"""

from __future__ import annotations

import contextvars
from typing import Any

from ministack import app
from ministack.services import stepfunctions as engine

from local.aws import workflows

_task: contextvars.ContextVar[tuple[dict[str, Any], dict[str, Any]]] = contextvars.ContextVar("task")


def look_up_at_each_try() -> None:
    execute_task, mocked_response = engine._execute_task, engine._get_mock_response

    def execute(state: dict[str, Any], given: object, execution: dict[str, Any], context: dict[str, Any]) -> Any:
        _task.set((execution, context))
        return execute_task(state, given, execution, context)

    def invoke(resource: str, given: object) -> Any:
        execution, context = _task.get()
        state, tries = context["State"]["Name"], execution["mockAttempts"]
        number = tries[state] = tries.get(state, -1) + 1
        mocked = mocked_response(context["StateMachine"]["Name"], execution["testCase"], state, number)
        if mocked is None:
            raise engine._ExecutionError("NotMocked", f"{execution['testCase']}: {state}, try {number}, {resource}")
        if "Throw" in mocked:
            raise engine._ExecutionError(mocked["Throw"]["Error"], mocked["Throw"]["Cause"])
        return mocked["Return"]

    engine._execute_task = execute
    engine._invoke_resource = invoke
    engine._invoke_with_callback = lambda resource, given, *_: invoke(resource, given)
    engine._get_mock_response = lambda *_: None


if __name__ == "__main__":
    workflows.repair()
    look_up_at_each_try()
    app.main()
