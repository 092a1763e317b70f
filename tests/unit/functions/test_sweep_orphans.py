"""sweep_orphans: a pod goes when its attempt is over, and only then."""

import json
import os
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import api as clusters
from scoring.cluster.queue import Queue
from scoring.errors import AccessDenied, AwsThrottled, ClusterUnreachable, InvalidSettings
from scoring.intake import parameters
from scoring.intake.parameters import Stored
from tests.builders import CLUSTER, ENVIRONMENT, GATEWAY_URL, Context, FakeApi, event, function, path, running

app = function("sweep_orphans")
EXECUTIONS = ENVIRONMENT["ATTEMPT_STATE_MACHINE_ARN"].replace(":stateMachine:", ":execution:")


class StepFunctions:
    """Executions by their names, with a status each."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = statuses
        self.called: list[tuple[str, Any]] = []

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803  (boto3's name)
        machine, _, name = executionArn.rpartition(":")
        assert machine == EXECUTIONS
        if name not in self.statuses:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")
        if self.statuses[name] == "throttled":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "DescribeExecution")
        return {"status": self.statuses[name]}

    def get_paginator(self, verb: str) -> "StepFunctions":
        assert verb == "list_executions"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"executions": []}]


@pytest.fixture
def stepfunctions(monkeypatch: pytest.MonkeyPatch) -> StepFunctions:
    found = StepFunctions()
    monkeypatch.setattr(aws, "client", lambda service: found)
    monkeypatch.setattr(Queue, "call", lambda self, freed: found.called.append((self.folder, freed)))
    return found


def cluster(*attempts: str) -> FakeApi:
    """A cluster with a pod of each attempt."""
    api = FakeApi()
    for attempt in attempts:
        labels = {"app.kubernetes.io/managed-by": "dropscore", "dropscore.io/attempt": attempt}
        execution = f"{EXECUTIONS}:{attempt}"
        marks = {"dropscore.io/execution": execution}
        api.put("pods", running(name=f"dropscore-{attempt}", labels=labels, annotations=marks))
    return api


def connect(monkeypatch: pytest.MonkeyPatch, **apis: FakeApi) -> None:
    entry = {"namespaces": ["dropscore"], "url": GATEWAY_URL}
    monkeypatch.setenv("CLUSTERS", json.dumps(dict.fromkeys(apis, entry)))
    monkeypatch.setattr(clusters, "connect", apis.__getitem__)


def sweep() -> list[str]:
    answer: dict[str, list[str]] = app.handler(event("sweep_orphans"), Context())
    return answer["swept"]


def test_only_pods_whose_attempt_runs_no_more_are_swept(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    api = cluster("running", "succeeded", "failed", "stopped", "late", "unknown")
    connect(monkeypatch, lab=api)
    stepfunctions.statuses = {
        "running": "RUNNING",
        "succeeded": "SUCCEEDED",
        "failed": "FAILED",
        "stopped": "ABORTED",
        "late": "TIMED_OUT",
    }
    assert sweep() == ["failed", "late", "stopped", "succeeded", "unknown"]
    assert list(api.objects) == [path("pods", "dropscore-running")]


def test_somebody_elses_pods_are_none_of_our_business(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    api = FakeApi(pods=running(name="theirs", labels={"app": "x"}))
    connect(monkeypatch, lab=api)
    assert sweep() == []
    assert api.objects


def test_a_pod_is_left_alone_when_nobody_can_say_whether_its_attempt_runs(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    api = cluster("throttled")
    connect(monkeypatch, lab=api)
    stepfunctions.statuses = {"throttled": "throttled"}
    with pytest.raises(AwsThrottled):
        sweep()
    assert api.objects


def test_a_cluster_that_does_not_answer_keeps_no_other_from_being_swept(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    """The call fails all the same, so that somebody hears of it."""
    down, up = FakeApi(), cluster("over")
    down.refusals["GET"] = ClusterUnreachable("The API server of down does not answer.")
    connect(monkeypatch, down=down, up=up)
    with pytest.raises(ClusterUnreachable, match="of down"):
        sweep()
    assert not up.objects


def test_every_namespace_that_is_open_to_us_is_looked_into(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    api = FakeApi()
    monkeypatch.setattr(clusters, "connect", {CLUSTER: api}.__getitem__)
    sweep()
    assert api.calls == ["GET /api/v1/namespaces/dropscore/pods", "GET /api/v1/namespaces/batch/pods"]


def test_clusters_of_parameter_store_are_swept_as_well_and_a_broken_one_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    own, stored = cluster("over"), cluster("over-too")
    connect(monkeypatch, lab=own, store=stored)
    entry = json.dumps({"namespaces": ["dropscore"], "route": "pod_ip"})
    monkeypatch.setenv("CLUSTERS", json.dumps({"lab": json.loads(entry)}))
    monkeypatch.setenv("CLUSTERS_PATH", "/dropscore/clusters")
    found = {"broken": Stored("broken", 1, "{"), "store": Stored("store", 1, entry)}
    monkeypatch.setattr(parameters, "load", lambda path: found)
    with pytest.raises(InvalidSettings, match="clusters/broken"):
        sweep()
    assert not own.objects
    assert not stored.objects


def test_a_parameter_store_that_refuses_keeps_the_stacks_own_clusters_from_nothing(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    def refuse(path: str) -> dict[str, Stored]:
        raise AccessDenied("Not allowed: ssm:GetParametersByPath")

    api = cluster("over")
    connect(monkeypatch, lab=api)
    monkeypatch.setattr(parameters, "load", refuse)
    with pytest.raises(AccessDenied):
        sweep()
    assert not api.objects


def test_whoever_waits_longest_in_a_namespace_is_called_without_knowing_for_what(
    monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions
) -> None:
    """Somebody may have made room; a Kueue calls by itself."""
    down = FakeApi()
    down.refusals["GET"] = ClusterUnreachable("down")
    connect(monkeypatch, lab=cluster("over"), kueue=FakeApi(), down=down)
    entries = json.loads(os.environ["CLUSTERS"])
    entries["lab"]["namespaces"].append("batch")
    entries["kueue"]["queue"] = "risk"
    monkeypatch.setenv("CLUSTERS", json.dumps(entries))
    with pytest.raises(ClusterUnreachable):
        sweep()
    assert stepfunctions.called == [("scored/.queue/lab/dropscore/", None), ("scored/.queue/lab/batch/", None)]
