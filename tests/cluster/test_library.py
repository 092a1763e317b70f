"""The ``kubernetes`` package's own classes understand what the cluster answers, as production uses them."""

from __future__ import annotations

import pytest
from kubernetes import watch
from kubernetes.client import CoreV1Api, CustomObjectsApi, NetworkingV1Api
from kubernetes.client.exceptions import ApiException

from tests.cluster.client import Namespace
from tests.cluster.conftest import Cluster
from tests.cluster.manifests import gateway, ingress, model, route, service

GATEWAY_API = ("gateway.networking.k8s.io", "v1")


def test_a_pod_from_its_making_to_its_end(cluster: Cluster, namespace: Namespace) -> None:
    core, name = CoreV1Api(cluster.client.api), namespace.name
    created = core.create_namespaced_pod(name, model("a", cluster.image))
    assert created.metadata.uid
    phases = []
    stream = watch.Watch().stream(
        core.list_namespaced_pod, name, field_selector="metadata.name=a", timeout_seconds=30, _request_timeout=40
    )
    for event in stream:
        phases.append(event["object"].status.phase)
        statuses = event["object"].status.container_statuses
        if statuses and statuses[0].ready:
            break
    assert phases[-1] == "Running"
    # Some versions (36.0) give the text of a bytes object, "b'…'", for what they decode themselves.
    assert core.read_namespaced_pod_log("a", name, _preload_content=False).data.startswith(b"pid ")
    events = core.list_namespaced_event(name, field_selector="involvedObject.name=a")
    assert {"Scheduled", "Started"} <= {event.reason for event in events.items}
    assert core.list_namespaced_pod(name, label_selector="app=a").items[0].spec.node_name
    core.delete_namespaced_pod("a", name, grace_period_seconds=0)
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod("a", name)
    assert refused.value.status == 404


def test_services_and_routes(cluster: Cluster, namespace: Namespace) -> None:
    name = namespace.name
    core, networking = CoreV1Api(cluster.client.api), NetworkingV1Api(cluster.client.api)
    assert core.create_namespaced_service(name, service("a", "a")).spec.cluster_ip
    assert core.delete_namespaced_service("a", name, _preload_content=False).status == 200
    networking.create_namespaced_ingress(name, ingress("a", "/library", "a"))
    networking.delete_namespaced_ingress("a", name)
    assert networking.list_namespaced_ingress(name).items == []
    if cluster.gateway_class is None:
        pytest.skip("no Gateway API here")
    custom = CustomObjectsApi(cluster.client.api)
    custom.create_namespaced_custom_object(*GATEWAY_API, name, "gateways", gateway("g", cluster.gateway_class))
    made = custom.create_namespaced_custom_object(*GATEWAY_API, name, "httproutes", route("r", "g", "/library", "a"))
    assert made["metadata"]["name"] == "r"
    listed = custom.list_namespaced_custom_object(*GATEWAY_API, name, "httproutes")
    assert [one["kind"] for one in listed["items"]] == ["HTTPRoute"]
    custom.delete_namespaced_custom_object(*GATEWAY_API, name, "httproutes", "r")


def test_refusals_are_exceptions(cluster: Cluster, namespace: Namespace) -> None:
    with pytest.raises(ApiException) as refused:
        CoreV1Api(cluster.client.api).create_namespaced_pod(namespace.name, model("Bad_Name", cluster.image))
    assert refused.value.status == 422
    assert "is invalid" in refused.value.body
