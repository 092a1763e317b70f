"""Watches: what is there, what changes, and where to go on."""

from __future__ import annotations

import pytest

from tests.cluster.client import Namespace, Refused
from tests.cluster.conftest import Cluster

KubeObject = dict[str, object]


def _service(name: str, **labels: str) -> KubeObject:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 80}]}}


def _seen(namespace: Namespace, count: int, **query: str) -> list[tuple[str, str]]:
    """The first events of a watch, as (type, name)."""
    seen: list[tuple[str, str]] = []
    for event in namespace.watch("services", timeout=10, **query):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        if len(seen) == count:
            break
    return seen


def test_without_a_version_it_begins_with_what_is_there(namespace: Namespace) -> None:
    namespace.create("services", _service("a"))
    namespace.create("services", _service("b"))
    assert sorted(_seen(namespace, 2)) == [("ADDED", "a"), ("ADDED", "b")]


def test_it_resumes_where_a_list_has_ended(namespace: Namespace) -> None:
    namespace.create("services", _service("a"))
    version = namespace.find("services")["metadata"]["resourceVersion"]
    namespace.create("services", _service("b"))
    namespace.patch("services", "a", {"metadata": {"labels": {"k": "v"}}})
    namespace.delete("services", "b")
    expected = [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert _seen(namespace, 3, resourceVersion=version) == expected


def test_it_resumes_from_the_version_of_any_event(namespace: Namespace) -> None:
    version = namespace.find("services")["metadata"]["resourceVersion"]
    for name in "abcd":
        namespace.create("services", _service(name))
    versions = []
    for event in namespace.watch("services", timeout=10, resourceVersion=version):
        versions.append(event["object"]["metadata"]["resourceVersion"])
        if len(versions) == 4:
            break
    assert versions == sorted(versions, key=int)
    assert _seen(namespace, 2, resourceVersion=versions[1]) == [("ADDED", "c"), ("ADDED", "d")]


def test_what_happens_while_it_is_open_arrives(namespace: Namespace) -> None:
    namespace.create("services", _service("a"))
    steps = [
        lambda: namespace.create("services", _service("b")),
        lambda: namespace.delete("services", "b"),
    ]
    seen = []
    for event in namespace.watch("services", timeout=10):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        if not steps:
            break
        steps.pop(0)()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b")]


def test_an_object_that_leaves_the_selection_is_deleted_for_it(namespace: Namespace) -> None:
    version = namespace.find("services")["metadata"]["resourceVersion"]
    namespace.create("services", _service("a", color="red"))
    namespace.create("services", _service("b", color="blue"))
    namespace.patch("services", "a", {"metadata": {"labels": {"color": "blue"}}})
    namespace.patch("services", "b", {"metadata": {"labels": {"color": "red"}}})
    seen = _seen(namespace, 3, resourceVersion=version, labelSelector="color=red")
    assert seen == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]


def test_too_old_a_version_is_gone(cluster: Cluster, namespace: Namespace) -> None:
    """A real server says it in the stream, or refuses the request; a client has to list again after both."""
    try:
        events = list(namespace.watch("services", timeout=10, resourceVersion="1"))
        if not events and cluster.embedded is None:
            pytest.skip("an API server forgets nothing in its first minutes")
        status = events[-1]["object"]
        assert events[-1]["type"] == "ERROR"
    except Refused as refused:
        status = refused.status
    assert status["code"] == 410
    assert status["reason"] in ("Expired", "Gone")
    assert "too old resource version: 1" in status["message"]


def test_it_ends_when_its_time_is_over(namespace: Namespace) -> None:
    namespace.create("services", _service("a"))
    events = list(namespace.client.watch(namespace.path("services"), timeoutSeconds=1))
    assert [event["type"] for event in events if event["type"] != "BOOKMARK"] == ["ADDED"]


def test_it_is_of_one_namespace(namespace: Namespace) -> None:
    version = namespace.find("services")["metadata"]["resourceVersion"]
    other = namespace.client.namespace("default")
    name = f"other-{namespace.name}"
    other.create("services", _service(name))
    other.delete("services", name)
    namespace.create("services", _service("mine"))
    assert _seen(namespace, 1, resourceVersion=version) == [("ADDED", "mine")]
