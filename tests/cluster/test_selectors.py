"""Label and field selectors."""

from __future__ import annotations

import pytest

from tests.cluster.client import Namespace, Refused
from tests.cluster.manifests import SLEEP, phase, pod

OBJECTS = {
    "a": {"color": "red", "size": "1"},
    "b": {"color": "blue", "size": "2"},
    "c": {"color": "red", "example.com/flag": ""},
    "d": {},
}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("color=red", "ac"),
        ("color==blue", "b"),
        ("color!=red", "bd"),
        ("color=red,size=1", "a"),
        ("color in (red, blue)", "abc"),
        ("color notin (red)", "bd"),
        ("size", "ab"),
        ("!size", "cd"),
        ("example.com/flag=", "c"),
        ("color in (red),!size", "c"),
        ("color=green", ""),
        ("", "abcd"),
    ],
)
def test_label_selectors(namespace: Namespace, selector: str, names: str) -> None:
    for name, labels in OBJECTS.items():
        namespace.create("services", _service(name, labels))
    assert namespace.names("services", labelSelector=selector) == set(names)


def _service(name: str, labels: dict[str, str]) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 80}]}}


def test_a_selector_that_cannot_be_read_is_refused(namespace: Namespace) -> None:
    with pytest.raises(Refused) as refused:
        namespace.find("services", labelSelector="color in red")
    assert refused.value.http_status == 400


def test_field_selectors(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("runs", image, SLEEP))
    namespace.create("pods", pod("ended", image, "pass"))
    namespace.wait("pods", "runs", phase("Running"))
    namespace.wait("pods", "ended", phase("Succeeded"))
    assert namespace.names("pods", fieldSelector="metadata.name=runs") == {"runs"}
    assert namespace.names("pods", fieldSelector="status.phase=Running") == {"runs"}
    assert namespace.names("pods", fieldSelector="status.phase!=Running") == {"ended"}
    assert namespace.names("pods", fieldSelector="status.phase!=Running,metadata.name=runs") == set()
    about = namespace.find("events", fieldSelector="involvedObject.kind=Pod,involvedObject.name=ended")["items"]
    assert {"Scheduled", "Created", "Started"} <= {event["reason"] for event in about}
    assert {event["involvedObject"]["name"] for event in about} == {"ended"}


def test_a_field_that_is_no_selector_is_refused(namespace: Namespace) -> None:
    with pytest.raises(Refused, match=r"field label not supported: spec.containers") as refused:
        namespace.find("pods", fieldSelector="spec.containers=a")
    assert refused.value.http_status == 400


def test_delete_collection_deletes_what_is_selected(namespace: Namespace) -> None:
    for name, labels in OBJECTS.items():
        namespace.create("configmaps", {"metadata": {"name": name, "labels": labels}})
    namespace.client.call("DELETE", namespace.path("configmaps"), query={"labelSelector": "color=red"})
    namespace.wait_gone("configmaps", "a")
    # A real cluster has one of its own in each namespace.
    assert namespace.names("configmaps") & OBJECTS.keys() == {"b", "d"}
