"""What is gathered for the `.error`; whatever is missing, the first error stays the one to be told."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dropscore.check.memory_s3 import MemoryS3
from scoring.cluster import api as clusters
from scoring.cluster.refusals import NotFound
from scoring.errors import AccessDenied, ClusterUnreachable, Failure
from scoring.intake import shard
from scoring.intake.shard import Shard
from scoring.outcome import evidence
from tests.builders import (
    EXECUTION,
    NAMESPACE,
    OUTPUT_BUCKET,
    POD_NAME,
    FakeApi,
    path,
    pod_state,
    recorded_pod,
    request,
    running,
    state,
)

LOG = f"{path('pods')}/log"


LAUNCHED: dict[str, Any] = {"request": {}, "pod": pod_state()}
READY = LAUNCHED | {"pod": pod_state(endpoint={"status": "READY", "pod": "uid-1"})}
BEFORE = LAUNCHED | {"endpoint": {"status": "READY", "pod": "uid-1"}}
LOST = {"lost_pods": {"count": 1}}


@pytest.mark.parametrize(
    ("held", "stage"),
    [
        ({}, "resolve_request"),
        ({"request": {}}, "launch_pod"),
        (LAUNCHED, "await_pod"),
        (LAUNCHED | {"pod": pod_state(endpoint={"status": "PENDING"})}, "await_pod"),
        (READY, "stream_file"),
        (BEFORE, "stream_file"),
        (READY | {"scoring": {"status": "RUNNING"}}, "stream_file"),
        (READY | {"scoring": {"status": "DONE"}}, "persist_output"),
        (READY | LOST | {"error": {"Error": "PodLost"}}, "stream_file"),
        (READY | LOST | {"error": {"Error": "PodRefused"}}, "launch_pod"),
        (READY | LOST | {"pod": pod_state(uid="uid-2", replaces=1), "error": {"Error": "PodCrashed"}}, "await_pod"),
    ],
)
def test_the_step_that_failed_is_told_by_what_the_state_holds(held: dict[str, Any], stage: str) -> None:
    assert evidence.stage(state(**held)) == stage


SHARDS = [Shard(number, 3, 0, 0, 0, 0, 0).to_json() for number in (1, 2, 3)]
CHILD = f"{EXECUTION}-2"
SERVER_ERROR = ClientError({"Error": {"Code": "InternalError", "Message": "try again"}}, "GetObject")


def of_failure(s3: Any, error: str = "States.TaskFailed", **child: Any) -> tuple[Failure, str, dict[str, Any]]:
    """What a file is told to have failed with, one of whose shards' attempts ended so."""
    cause = json.dumps({"ExecutionArn": CHILD, "Status": "FAILED", "Input": "{}"} | child)
    held = state(request=request(pods=3), scoring={"status": "PLANNED", "shards": SHARDS})
    return evidence.of_failure(s3, held | {"error": {"Error": error, "Cause": cause}})


def error_of_shard(number: int) -> dict[str, str]:
    place = shard.output(request()["output"], number)["key"].removesuffix(".scoreout")
    return {"Bucket": OUTPUT_BUCKET, "Key": f"{place}.error"}


def test_a_file_fails_with_what_the_first_of_its_shards_in_the_file_failed_with() -> None:
    s3, told = MemoryS3(), {"remedy": "Repair it.", "stage": "stream_file", "pod": {"name": "p"}}
    for number in (3, 2):
        body = json.dumps(told | {"error": "ModelFailed", "summary": f"Shard {number}."})
        s3.put_object(**error_of_shard(number), Body=body.encode())
    failure, where, pod = of_failure(s3, Error="PodCrashed", Cause="it was another one that ended the file")
    assert (failure.name, failure.summary, failure.remedy) == ("ModelFailed", "Shard 2.", "Repair it.")
    assert (where, pod) == ("stream_file", {"name": "p"})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"error": "ModelFailed"}', None], ids=repr)
@pytest.mark.parametrize(
    ("child", "name", "summary"),
    [
        ({"Error": "PodCrashed", "Cause": "It crashed. Repair it."}, "PodCrashed", "It crashed. Repair it."),
        ({"Error": "AccessDenied", "Cause": str(AccessDenied("Not allowed."))}, "AccessDenied", "Not allowed."),
        ({"Error": "Lambda.Unknown", "Cause": "exit 137"}, "Lambda.Unknown", "The function was killed"),
        ({"Status": "ABORTED"}, "Aborted", "scored a part of the file was stopped."),
        ({"Status": "TIMED_OUT"}, "States.Timeout", "scored a part of the file has timed out."),
    ],
    ids=["failed", "without .error", "killed", "stopped", "out of time"],
)
def test_a_shard_whose_error_cannot_be_read_is_told_by_how_its_execution_ended(
    child: dict[str, str], name: str, summary: str, body: bytes | None
) -> None:
    s3 = MemoryS3()
    if body is None:
        s3 = Refusing()
    elif body:
        s3.put_object(**error_of_shard(2), Body=body)
    failure, where, pod = of_failure(s3, **child)
    assert (failure.name, where, pod) == (name, "score_shards", {})
    assert summary in failure.summary
    assert failure.details["attempt"] == CHILD
    if name in ("PodCrashed", "Aborted", "States.Timeout"):
        assert failure.remedy == "Redrive the score_file execution."


