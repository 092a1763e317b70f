"""How far a file is, told by the events of its attempt and by its record of progress."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dropscore import telling
from dropscore.course import Course
from dropscore.progress import Progress, of_record, read
from dropscore.runs import Run
from dropscore.steps import Attempt, steps
from tests.unit.cli.stand_ins import ARN, refused, stack_of, started

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)


def events(*told: tuple[str, str | None]) -> list[dict[str, Any]]:
    """Events a second apart: (type, the state's name or the error's)."""
    made = []
    for number, (kind, name) in enumerate(told, 1):
        details: dict[str, Any] = {}
        if kind.endswith("StateEntered"):
            details = {"stateEnteredEventDetails": {"name": name, "input": "{}"}}
        elif kind.endswith("StateExited"):
            details = {"stateExitedEventDetails": {"name": name, "output": "{}"}}
        elif name:
            details = {"taskFailedEventDetails": {"error": name}}
        made.append({"id": number, "type": kind, "timestamp": BEGAN + timedelta(seconds=number), **details})
    return made


def test_loops_of_a_step_are_one_and_its_failures_are_counted() -> None:
    found = steps(
        events(
            ("ExecutionStarted", None),
            ("TaskStateEntered", "launch_pod"),
            ("TaskFailed", "QuotaExceeded"),
            ("TaskFailed", "QuotaExceeded"),
            ("TaskFailed", "Leftover"),
            ("TaskStateExited", "launch_pod"),
            ("TaskStateEntered", "await_pod"),
            ("TaskStateExited", "await_pod"),
            ("ChoiceStateEntered", "is_pod_ready"),
            ("ChoiceStateExited", "is_pod_ready"),
            ("WaitStateEntered", "wait_for_pod"),
            ("WaitStateExited", "wait_for_pod"),
            ("TaskStateEntered", "await_pod"),
        )
    )
    assert [step.name for step in found] == ["launch_pod", "await_pod"]
    assert found[0].failures == (("QuotaExceeded", 2), ("Leftover", 1))
    assert found[0].seconds(BEGAN) == 4
    assert found[1].left is None
    assert found[1].seconds(BEGAN + timedelta(seconds=30)) == 23


def test_an_attempt_that_was_stopped_ends_its_step() -> None:
    attempt = Attempt("arn", events=events(("TaskStateEntered", "stream_file"), ("ExecutionAborted", None)))
    assert attempt.is_over
    assert attempt.steps[-1].seconds(BEGAN + timedelta(hours=1)) == 1


@pytest.mark.parametrize(
    ("told", "doing"),
    [
        ([], "starting"),
        ([("TaskStateEntered", "launch_pod")], "starting its pod"),
        ([("TaskStateEntered", "launch_pod"), ("TaskFailed", "QuotaExceeded")], "waiting for room"),
        (
            [
                ("TaskStateEntered", "stream_file"),
                ("TaskStateExited", "stream_file"),
                ("WaitStateEntered", "wait_for_model"),
            ],
            "scoring",
        ),
        ([("TaskStateEntered", "tear_down")], "tearing down"),
        ([("TaskStateEntered", "tear_down_lost_pod")], "starting again after a lost pod"),
    ],
)
def test_what_it_does_is_told_in_words(told: list[tuple[str, str | None]], doing: str) -> None:
    assert Attempt("arn", events=events(*told)).doing == doing


def test_a_pod_that_takes_its_time_says_what_is_waited_for() -> None:
    told = events(
        ("TaskStateEntered", "await_pod"), ("TaskStateExited", "await_pod"), ("WaitStateEntered", "wait_for_pod")
    )
    endpoint = {"status": "PENDING", "waiting_for": "the model to load: GET / answered 404"}
    attempt = Attempt("arn", events=told, state={"pod": {"endpoint": endpoint}})
    assert attempt.doing == "starting its pod: waiting for the model to load: GET / answered 404"


def test_a_shard_that_cannot_be_asked_for_once_is_not_lost() -> None:
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv"})
    stepfunctions.status = "RUNNING"
    stepfunctions.histories = {
        ARN + "a-csv-1": [started(ARN + "whole")],
        ARN + "whole": [started(ARN + f"shard-{number}", number) for number in (1, 2, 3)],
    }
    for number in (1, 2, 3):
        shard = json.dumps({"shard": {"number": number}})
        stepfunctions.keys[f"shard-{number}"], stepfunctions.told[f"shard-{number}"] = "", {"input": shard}
    stepfunctions.refusals["shard-2"] = [refused("ThrottlingException")]
    course = Course(stack, Run(ARN + "a-csv-1", "RUNNING", BEGAN))
    with pytest.raises(ClientError):
        course.look()
    told = course.look()
    assert [each.number for each in course.shards] == [1, 2, 3]
    assert len(told) == 4, "nor is any of the events"
    assert course.look() == []


def record(offset: int, **more: Any) -> dict[str, Any]:
    return {"offset": offset, "rows": offset // 100, "started": BEGAN.isoformat(), **more}


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("age", [0, 14])
def test_the_time_left_is_right_within_a_fifth_for_a_steady_model(fraction: float, age: int) -> None:
    """1,000 seconds for the file; a record is up to 15 s old."""
    size = 100_000_000
    progress = of_record(record(int(size * fraction)), size, BEGAN + timedelta(seconds=1000 * fraction))
    left = progress.seconds_left(BEGAN + timedelta(seconds=1000 * fraction + age))
    assert left is not None
    true = 1000 * (1 - fraction) - age
    assert abs(left - true) <= 0.2 * true


def test_shards_side_by_side_end_with_the_last_one() -> None:
    now = BEGAN + timedelta(seconds=100)
    slow = of_record(record(10_000), 100_000, now)
    fast = of_record(record(50_000), 100_000, BEGAN + timedelta(seconds=50))
    both = Progress(60_000, 300_000, 600, BEGAN, now, shards=(slow, fast))
    assert both.bytes_per_second == 100 + 1_000
    assert both.seconds_left(now) == 900
    assert Progress(60_000, 300_000, 600, BEGAN, now, shards=(slow, fast), waiting=1).seconds_left(now) is None


def test_of_a_compressed_file_nothing_is_guessed() -> None:
    progress = of_record(record(5_000_000), 0, BEGAN + timedelta(seconds=5))
    assert progress.fraction is None
    assert progress.seconds_left(BEGAN) is None
    assert telling.how_far(progress, BEGAN) == "50,000 rows, 1.0 MB/s"


def test_a_file_that_is_sent_whole_is_worked_on_by_the_model() -> None:
    def far(sent: int) -> str:
        return telling.how_far(of_record(record(0, sent=sent), 1_000, BEGAN), BEGAN)

    assert far(500) == "50%, 500 B sent"
    assert far(1_000) == "100%, sent; the model works"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7_805, "2 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert telling.duration(seconds) == text


def test_who_may_not_read_how_far_a_file_is_sees_no_bar() -> None:
    class Refusing:
        def get_object(self, **_: Any) -> None:
            raise refused("AccessDenied", "GetObject")

    stack, _ = stack_of({})
    stack.__dict__["s3"] = Refusing()
    assert read(stack, "scored/.progress/1", 10) is None


def test_a_progress_that_has_not_begun_says_nothing() -> None:
    assert telling.how_far(None, BEGAN) == ""
    assert telling.how_far(Progress(0, 10, 0, BEGAN, BEGAN), BEGAN) == ""
