"""What is gathered for the `.error`; whatever is missing, the first error stays the one to be told."""

from typing import Any

import pytest

from scoring.cluster import api as clusters
from scoring.cluster.refusals import NotFound
from scoring.errors import ClusterUnreachable
from scoring.outcome import evidence
from tests.builders import NAMESPACE, POD_NAME, FakeApi, path, pod_state, recorded_pod, request, running, state

LOG = f"{path('pods')}/log"


LAUNCHED: dict[str, Any] = {"request": {}, "pod": pod_state()}
READY = LAUNCHED | {"endpoint": {"status": "READY", "pod": "uid-1"}}
LOST = {"lost_pods": {"count": 1}}


@pytest.mark.parametrize(
    ("held", "stage"),
    [
        ({}, "resolve_request"),
        ({"request": {}}, "launch_pod"),
        (LAUNCHED, "await_pod"),
        (LAUNCHED | {"endpoint": {"status": "PENDING"}}, "await_pod"),
        (READY, "stream_file"),
        (READY | {"scoring": {"status": "RUNNING"}}, "stream_file"),
        (READY | {"scoring": {"status": "DONE"}}, "persist_output"),
        (READY | LOST | {"error": {"Error": "PodLost"}}, "stream_file"),
        (READY | LOST | {"error": {"Error": "PodRefused"}}, "launch_pod"),
        (READY | LOST | {"pod": pod_state(uid="uid-2", replaces=1), "error": {"Error": "PodCrashed"}}, "await_pod"),
    ],
)
def test_the_step_that_failed_is_told_by_what_the_state_holds(held: dict[str, Any], stage: str) -> None:
    assert evidence.stage(state(**held)) == stage


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
