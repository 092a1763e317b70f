"""The scheduler: what waits for room, and starts when there is some."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.client import MERGE_PATCH, Client, Namespace
from tests.cluster.conftest import Cluster
from tests.cluster.manifests import SLEEP, pod
from tests.cluster.test_pod_states import is_unschedulable


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """A node's name; the label that a test gives it is taken off again."""
    name = cluster.client.call("GET", "/api/v1/nodes")["items"][0]["metadata"]["name"]
    yield name
    _label(cluster.client, name, None)


def _label(client: Client, node: str, value: str | None) -> None:
    patch = {"metadata": {"labels": {"dropscore.io/test": value}}}
    client.call("PATCH", f"/api/v1/nodes/{node}", patch, content_type=MERGE_PATCH)


def test_what_waits_starts_when_there_is_room(cluster: Cluster, namespace: Namespace, image: str, node: str) -> None:
    namespace.create("pods", pod("a", image, SLEEP, nodeSelector={"dropscore.io/test": namespace.name}))
    waiting = namespace.wait("pods", "a", is_unschedulable)
    assert waiting["status"]["phase"] == "Pending"
    assert "nodeName" not in waiting["spec"]
    _label(cluster.client, node, namespace.name)
    started = namespace.wait("pods", "a", lambda obj: obj["status"]["phase"] == "Running", timeout=60)
    assert started["spec"]["nodeName"] == node
    scheduled = [one for one in started["status"]["conditions"] if one["type"] == "PodScheduled"]
    assert [one["status"] for one in scheduled] == ["True"]
    assert "reason" not in scheduled[0]


def test_room_is_what_pods_have_not_asked_for(cluster: Cluster, namespace: Namespace, image: str) -> None:
    if cluster.embedded is None:
        pytest.skip("needs a node of its own")
    # The embedded node of the tests has 64 cpus.
    big = {"requests": {"cpu": "40"}}
    namespace.create("pods", pod("first", image, SLEEP, resources=big))
    namespace.wait("pods", "first", lambda obj: obj["spec"].get("nodeName"))
    namespace.create("pods", pod("second", image, SLEEP, resources=big))
    namespace.wait("pods", "second", is_unschedulable)
    namespace.create("pods", pod("small", image, SLEEP, resources={"requests": {"cpu": "1"}}))
    namespace.wait("pods", "small", lambda obj: obj["spec"].get("nodeName"))
    namespace.delete("pods", "first")
    namespace.wait("pods", "second", lambda obj: obj["spec"].get("nodeName"))


def test_several_reasons_are_given_together(cluster: Cluster, namespace: Namespace, image: str) -> None:
    requests = {"cpu": "1k", "memory": "10Ti"}
    namespace.create("pods", pod("a", image, resources={"requests": requests}))
    waiting = namespace.wait("pods", "a", is_unschedulable)
    message = waiting["status"]["conditions"][0]["message"]
    assert "Insufficient cpu" in message
    assert "Insufficient memory" in message
    if cluster.embedded:
        assert message == "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
