"""What a cluster's refusals mean."""

import json
from typing import Any

import pytest

from scoring.cluster.refusals import AlreadyExists, Expired, NotFound, lacking, refusal
from scoring.errors import (
    ClusterAccessDenied,
    ClusterUnreachable,
    DropscoreError,
    PodRefused,
    QuotaExceeded,
)
from tests.builders import ROOT

REFUSALS = json.loads((ROOT / "tests/unit/data/refusals.json").read_text())
POST, LIST = "POST /api/v1/namespaces/dropscore/pods", "GET /api/v1/namespaces/dropscore/pods"


@pytest.mark.parametrize(
    ("case", "error", "sentence"),
    [
        ("unauthorized-401", ClusterAccessDenied, "does not know this function's role"),
        ("rbac-403", ClusterAccessDenied, 'User "token-nobody" cannot list resource "pods"'),
        ("quota-pods-exceeded", QuotaExceeded, "requested: pods=1, used: pods=1, limited: pods=1"),
        ("quota-cpu-exceeded", PodRefused, "asks for more than the whole namespace may use"),
        ("quota-must-specify", PodRefused, "must specify limits.memory,requests.cpu"),
        ("limitrange", PodRefused, "maximum memory usage per Container is 1Gi, but limit is 4Gi"),
        ("invalid-pod-422", PodRefused, 'Pod "Bad_Name" is invalid'),
        ("not-found-404", NotFound, 'pods "absent" not found'),
        ("namespace-missing-404", NotFound, 'namespaces "no-such-namespace" not found'),
        ("conflict-409", AlreadyExists, 'pods "ok-ready" already exists'),
    ],
)
def test_a_recorded_refusal_is_named_and_keeps_the_servers_own_words(
    case: str, error: type[DropscoreError], sentence: str
) -> None:
    recorded = REFUSALS[case]
    body = json.dumps(recorded["body"]).encode()
    refused = refusal("lab", POST, recorded["http_status"], body, recorded["reason"])
    assert type(refused) is error
    assert sentence in refused.summary


def test_every_recorded_refusal_is_tested() -> None:
    marks: Any = test_a_recorded_refusal_is_named_and_keeps_the_servers_own_words.pytestmark  # type: ignore[attr-defined]
    assert {case for case, *_ in marks[0].args[1]} == set(REFUSALS)


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', PodRefused),
        (400, "Pod in version v1 cannot be handled", PodRefused),
        (409, "Operation cannot be fulfilled: the UID in the precondition does not match", ClusterUnreachable),
        (410, "too old resource version: 1 (2)", Expired),
        (429, "Too many requests, please try again later.", ClusterUnreachable),
        (500, "etcdserver: leader changed", ClusterUnreachable),
        (503, "apiserver is shutting down", ClusterUnreachable),
    ],
)
def test_other_refusals_are_named_by_what_can_be_done(status: int, message: str, error: type[DropscoreError]) -> None:
    body = json.dumps({"kind": "Status", "message": message, "reason": "Whatever"})
    refused = refusal("lab", POST, status, body, "reason")
    assert type(refused) is error
    assert message in refused.summary


def quota_refusal(requested: str, limited: str) -> DropscoreError:
    message = f'pods "x" is forbidden: exceeded quota: q, requested: {requested}, used: {limited}, limited: {limited}'
    return refusal("lab", POST, 403, json.dumps({"message": message, "reason": "Forbidden"}), "Forbidden")


@pytest.mark.parametrize("name", ["pods", "count/pods", "requests.cpu", "limits.memory"])
def test_a_quota_of_nothing_is_a_pause_not_a_verdict(name: str) -> None:
    """As somebody stops a namespace for its maintenance: the file waits until it has room again."""
    refused = quota_refusal(f"{name}=1", f"{name}=0")
    assert isinstance(refused, QuotaExceeded)
    assert "paused the namespace" in refused.summary
    assert f"limited: {name}=0" in refused.summary
    assert "until somebody gives the namespace's ResourceQuota room" in refused.remedy


@pytest.mark.parametrize(
    ("requested", "limited"),
    [("requests.nvidia.com/gpu=1", "requests.nvidia.com/gpu=0"), ("pods=1,requests.cpu=8", "pods=0,requests.cpu=4")],
)
def test_what_no_waiting_helps_is_a_verdict_even_in_a_pause(requested: str, limited: str) -> None:
    assert isinstance(quota_refusal(requested, limited), PodRefused)


def test_what_is_lacking_is_told_apart_by_requests_and_limits_and_by_one_name_each() -> None:
    message = "exceeded quota: q, requested: count/pods=1,cpu=2,limits.cpu=3, used: count/pods=1,cpu=2,limits.cpu=4, "
    assert lacking(message + "limited: count/pods=1,cpu=3,limits.cpu=4") == {
        "pods": 1,
        "requests.cpu": 1,
        "limits.cpu": 3,
    }


@pytest.mark.parametrize(
    ("body", "said"), [(b"<html>502</html>", "<html>502</html>"), ("", "Bad Gateway"), ("[1]", "[1]"), (None, "Bad")]
)
def test_an_answer_that_is_no_status_of_kubernetes_is_quoted(body: Any, said: str) -> None:
    refused = refusal("lab", LIST, 502, body, "Bad Gateway")
    assert isinstance(refused, ClusterUnreachable)
    assert said in refused.summary
