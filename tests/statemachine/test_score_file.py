"""The parent of an attempt: one execution a file."""

from __future__ import annotations

import json

from tests.statemachine.conftest import Run
from tests.statemachine.definitions import definition

ATTEMPT = "arn:aws:states:us-east-1:000000000000:execution:attempt:1"


def test_a_file_is_scored_when_its_attempt_is(run: Run) -> None:
    outcome = run("AttemptSucceeds")
    assert outcome.status == "SUCCEEDED"
    output = {"uri": "s3://out/a.csv.scoreout", "rows": 2}
    assert outcome.output == {"attempt": ATTEMPT, "cluster": "prod", "output": output}


def test_a_file_fails_with_what_its_attempt_failed_with(run: Run) -> None:
    """In a task, not in a Fail state: so it can be redriven."""
    outcome = run("AttemptFails")
    assert (outcome.status, outcome.error, outcome.path) == ("FAILED", "States.TaskFailed", ["attempt"])
    told = json.loads(outcome.cause)
    assert (told["Error"], told["Cause"]) == ("PodCrashed", "It crashed. Repair it. See s3://out/a.csv.error")


def test_an_attempt_is_given_the_file_and_who_started_it() -> None:
    given = definition("score_file")["States"]["attempt"]["Parameters"]["Input"]
    assert given == {
        "source.$": "$.source",
        "file_id.$": "$.file_id",
        "lost_pods": {"count": 0},
        "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.$": "$$.Execution.Id",
    }


def test_a_throttled_start_is_repeated(run: Run) -> None:
    assert run("StartIsThrottled").status == "SUCCEEDED"
