"""Objects through the API: what is filled in, what is refused and how."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Client, Namespace, Refused
from tests.cluster.conftest import Cluster
from tests.cluster.manifests import SLEEP, ingress, pod, route, service

REFUSALS = json.loads((Path(__file__).parent / "data" / "refusals.json").read_text())
DEFAULTS = json.loads((Path(__file__).parent / "data" / "pod-defaults.json").read_text())

NOWHERE = {"kubernetes.io/hostname": "no-such-node"}


def assert_refused_like(expected: dict[str, Any], error: Refused, **names: str) -> None:
    """The same Status as the recorded one, but for the names in it."""
    text = json.dumps(expected)
    for recorded, ours in names.items():
        text = text.replace(recorded.replace("_", "-"), ours)
    wanted = json.loads(text)
    if "details" not in wanted and "details" in error.status:
        # Newer servers add empty details.
        assert not error.status["details"]
        wanted["details"] = error.status["details"]
    assert error.status == wanted
    assert error.http_status == wanted["code"]


def test_serves_its_version_and_health(cluster: Cluster) -> None:
    version = cluster.client.call("GET", "/version")
    assert version["major"] == "1"
    assert re.fullmatch(r"v1\.\d+\.\d+.*", version["gitVersion"])
    for path in ("/healthz", "/readyz", "/livez"):
        assert cluster.client.open("GET", path).read() == b"ok"


def test_a_new_object_gets_its_metadata(namespace: Namespace) -> None:
    created = namespace.create("configmaps", {"metadata": {"name": "a", "uid": "mine"}, "data": {"k": "v"}})
    assert created["kind"] == "ConfigMap"
    metadata = created["metadata"]
    assert metadata["namespace"] == namespace.name
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["resourceVersion"].isdecimal()
    assert namespace.get("configmaps", "a") == created


def test_generate_name_gives_each_its_own(namespace: Namespace) -> None:
    names = {
        namespace.create("configmaps", {"metadata": {"generateName": "one-of-many-"}})["metadata"]["name"]
        for _ in range(5)
    }
    assert len(names) == 5
    assert all(re.fullmatch(r"one-of-many-[a-z0-9]{5}", name) for name in names)


def test_a_pod_gets_the_defaults_of_a_real_api_server(namespace: Namespace, image: str) -> None:
    probe = {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1}
    created = namespace.create(
        "pods",
        {
            "metadata": {"name": "a"},
            "spec": {
                "nodeSelector": NOWHERE,
                "containers": [
                    {"name": "main", "image": "k8s.local/a:1", "ports": [{"containerPort": 1}], "readinessProbe": probe}
                ],
            },
        },
    )
    # What the recorded pod was given by hand, or by its node.
    expected = DEFAULTS | {"nodeSelector": NOWHERE, "terminationGracePeriodSeconds": 30}
    del expected["nodeName"], expected["volumes"]
    ours = created["spec"]
    ours.pop("volumes", None)
    for key in set(expected) - {"containers"}:
        assert ours[key] == expected[key], key
    recorded, container = dict(expected["containers"][0]), ours["containers"][0]
    container.pop("volumeMounts", None)
    del recorded["volumeMounts"]
    recorded |= {"image": "k8s.local/a:1", "ports": [{"containerPort": 1, "protocol": "TCP"}]}
    assert container == recorded
    assert created["status"]["phase"] == "Pending"
    assert created["status"]["qosClass"] == "BestEffort"


@pytest.mark.parametrize(
    ("image_name", "policy"),
    [("a/b:1", "IfNotPresent"), ("a/b", "Always"), ("a/b:latest", "Always"), ("host:5000/b", "Always")],
)
def test_the_pull_policy_follows_the_tag(namespace: Namespace, image_name: str, policy: str) -> None:
    created = namespace.create("pods", pod("a", image_name, nodeSelector=NOWHERE))
    assert created["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_default_to_limits(namespace: Namespace, image: str) -> None:
    limits = {"cpu": "1", "memory": "64Mi"}
    created = namespace.create("pods", pod("a", image, resources={"limits": limits}, nodeSelector=NOWHERE))
    assert created["spec"]["containers"][0]["resources"]["requests"] == limits
    assert created["status"]["qosClass"] == "Guaranteed"


def test_a_service_gets_its_defaults(namespace: Namespace) -> None:
    spec = namespace.create("services", service("a", "b"))["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["ports"] == [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    assert re.fullmatch(r"[0-9.]+|[0-9a-f:]+", spec["clusterIP"])
    assert spec["clusterIPs"] == [spec["clusterIP"]]


def test_not_found(namespace: Namespace) -> None:
    with pytest.raises(Refused) as refused:
        namespace.get("pods", "absent")
    assert_refused_like(REFUSALS["not-found-404"], refused.value)


def test_not_found_names_the_group(namespace: Namespace) -> None:
    with pytest.raises(Refused) as refused:
        namespace.get("ingresses", "absent")
    assert refused.value.message == 'ingresses.networking.k8s.io "absent" not found'
    assert refused.value.status["details"] == {"name": "absent", "group": "networking.k8s.io", "kind": "ingresses"}


def test_a_name_is_taken_once(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("ok-ready", image, nodeSelector=NOWHERE))
    with pytest.raises(Refused) as refused:
        namespace.create("pods", pod("ok-ready", image, nodeSelector=NOWHERE))
    assert_refused_like(REFUSALS["conflict-409"], refused.value)


def test_a_namespace_has_to_exist(cluster: Cluster, image: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.client.namespace("no-such-namespace").create("pods", pod("a", image))
    assert_refused_like(REFUSALS["namespace-missing-404"], refused.value)


def test_a_name_has_a_form(namespace: Namespace, image: str) -> None:
    with pytest.raises(Refused) as refused:
        namespace.create("pods", pod("Bad_Name", image))
    assert_refused_like(REFUSALS["invalid-pod-422"], refused.value)


@pytest.mark.parametrize(
    ("plural", "manifest", "message"),
    [
        ("pods", pod("a" * 254, "i"), r"metadata.name: Invalid value: .*: must be no more than 253 (characters|bytes)"),
        ("pods", {"metadata": {}, "spec": {}}, r"name or generateName is required"),
        ("pods", {"metadata": {"name": "a"}, "spec": {"containers": []}}, r"spec.containers: Required value"),
        ("pods", pod("a", ""), r"spec.containers\[0\].image: Required value"),
        ("pods", pod("a", "i", restartPolicy="Sometimes"), r'spec.restartPolicy: Unsupported value: "Sometimes"'),
        ("pods", pod("a", "i", activeDeadlineSeconds=0), r"spec.activeDeadlineSeconds: Invalid value: 0: must be"),
        ("pods", pod("a", "i", labels={"k": "v" * 64}), r"metadata.labels: Invalid value: .*no more than 63"),
        ("pods", pod("a", "i", labels={"k": "no spaces"}), r"metadata.labels: Invalid value: .*a valid label must be"),
        (
            "pods",
            pod("a", "i", resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            r'spec.containers\[0\].resources.requests: Invalid value: "2": must be less than or equal to cpu limit',
        ),
        ("services", service("1a", "b"), r'Service "1a" is invalid: metadata.name: .*DNS-1035 label'),
        ("services", service("a", "b", ports=[]), r"spec.ports: Required value"),
        ("services", service("a", "b", ports=[{"port": 0}]), r"spec.ports\[0\].port: Invalid value: 0"),
        ("ingresses", ingress("a", "/", "b", kind="Fuzzy"), r"pathType: Unsupported value"),
        ("httproutes", route("a", "g", "no-slash", "b"), r"must be an absolute path and start with '/'"),
    ],
)
def test_invalid_objects_are_refused_with_a_reason(
    cluster: Cluster, namespace: Namespace, plural: str, manifest: dict[str, Any], message: str
) -> None:
    if plural == "httproutes" and not cluster.gateway_url:
        pytest.skip("no Gateway API here")
    with pytest.raises(Refused) as refused:
        namespace.create(plural, manifest)
    assert refused.value.http_status == 422
    assert refused.value.reason == "Invalid"
    assert re.search(message, refused.value.message)
    assert all({"reason", "message", "field"} == set(one) for one in refused.value.status["details"]["causes"])


def test_an_owner_needs_a_uid(namespace: Namespace) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a"}
    with pytest.raises(Refused, match="uid must not be empty") as refused:
        namespace.create("configmaps", {"metadata": {"name": "a", "ownerReferences": [owner | {"uid": ""}]}})
    assert refused.value.http_status == 422


def test_the_url_decides_where_an_object_goes(namespace: Namespace) -> None:
    with pytest.raises(Refused, match="does not match the namespace") as refused:
        namespace.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    assert refused.value.http_status == 400


@pytest.mark.parametrize("path", ["/api/v1/no-such-kind", "/apis/no.such.group/v1/things"])
def test_unknown_kinds(cluster: Cluster, path: str) -> None:
    response = cluster.client.send("GET", path)
    assert response.status == 404


def test_patch_merges_metadata(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, labels={"keep": "1", "drop": "1"}, nodeSelector=NOWHERE))
    patched = namespace.patch("pods", "a", {"metadata": {"labels": {"drop": None, "new": "2"}}})
    assert patched["metadata"]["labels"] == {"keep": "1", "new": "2"}
    assert namespace.get("pods", "a")["metadata"]["labels"] == {"keep": "1", "new": "2"}


def test_an_update_of_an_old_version_is_a_conflict(namespace: Namespace) -> None:
    old = namespace.create("configmaps", {"metadata": {"name": "a"}, "data": {"n": "1"}})
    new = namespace.client.call("PUT", namespace.path("configmaps", "a"), old | {"data": {"n": "2"}})
    assert int(new["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"])
    with pytest.raises(Refused, match="the object has been modified") as refused:
        namespace.client.call("PUT", namespace.path("configmaps", "a"), old | {"data": {"n": "3"}})
    assert (refused.value.http_status, refused.value.reason) == (409, "Conflict")
    assert namespace.get("configmaps", "a")["data"] == {"n": "2"}


def test_what_changes_nothing_makes_no_new_version(namespace: Namespace) -> None:
    first = namespace.create("configmaps", {"metadata": {"name": "a"}, "data": {"n": "1"}})
    again = namespace.patch("configmaps", "a", {"data": {"n": "1"}})
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_pod_cannot_become_another(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, SLEEP, nodeSelector=NOWHERE))
    with pytest.raises(Refused, match="pod updates may not change fields other than") as refused:
        namespace.patch("pods", "a", {"spec": {"hostNetwork": True}})
    assert refused.value.http_status == 422


def test_a_pod_needs_its_service_account(namespace: Namespace, image: str) -> None:
    with pytest.raises(Refused, match=f"error looking up service account {namespace.name}/nobody") as refused:
        namespace.create("pods", pod("a", image, serviceAccountName="nobody"))
    assert refused.value.http_status == 403


def test_lists_are_of_one_namespace_or_of_all(cluster: Cluster, namespace: Namespace) -> None:
    namespace.create("services", service("mine", "b"))
    listed = namespace.find("services")
    assert listed["kind"] == "ServiceList"
    assert [one["metadata"]["name"] for one in listed["items"]] == ["mine"]
    assert int(listed["metadata"]["resourceVersion"]) >= int(listed["items"][0]["metadata"]["resourceVersion"])
    everywhere = cluster.client.call("GET", "/api/v1/services")
    assert (namespace.name, "mine") in {
        (one["metadata"]["namespace"], one["metadata"]["name"]) for one in everywhere["items"]
    }


def test_an_unknown_token_is_nobody(cluster: Cluster) -> None:
    stranger: Client = cluster.client.with_token("no-such-token")
    with pytest.raises(Refused) as refused:
        stranger.call("GET", "/api/v1/pods")
    assert_refused_like(REFUSALS["unauthorized-401"], refused.value)
