"""The cluster under test: an embedded one, or one of yours.

The suite is one contract for both. `make test` takes the same variables for it as `make demo` (docs/local.md): KUBECONFIG and
CONTEXT of an administrator, ROUTE with the URL where its gateway or its ingress-nginx is reached, and besides IMAGE, an image
with `python3` that the cluster can pull. What has no URL is skipped, and so are what the cluster is too old for and what only
makes sense where pods are processes of this machine.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kubernetes import config

from local.foreign import Foreign
from tests.cluster import embedded
from tests.cluster.client import Client, Namespace
from tests.cluster.embedded import EmbeddedCluster

IMAGE = "python:3-slim"
PATIENCE = 120.0


def pytest_report_header() -> str:
    foreign = Foreign.asked()
    return f"cluster: {foreign.context if foreign else 'embedded'}"


@dataclass(frozen=True)
class Cluster:
    """The cluster under test, as its administrator; `version` is that of Kubernetes, as (1, 33)."""

    client: Client
    version: tuple[int, int]
    image: str
    gateway_url: str | None
    gateway_class: str | None
    ingress_url: str | None
    embedded: EmbeddedCluster | None

    def needs(self, minor: int, what: str) -> None:
        """Skip what came with a later version."""
        if self.version < (1, minor):
            pytest.skip(f"{what} came with Kubernetes 1.{minor}; this is {self.version[0]}.{self.version[1]}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    foreign = Foreign.asked()
    if foreign:
        client = Client(config.new_client_from_config(foreign.kubeconfig, foreign.context), patience=PATIENCE)
        yield Cluster(
            client=client,
            version=_version(client),
            image=os.environ.get("DROPSCORE_IMAGE") or IMAGE,
            gateway_url=foreign.url or None if foreign.route == "gateway" else None,
            gateway_class=_gateway_class(client),
            ingress_url=foreign.url if foreign.route == "ingress" else None,
            embedded=None,
        )
        return
    with embedded.start(tmp_path_factory.mktemp("cluster")) as running:
        client = running.client()
        yield Cluster(
            client=client,
            version=_version(client),
            image=embedded.IMAGE,
            gateway_url=running.gateway_url,
            gateway_class="eg",
            ingress_url=running.gateway_url,
            embedded=running,
        )


def _version(client: Client) -> tuple[int, int]:
    told = client.call("GET", "/version")
    # Some clouds write 1.27+.
    return int(told["major"]), int(re.match(r"\d+", told["minor"])[0])  # type: ignore[index]  # a server that says nothing


def _gateway_class(client: Client) -> str | None:
    """The class of cluster/ where there is one, else the first; None without the Gateway API."""
    response = client.send("GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses")
    if response.status == 404:
        return None
    names = [one["metadata"]["name"] for one in response.json()["items"]]
    return "eg" if "eg" in names else next(iter(names), None)


@pytest.fixture
def embedded_cluster(cluster: Cluster) -> EmbeddedCluster:
    """For tests that look behind the API: at processes, files, the webhook."""
    if cluster.embedded is None:
        pytest.skip("looks behind the API of the embedded cluster")
    return cluster.embedded


@contextmanager
def new_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace with the service account that pods need."""
    name = f"dropscore-test-{uuid.uuid4().hex[:10]}"
    cluster.client.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    namespace = cluster.client.namespace(name)
    wait_for_service_account(cluster, namespace)
    try:
        yield namespace
    finally:
        cluster.client.call("DELETE", f"/api/v1/namespaces/{name}")


def wait_for_service_account(cluster: Cluster, namespace: Namespace) -> None:
    """Until pods can be made in a new namespace. Before 1.24, not even the account was enough: it needed its token."""
    holds = bool if cluster.version >= (1, 24) else (lambda account: account.get("secrets"))
    namespace.wait("serviceaccounts", "default", holds)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with new_namespace(cluster) as made:
        yield made


@pytest.fixture
def image(cluster: Cluster) -> str:
    return cluster.image
