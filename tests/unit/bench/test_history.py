"""What histories of executions say: transitions that are billed, and how long tasks took."""

from datetime import UTC, datetime
from typing import Any

from bench.durations import tasks
from bench.rows.files import transitions


def event(kind: str, name: str = "", second: int = 0) -> dict[str, Any]:
    details = {"stateEnteredEventDetails": {"name": name}} if kind.endswith("StateEntered") else {}
    return {"type": kind, "timestamp": datetime(2026, 11, 22, 10, 0, second, tzinfo=UTC)} | details


TASK = ["TaskStateEntered", "TaskScheduled", "TaskSucceeded", "TaskStateExited"]


def test_start_end_and_each_state_are_transitions() -> None:
    kinds = [
        "ExecutionStarted",
        *TASK,
        "ChoiceStateEntered",
        "ChoiceStateExited",
        "SucceedStateEntered",
        "ExecutionSucceeded",
    ]
    assert transitions(event(kind) for kind in kinds) == (2 + 3, 0)


def test_each_retry_is_counted_apart() -> None:
    kinds = ["TaskStateEntered", "TaskScheduled", "TaskFailed", "TaskScheduled", "TaskSucceeded", "TaskStateExited"]
    assert transitions(event(kind) for kind in kinds) == (2 + 1, 1)


def test_what_a_file_that_waits_for_room_goes_through_besides_is_counted_apart() -> None:
    names = ["launch_pod", "queue_file", "wait_for_room", "launch_pod", "queue_file", "launch_pod", "is_pod_ready"]
    assert transitions(event("WaitStateEntered", name) for name in names) == (2 + 2, 5)


def test_aws_has_another_name_for_the_tasks_of_functions() -> None:
    kinds = ["TaskStateEntered", "LambdaFunctionScheduled", "LambdaFunctionFailed", "LambdaFunctionScheduled"]
    assert transitions(event(kind) for kind in kinds) == (2 + 1, 1)


def test_a_task_takes_from_its_state_entered_to_its_state_left() -> None:
    events = [
        event("TaskStateEntered", "launch_pod", 1),
        event("TaskScheduled", second=1),
        event("TaskStateExited", second=3),
        event("ChoiceStateEntered", "is_pod_ready", 3),
        event("TaskStateEntered", "stream_file", 4),
    ]
    (name, began, ended), *rest = tasks(events)
    assert (name, ended - began, rest) == ("launch_pod", 2.0, [])