class Refusing(MemoryS3):
    def get_object(self, **_: Any) -> dict[str, Any]:
        raise SERVER_ERROR


def test_a_map_that_failed_for_something_else_says_what() -> None:
    assert (
        of_failure(MemoryS3(), "StepFunctions.ExecutionLimitExceeded")[0].name == "StepFunctions.ExecutionLimitExceeded"
    )
    cut = state(request=request(pods=3), scoring={"status": "PLANNED", "shards": SHARDS})
    failure, *_ = evidence.of_failure(MemoryS3(), cut | {"error": {"Error": "States.TaskFailed", "Cause": '{"Exec'}})
    assert failure.summary == "The execution that scored a part of the file was stopped, or has timed out."


def of_pod(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> dict[str, Any]:
    monkeypatch.setattr(clusters, "connect", lambda name: api)
    return evidence.of_pod(state(request=request(), pod=pod_state()))


def test_before_there_is_a_pod_there_is_no_evidence() -> None:
    assert evidence.of_pod(state(request=request())) == {}


def test_evidence_is_what_kubectl_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    found, events = recorded_pod("crash-exit1.CrashLoopBackOff")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    api = FakeApi(pods=found)
    api.events, api.log = events, "loading model\nFATAL: weights missing\n"
    gathered = of_pod(monkeypatch, api)
    assert (gathered["name"], gathered["namespace"]) == (POD_NAME, NAMESPACE)
    assert gathered["log_tail"] == ["loading model", "FATAL: weights missing"]
    assert gathered["status"]["phase"] == "Running"
    assert gathered["status"]["container"]["lastState"]["terminated"]["exitCode"] == 1
    assert {"type": "PodScheduled", "status": "True"} in gathered["status"]["conditions"]
    assert gathered["events"][0].startswith("Normal Scheduled: Successfully assigned")
    assert "Normal Created (x2): Created container model" in gathered["events"]
    assert "missing" not in gathered


@pytest.mark.parametrize(
    ("case", "of", "codes"),
    [
        ("sidecar-model-crashed", "model", {"model": 17}),
        ("init-failed", "vault-agent", {"vault-agent": 3}),
        ("sidecar-ended-1", "model", {"istio-proxy": 1}),
    ],
)
def test_evidence_is_the_models_container_and_what_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch, case: str, of: str, codes: dict[str, int]
) -> None:
    """The log is asked for by a container's name: without one it is refused as soon as a pod has two."""
    asked: list[str] = []

    class Two(FakeApi):
        def text(self, path: str, query: dict[str, Any]) -> str:
            asked.append(query["container"])
            return super().text(path, query)

    found, _ = recorded_pod(case)
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    gathered = of_pod(monkeypatch, Two(pods=found))
    assert asked == [of]
    assert gathered.get("log_of", "model") == of
    told = gathered["status"].get("other_containers", {}) | {"model": gathered["status"]["container"]}
    ended = {name: one["state"]["terminated"]["exitCode"] for name, one in told.items() if "terminated" in one["state"]}
    assert ended == codes


@pytest.mark.parametrize("refusal", [ClusterUnreachable("The cluster is down."), KeyError("items"), OSError("tls")])
def test_what_cannot_be_had_is_said_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    api = FakeApi(pods=running())
    api.refusals[LOG] = refusal
    gathered = of_pod(monkeypatch, api)
    (missing,) = gathered["missing"]
    assert missing.startswith("log_tail: ")
    assert gathered["status"]["phase"] == "Running"


def test_a_pod_that_is_gone_is_evidence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    api.refusals[LOG] = NotFound("pods not found")
    gathered = of_pod(monkeypatch, api)
    assert gathered["missing"] == [
        "status: The pod is gone: its node was lost or somebody deleted it.",
        "log_tail: pods not found",
    ]
    assert gathered["events"] == []


@pytest.mark.parametrize("refusal", [ClusterUnreachable("The cluster is down."), OSError("bad certificate")])
def test_a_cluster_that_cannot_be_reached_hides_nothing(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    def connect(name: str) -> None:
        raise refusal

    monkeypatch.setattr(clusters, "connect", connect)
    gathered = evidence.of_pod(state(request=request(), pod=pod_state()))
    assert gathered["name"] == POD_NAME
    assert len(gathered["missing"]) == 1


def test_only_the_newest_events_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state machine takes no more than 256 KiB, and a person reads less."""
    api = FakeApi(pods=running())
    api.events = [
        {"type": "Normal", "reason": "E", "message": str(n), "metadata": {"resourceVersion": str(n)}} for n in range(50)
    ]
    assert of_pod(monkeypatch, api)["events"] == [f"Normal E: {n}" for n in range(30, 50)]
