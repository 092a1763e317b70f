"""Quotas: what is refused, and what makes room again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Namespace, Refused
from tests.cluster.manifests import phase, pod, service

REFUSALS = json.loads((Path(__file__).parent / "data" / "refusals.json").read_text())
NOWHERE = {"kubernetes.io/hostname": "no-such-node"}
SMALL = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}


def _quota(namespace: Namespace, **hard: str) -> None:
    names = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    namespace.create("resourcequotas", {"metadata": {"name": "small"}, "spec": {"hard": names}})
    namespace.wait("resourcequotas", "small", lambda quota: quota.get("status", {}).get("used"))


def _used(namespace: Namespace, name: str, amount: str) -> None:
    """Until the quota counts so much: a real cluster counts a little later."""
    namespace.wait("resourcequotas", "small", lambda quota: quota["status"]["used"].get(name) == amount)


def _waiting_pod(name: str, image: str, **resources: Any) -> dict[str, Any]:
    return pod(name, image, nodeSelector=NOWHERE, resources=resources or SMALL)


def _refusal(case: str) -> Any:
    return {key: value for key, value in REFUSALS[case].items() if key != "metadata"}


def _status(refused: Refused) -> Any:
    return {key: value for key, value in refused.status.items() if key != "metadata"}


def test_as_many_pods_as_it_says(namespace: Namespace, image: str) -> None:
    _quota(namespace, pods="1")
    namespace.create("pods", _waiting_pod("first", image))
    _used(namespace, "pods", "1")
    with pytest.raises(Refused) as refused:
        namespace.create("pods", _waiting_pod("second", image))
    assert _status(refused.value) == _refusal("quota-pods-exceeded")
    namespace.delete("pods", "first")
    _used(namespace, "pods", "0")
    namespace.create("pods", _waiting_pod("second", image))


def test_as_much_cpu_as_it_says(namespace: Namespace, image: str) -> None:
    _quota(namespace, requests_cpu="200m")
    with pytest.raises(Refused) as refused:
        namespace.create("pods", _waiting_pod("bigcpu", image, requests={"cpu": "2"}))
    assert _status(refused.value) == _refusal("quota-cpu-exceeded")
    namespace.create("pods", _waiting_pod("a", image))
    _used(namespace, "requests.cpu", "100m")
    namespace.create("pods", _waiting_pod("b", image))
    _used(namespace, "requests.cpu", "200m")
    with pytest.raises(Refused, match=r"requested: requests.cpu=100m, used: requests.cpu=200m, limited:"):
        namespace.create("pods", _waiting_pod("c", image))


def test_who_says_nothing_is_refused(namespace: Namespace, image: str) -> None:
    _quota(namespace, requests_cpu="200m", limits_memory="128Mi")
    with pytest.raises(Refused) as refused:
        namespace.create("pods", pod("noresources", image))
    message = refused.value.message
    # Newer servers name the containers: "must specify limits.memory for: main; requests.cpu for: main".
    message = message.replace(" for: main;", ",").replace(" for: main", "").replace(", ", ",")
    assert (
        message.replace(",requests", ", requests").replace(", requests", ",requests")
        == (REFUSALS["quota-must-specify"]["message"])
    )
    assert refused.value.http_status == 403


def test_several_at_a_time_are_named_in_order(namespace: Namespace, image: str) -> None:
    _quota(namespace, requests_cpu="1", requests_memory="1Gi", pods="5")
    with pytest.raises(Refused) as refused:
        namespace.create("pods", _waiting_pod("a", image, requests={"cpu": "1500m", "memory": "2Gi"}))
    assert refused.value.message == (
        'pods "a" is forbidden: exceeded quota: small, requested: requests.cpu=1500m,requests.memory=2Gi, '
        "used: requests.cpu=0,requests.memory=0, limited: requests.cpu=1,requests.memory=1Gi"
    )


def test_objects_of_any_kind_can_be_counted(namespace: Namespace) -> None:
    _quota(namespace, count__services="1")
    namespace.create("services", service("a", "b"))
    _used(namespace, "count/services", "1")
    with pytest.raises(Refused, match="exceeded quota: small, requested: count/services=1, used: count/services=1"):
        namespace.create("services", service("c", "d"))


def test_a_pod_that_has_ended_makes_room(namespace: Namespace, image: str) -> None:
    _quota(namespace, pods="1", requests_cpu="100m")
    namespace.create("pods", pod("a", image, "pass", resources=SMALL))
    namespace.wait("pods", "a", phase("Succeeded"))
    _used(namespace, "pods", "0")
    namespace.create("pods", _waiting_pod("b", image))
