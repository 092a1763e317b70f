"""A cluster: where it is, the token it accepts, and what its refusals mean."""

import base64
import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import api as clusters
from scoring.errors import (
    AccessDenied,
    AwsThrottled,
    ClusterAccessDenied,
    ClusterNotActive,
    ClusterNotFound,
    ClusterUnreachable,
    DropscoreError,
    PodRefused,
    QuotaExceeded,
)
from tests.builders import CLUSTER, ROOT

REFUSALS = json.loads((ROOT / "tests/unit/data/refusals.json").read_text())


def presigned(cluster: str = CLUSTER) -> tuple[Any, dict[str, list[str]]]:
    token = clusters.token(cluster)
    prefix, _, encoded = token.partition(".")
    assert prefix == "k8s-aws-v1"
    assert "=" not in encoded
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    return url, parse_qs(url.query)


def test_a_token_is_a_presigned_call_of_the_regional_sts_bound_to_the_cluster() -> None:
    url, query = presigned()
    assert (url.scheme, url.netloc, url.path) == ("https", "sts.us-east-1.amazonaws.com", "/")
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert query["X-Amz-Credential"][0].endswith("/us-east-1/sts/aws4_request")
    assert query["X-Amz-Expires"] == ["60"]


@pytest.mark.parametrize("key", ["a", "ab", "abc"])
def test_a_token_is_not_padded_however_long_it_is(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    presigned()


def test_a_token_of_one_cluster_is_not_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is signed: whoever gets hold of the token can use it on no other cluster."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2026, 11, 22, 10))  # noqa: DTZ001
    signatures = {presigned(name)[1]["X-Amz-Signature"][0] for name in ("one", "two", "one")}
    assert presigned()[1]["X-Amz-Date"] == ["20261122T100000Z"]
    assert len(signatures) == 2


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_a_token_names_the_public_sts_even_when_the_function_calls_another(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:4566")
    assert presigned()[0].netloc == "sts.us-east-1.amazonaws.com"


def test_a_token_names_the_sts_of_its_own_region_and_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    assert presigned()[0].netloc == "sts.cn-north-1.amazonaws.com.cn"


def test_a_token_carries_the_session_of_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    assert presigned()[1]["X-Amz-Security-Token"] == ["session"]


def test_without_credentials_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="no AWS credentials"):
        clusters.token(CLUSTER)


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
        ("not-found-404", clusters.NotFound, 'pods "absent" not found'),
        ("namespace-missing-404", clusters.NotFound, 'namespaces "no-such-namespace" not found'),
        ("conflict-409", clusters.AlreadyExists, 'pods "ok-ready" already exists'),
    ],
)
def test_a_recorded_refusal_is_named_and_keeps_the_servers_own_words(
    case: str, error: type[DropscoreError], sentence: str
) -> None:
    recorded = REFUSALS[case]
    body = json.dumps(recorded["body"]).encode()
    refused = clusters.refusal("lab", POST, recorded["http_status"], body, recorded["reason"])
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
        (410, "too old resource version: 1 (2)", clusters.Expired),
        (429, "Too many requests, please try again later.", ClusterUnreachable),
        (500, "etcdserver: leader changed", ClusterUnreachable),
        (503, "apiserver is shutting down", ClusterUnreachable),
    ],
)
def test_other_refusals_are_named_by_what_can_be_done(status: int, message: str, error: type[DropscoreError]) -> None:
    body = json.dumps({"kind": "Status", "message": message, "reason": "Whatever"})
    refused = clusters.refusal("lab", POST, status, body, "reason")
    assert type(refused) is error
    assert message in refused.summary


def quota_refusal(requested: str, limited: str) -> DropscoreError:
    message = f'pods "x" is forbidden: exceeded quota: q, requested: {requested}, used: {limited}, limited: {limited}'
    return clusters.refusal("lab", POST, 403, json.dumps({"message": message, "reason": "Forbidden"}), "Forbidden")


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


@pytest.mark.parametrize(
    ("body", "said"), [(b"<html>502</html>", "<html>502</html>"), ("", "Bad Gateway"), ("[1]", "[1]"), (None, "Bad")]
)
def test_an_answer_that_is_no_status_of_kubernetes_is_quoted(body: Any, said: str) -> None:
    refused = clusters.refusal("lab", LIST, 502, body, "Bad Gateway")
    assert isinstance(refused, ClusterUnreachable)
    assert said in refused.summary


@pytest.fixture
def eks(mocked_aws: None) -> Any:
    client = aws.client("eks")
    client.create_cluster(
        name=CLUSTER, roleArn="arn:aws:iam::000000000000:role/eks", resourcesVpcConfig={"subnetIds": ["subnet-1"]}
    )
    return client


def test_a_cluster_is_described_by_its_endpoint_and_authority(eks: Any) -> None:
    answer = eks.describe_cluster(name=CLUSTER)["cluster"]
    found = clusters.describe(CLUSTER, eks)
    assert (found.name, found.url) == (CLUSTER, answer["endpoint"])
    assert found.ca == base64.b64decode(answer["certificateAuthority"]["data"])


def test_a_cluster_that_eks_does_not_know_is_not_found(eks: Any) -> None:
    with pytest.raises(ClusterNotFound, match="EKS has no cluster elsewhere in this account and region"):
        clusters.describe("elsewhere", eks)


class Eks:
    """EKS as moto cannot be: a cluster in any status, or a refusal."""

    def __init__(self, status: str = "", code: str = "") -> None:
        self._status, self._code = status, code

    def describe_cluster(self, name: str) -> dict[str, Any]:
        if self._code:
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "DescribeCluster")
        authority = {"data": base64.b64encode(b"pem").decode()}
        return {"cluster": {"status": self._status, "endpoint": "https://x", "certificateAuthority": authority}}


@pytest.mark.parametrize("status", ["CREATING", "DELETING", "FAILED", "PENDING"])
def test_a_cluster_that_does_not_serve_is_not_active(status: str) -> None:
    with pytest.raises(ClusterNotActive, match=f"is {status}, not ACTIVE"):
        clusters.describe(CLUSTER, Eks(status))


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING"])
def test_a_cluster_serves_while_it_is_updated(status: str) -> None:
    assert clusters.describe(CLUSTER, Eks(status)).ca == b"pem"


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDeniedException", AccessDenied), ("ServerException", AwsThrottled)]
)
def test_what_eks_refuses_is_named(code: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="eks:DescribeCluster of"):
        clusters.describe(CLUSTER, Eks(code=code))


def test_paths_are_those_of_the_kubernetes_api() -> None:
    assert clusters.namespace_path("a") == "/api/v1/namespaces/a"
    assert clusters.namespace_path("a", "networking.k8s.io") == "/apis/networking.k8s.io/v1/namespaces/a"
