"""The stack on a cluster of one's own: another embedded one, which knows nothing of AWS, has that part here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from local import account
from local import stack as embedded
from local.foreign import Foreign
from scoring.cluster import api
from tests import pushed
from tests.cluster import embedded as clusters
from tests.cluster.client import Client
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_scoring import CASES

pytestmark = pytest.mark.stacks
ANYBODY = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [ANYBODY]})
# Which of a pod's calls each group gets by, of these: the same that cluster/rbac.yaml gives it on EKS.
CALLS = {
    "create": ("POST", ""),
    "get": ("GET", "/none"),
    "list": ("GET", ""),
    "watch": ("GET", "?watch=true&fieldSelector=metadata.name%3Dnone&timeoutSeconds=1"),
    "delete": ("DELETE", "/none"),
    "read the log": ("GET", "/none/log"),
}
ALLOWED = {
    "dropscore:launch": {"create", "get", "watch"},
    "dropscore:watch": {"get", "watch", "read the log"},
    "dropscore:tear-down": {"list", "delete"},
    "strangers": set(),
}


@dataclass(frozen=True)
class Ground:
    """A pipeline on a cluster of one's own, and that cluster as its administrator sees it."""

    pipeline: Pipeline
    admin: Client

    def namespaces(self) -> set[str]:
        return {one["metadata"]["name"] for one in self.admin.call("GET", "/api/v1/namespaces")["items"]}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A stack on it; at its end nothing of it may be left there."""
    (tmp_path / "cluster").mkdir()
    with pushed.serve() as registry, clusters.start(tmp_path / "cluster", f"http://{registry.name}") as cluster:
        foreign = Foreign(str(cluster.kubeconfig), "dropscore", registry.name, "gateway", cluster.gateway_url)
        state = tmp_path / "stack"
        try:
            found = Ground(Pipeline(embedded.up(state, foreign=foreign)), cluster.client())
            before = found.namespaces() - {found.pipeline.stack.namespace}
            yield found
        finally:
            embedded.down(state)
        assert found.namespaces() == before
        assert not (state / "foreign.json").exists()


def test_files_are_scored_on_a_cluster_of_ones_own(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, since a stack is started for it."""
    pipeline = ground.pipeline
    assert pipeline.stack.namespace in ground.namespaces() - {"dropscore"}
    executions = {
        f"{protocol}-{number}.csv": (protocol, pipeline.drop(f"foreign/{protocol}-{number}.csv", body, **tags))
        for protocol, (body, tags, _) in CASES.items()
        for number in range(3)
    }
    for protocol, execution in executions.values():
        body, _, columns = CASES[protocol]
        outcome = pipeline.outcome(execution, 240)
        assert outcome.lines[0] == body.splitlines()[0] + b"," + b",".join(columns)
        assert len(outcome.lines) == len(body.splitlines())
        assert outcome.tags["k8s_namespace"] == pipeline.stack.namespace
        pipeline.assert_nothing_left(execution)
    for group, allowed in ALLOWED.items():
        assert granted(pipeline, group, monkeypatch) == allowed, group
    token = sign_in(pipeline, "nobody", monkeypatch)
    assert {ask(pipeline, token, name) for name in CALLS} == {401}, "a role without an access entry"


def sign_in(pipeline: Pipeline, role: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token that a function with a new role would send."""
    iam, sts = pipeline.stack.client("iam"), pipeline.stack.client("sts")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    session = sts.assume_role(RoleArn=arn, RoleSessionName="it")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", account.REGION)
    return api.token(pipeline.stack.cluster)


def granted(pipeline: Pipeline, group: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which calls a role gets by that an access entry puts into the group."""
    role = group.replace(":", "-")
    token = sign_in(pipeline, role, monkeypatch)
    pipeline.stack.client("eks").create_access_entry(
        clusterName=pipeline.stack.cluster,
        principalArn=f"arn:aws:iam::{account.ACCOUNT}:role/{role}",
        kubernetesGroups=[group],
    )
    return {name for name in CALLS if ask(pipeline, token, name) != 403}


def ask(pipeline: Pipeline, token: str, name: str) -> int:
    """The status that one of the calls gets where DescribeCluster says that the cluster is."""
    described = pipeline.stack.client("eks").describe_cluster(name=pipeline.stack.cluster)["cluster"]
    assert described["endpoint"] != pipeline.kubernetes.configuration.host
    method, tail = CALLS[name]
    pod = {"metadata": {"name": "none"}, "spec": {"containers": []}}
    context = api._trusting(api.describe(pipeline.stack.cluster, pipeline.stack.client("eks")).ca)
    with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
        return pool.request(
            method,
            described["endpoint"] + pipeline.path("pods") + tail,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=json.dumps(pod).encode() if method == "POST" else None,
        ).status
