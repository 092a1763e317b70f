"""A cluster: where it is, and the token that it accepts."""

import base64
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
    ClusterNotActive,
    ClusterNotFound,
)
from tests.builders import CLUSTER


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
