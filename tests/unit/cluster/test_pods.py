"""The pod of an attempt: what is asked for, and that launching and tearing down may be repeated."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from scoring.cluster import manifest, pods
from scoring.cluster.refusals import NotFound
from scoring.errors import ClusterAccessDenied, PodRefused, QuotaExceeded
from scoring.settings import ClusterSettings
from tests.builders import (
    ATTEMPT_ID,
    CLUSTER,
    EXECUTION,
    FILE_ID,
    GATEWAY_URL,
    NAMESPACE,
    POD_NAME,
    FakeApi,
    path,
    request,
    running,
)

URI = "s3://dropscore-input/incoming/2026/loans.csv"
LABELS = {
    "app.kubernetes.io/managed-by": "dropscore",
    "dropscore.io/attempt": ATTEMPT_ID,
    "dropscore.io/file": FILE_ID,
    "dropscore.io/pod": POD_NAME,
}
LABELS_BEFORE = {name: value for name, value in LABELS.items() if name != "dropscore.io/pod"}


def attempt(**changes: Any) -> manifest.Attempt:
    return manifest.Attempt(ATTEMPT_ID, FILE_ID, EXECUTION, URI, request(**changes))


def cluster(**changes: Any) -> ClusterSettings:
    return ClusterSettings(CLUSTER, (NAMESPACE,), **{"url": GATEWAY_URL} | changes)


def test_launching_makes_pod_service_and_route_owned_by_the_pod() -> None:
    api = FakeApi()
    launched = pods.launch(api, attempt(), cluster())
    pod = api.objects[path("pods")]
    assert launched == {
        "name": POD_NAME,
        "namespace": NAMESPACE,
        "uid": pod["metadata"]["uid"],
        "created": "2026-11-22T10:00:00Z",
        "replaces": 0,
        "size": {"pods": 1, "services": 1, "requests.cpu": 0.5, "requests.memory": 2**30, "limits.memory": 2**30},
    }
    for kind in ("services", "httproutes"):
        (owner,) = api.objects[path(kind)]["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", POD_NAME, pod["metadata"]["uid"])


def test_a_pod_is_as_large_as_it_was_admitted_and_not_as_it_was_asked_for() -> None:
    """A mesh has put its proxy beside the model."""

    class Meshed(FakeApi):
        def _create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            created = super()._create(path, copy.deepcopy(body))
            if body["kind"] == "Pod":
                proxy = {"name": "istio-proxy", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}}}
                created["spec"]["containers"].append(proxy)
            return created

    api = Meshed()
    launched = pods.launch(api, attempt(), cluster())
    assert {name: launched["size"][name] for name in ("requests.cpu", "limits.cpu")} == {
        "requests.cpu": 0.6,
        "limits.cpu": 2,
    }
    assert pods.launch(api, attempt(), cluster()) == launched, "adopted"


@pytest.mark.parametrize(
    ("route", "kinds"),
    [
        ("gateway", {"pods", "services", "httproutes"}),
        ("ingress", {"pods", "services", "ingresses"}),
        ("pod_ip", {"pods"}),
    ],
)
def test_the_route_is_the_one_that_the_cluster_is_set_to(route: str, kinds: set[str]) -> None:
    api = FakeApi()
    pods.launch(api, attempt(), cluster(route=route))
    assert {found.split("/")[-2] for found in api.objects} == kinds


@pytest.mark.parametrize("broke_after", range(4))
def test_launching_again_adopts_whatever_is_there_and_makes_the_rest(broke_after: int) -> None:
    """A function may be killed after any of its calls."""
    first = FakeApi()
    pods.launch(first, attempt(), cluster())
    again = FakeApi()
    again.objects = dict(list(first.objects.items())[:broke_after])
    launched = pods.launch(again, attempt(), cluster())
    assert again.objects.keys() == first.objects.keys()
    assert launched["uid"] == again.objects[path("pods")]["metadata"]["uid"]


def test_a_pod_from_before_an_update_of_the_stack_is_found_by_its_service() -> None:
    """It has no label of its own yet."""
    api = FakeApi(pods=running(creationTimestamp="2026-11-22T10:00:00Z", labels=LABELS_BEFORE))
    pods.launch(api, attempt(), cluster())
    selector = api.objects[path("services")]["spec"]["selector"]
    assert selector.items() <= LABELS_BEFORE.items()
    assert selector["dropscore.io/attempt"] == ATTEMPT_ID


def test_what_an_earlier_pod_of_the_attempt_left_is_not_adopted() -> None:
    api = FakeApi()
    pods.launch(api, attempt(), cluster())
    api.objects[path("pods")]["metadata"]["uid"] = "another"
    with pytest.raises(pods.Leftover, match=f"A Service {POD_NAME} of an earlier pod is still being removed"):
        pods.launch(api, attempt(), cluster())


def test_what_goes_while_it_is_looked_at_is_a_leftover_too() -> None:
    api = FakeApi(pods=running(labels=LABELS))
    api.refusals[f"GET {path('pods')}"] = NotFound("gone")
    with pytest.raises(pods.Leftover):
        pods.launch(api, attempt(), cluster())


def test_somebody_elses_object_of_the_same_name_is_not_adopted() -> None:
    with pytest.raises(pods.Leftover):
        pods.launch(FakeApi(pods=running(labels={})), attempt(), cluster())


def test_a_namespace_or_gateway_that_is_not_there_is_the_administrators_to_make() -> None:
    api = FakeApi()
    api.refusals["POST"] = NotFound('namespaces "dropscore" not found')
    with pytest.raises(PodRefused) as refused:
        pods.launch(api, attempt(), cluster())
    assert refused.value.summary.endswith('cannot take a Pod here: namespaces "dropscore" not found')
    assert "apply cluster/" in refused.value.remedy


def test_a_full_namespace_is_told_as_it_is() -> None:
    api = FakeApi()
    api.refusals["POST"] = QuotaExceeded("full")
    with pytest.raises(QuotaExceeded):
        pods.launch(api, attempt(), cluster())


@pytest.mark.parametrize("route", ["gateway", "ingress", "pod_ip"])
def test_tearing_down_leaves_nothing_of_any_launch_and_may_be_repeated(route: str) -> None:
    api = FakeApi()
    for lost_pods in range(2):
        pods.launch(api, replace(attempt(), lost_pods=lost_pods), cluster(route=route))
    deleted = pods.tear_down(api, NAMESPACE, ATTEMPT_ID)
    assert not api.objects
    assert deleted[:2] == [f"pods/{POD_NAME}", f"pods/{POD_NAME}-1"], "the pods own all the rest"
    assert pods.tear_down(api, NAMESPACE, ATTEMPT_ID) == []


@pytest.mark.parametrize("label", ["dropscore.io/attempt", "app.kubernetes.io/managed-by"])
def test_tearing_down_touches_nobody_elses_object(label: str) -> None:
    api = FakeApi(pods=running(labels=LABELS | {label: "another"}))
    assert pods.tear_down(api, NAMESPACE, ATTEMPT_ID) == []
    assert api.objects


def test_tearing_down_deletes_the_very_object_that_it_looked_at() -> None:
    """Between the look and the delete another one may have come under the name."""
    bodies: list[Any] = []

    class Recording(FakeApi):
        def call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> dict[str, Any]:
            bodies.extend([body] if method == "DELETE" else [])
            return super().call(method, path, query=query, body=body)

    pods.tear_down(Recording(pods=running(labels=LABELS)), NAMESPACE, ATTEMPT_ID)
    assert [body["preconditions"] for body in bodies] == [{"uid": "uid-1"}]


def test_tearing_down_needs_no_kind_of_route_that_the_cluster_does_not_know() -> None:
    api = FakeApi(pods=running(labels=LABELS))
    for kind in ("httproutes", "ingresses"):
        api.refusals[f"GET {path(kind).rpartition('/')[0]}"] = NotFound("the server could not find the resource")
    assert pods.tear_down(api, NAMESPACE, ATTEMPT_ID) == [f"pods/{POD_NAME}"]


def test_what_is_gone_before_it_is_deleted_is_no_failure() -> None:
    api = FakeApi(pods=running(labels=LABELS))
    api.refusals["DELETE"] = NotFound("gone")
    assert pods.tear_down(api, NAMESPACE, ATTEMPT_ID) == []


def test_tearing_down_says_so_when_it_may_not() -> None:
    api = FakeApi(pods=running(labels=LABELS))
    api.refusals["DELETE"] = ClusterAccessDenied("no")
    with pytest.raises(ClusterAccessDenied):
        pods.tear_down(api, NAMESPACE, ATTEMPT_ID)


def test_attempts_are_those_that_have_a_pod_of_this_stack() -> None:
    ours = {"dropscore.io/execution": "arn:ours:1"}
    api = FakeApi(pods=running(labels=LABELS, annotations=ours))
    api.put("pods", running(name="second", labels=LABELS, annotations=ours))
    api.put("pods", running(name="other", labels=LABELS | {"dropscore.io/attempt": "other"}, annotations=ours))
    theirs = {"dropscore.io/execution": "arn:theirs:1"}
    api.put("pods", running(name="theirs", labels=LABELS | {"dropscore.io/attempt": "theirs"}, annotations=theirs))
    api.put("pods", running(name="unmarked", labels=LABELS | {"dropscore.io/attempt": "unmarked"}))
    api.put("pods", running(name="stranger", labels={"dropscore.io/attempt": "x"}, annotations=ours))
    api.put("pods", running(name="by-hand", labels={"app.kubernetes.io/managed-by": "dropscore"}, annotations=ours))
    assert pods.attempts(api, NAMESPACE, "arn:ours:") == {ATTEMPT_ID, "other"}
