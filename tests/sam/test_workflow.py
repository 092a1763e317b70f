"""A file goes the whole way with every function in a container: deployed workflows, S3 event and clean-up included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import docker, parts, sam_local
from local.stack import Stack
from tests.e2e.pipeline import Pipeline, wait_for

pytestmark = pytest.mark.sam

PEOPLE = (parts.ROOT / "models/sas-anomaly/sample.csv").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def attached(stack: Stack, start_lambda: str) -> Iterator[None]:
    sam_local.attach(stack, start_lambda)
    yield
    sam_local.detach(stack)


def functions_that_tell_of(mark: str, stack: Stack) -> set[str]:
    """The functions whose containers have logged a name."""
    containers = docker.function_containers(stack.endpoint_url)
    return {function for container, function in containers.items() if mark in docker.logs(container)}


def assert_ran_in_containers(expected: set[str], attempt: str, stack: Stack) -> None:
    attempt_id = attempt.rpartition(":")[2]
    wait_for(f"logs of {expected}", lambda: functions_that_tell_of(attempt_id, stack) >= expected, 10)
    assert functions_that_tell_of(attempt_id, stack) == expected


def test_a_file_is_scored(pipeline: Pipeline, stack: Stack) -> None:
    execution = pipeline.drop("containers.csv", PEOPLE, model_image="sas-anomaly", protocol="sas")
    outcome = pipeline.outcome(execution)
    assert outcome.lines[0] == PEOPLE.splitlines()[0] + b",anomaly_score,is_anomaly"
    assert len(outcome.lines) == len(PEOPLE.splitlines())
    assert "StartScoring" in functions_that_tell_of(execution.rpartition(":")[2], stack)
    steps = {"ResolveRequest", "LaunchPod", "StreamFile", "PersistOutput", "TearDown"}
    assert_ran_in_containers(steps, pipeline.attempt(execution), stack)
    pipeline.assert_nothing_left(execution)


def test_an_error_reaches_the_workflow_under_its_own_name(pipeline: Pipeline, stack: Stack) -> None:
    execution = pipeline.drop("no-such-model.csv", PEOPLE, model_image="no-such-model")
    assert pipeline.outcome(execution).error["error"] == "ImageNotFound"
    attempt = pipeline.attempt(execution)
    assert pipeline.ended(attempt)["error"] == "ImageNotFound"
    assert_ran_in_containers({"ResolveRequest", "PersistError", "TearDown"}, attempt, stack)
