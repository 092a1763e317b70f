"""The cluster under test: an embedded one, or the real one that KUBECONFIG names.

The suite is one contract for both. On a real cluster it needs an administrator's kubeconfig and

- ``DROPSCORE_TEST_IMAGE``: an image with ``python3`` that the cluster can pull (``python:3-slim`` will do). Without it
  KUBECONFIG is left alone: many a shell names a cluster there on which nobody wants tests;
- ``DROPSCORE_TEST_GATEWAY_URL`` and ``DROPSCORE_TEST_GATEWAY_CLASS``: where gateways of that class are reached;
- ``DROPSCORE_TEST_INGRESS_URL``: where ingresses of the class ``nginx`` are reached.

What has no URL is skipped, and so is what only makes sense where pods are processes of this machine.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kubernetes import config

from tests.cluster import embedded
from tests.cluster.client import Client, Namespace
from tests.cluster.embedded import EmbeddedCluster


def real_kubeconfig() -> str | None:
    """The real cluster's kubeconfig if tests are wanted there."""
    return os.environ.get("KUBECONFIG") if "DROPSCORE_TEST_IMAGE" in os.environ else None


def pytest_report_header() -> str:
    return f"cluster: {real_kubeconfig() or 'embedded'}"


@dataclass(frozen=True)
class Cluster:
    """The cluster under test, as its administrator."""

    client: Client
    image: str
    gateway_url: str | None
    gateway_class: str | None
    ingress_url: str | None
    embedded: EmbeddedCluster | None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    kubeconfig = real_kubeconfig()
    if kubeconfig:
        yield Cluster(
            client=Client(config.new_client_from_config(kubeconfig)),
            image=os.environ["DROPSCORE_TEST_IMAGE"],
            gateway_url=os.environ.get("DROPSCORE_TEST_GATEWAY_URL"),
            gateway_class=os.environ.get("DROPSCORE_TEST_GATEWAY_CLASS"),
            ingress_url=os.environ.get("DROPSCORE_TEST_INGRESS_URL"),
            embedded=None,
        )
        return
    with embedded.start(tmp_path_factory.mktemp("cluster")) as running:
        yield Cluster(
            client=Client(config.new_client_from_config(str(running.kubeconfig))),
            image=embedded.IMAGE,
            gateway_url=running.gateway_url,
            gateway_class="eg",
            ingress_url=running.gateway_url,
            embedded=running,
        )


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
    namespace.wait("serviceaccounts", "default", bool)
    try:
        yield namespace
    finally:
        cluster.client.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with new_namespace(cluster) as made:
        yield made


@pytest.fixture
def image(cluster: Cluster) -> str:
    return cluster.image
