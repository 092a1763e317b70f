"""Pods of several containers: sidecars and init containers, as a mesh or an agent puts them beside a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.client import KubeObject, Namespace, Refused
from tests.cluster.conftest import Cluster
from tests.cluster.embedded import EmbeddedCluster
from tests.cluster.manifests import SERVER, SLEEP, is_ready, phase, pod
from tests.cluster.recorded import Comparison, load

SIDECARS = "an init container with restartPolicy Always"
MEBIBYTES = {"memory": "64Mi"}


def container(name: str, image: str, *command: str, **more: Any) -> KubeObject:
    return {"name": name, "image": image, "command": list(command), **more}


def python(name: str, image: str, code: str, **more: Any) -> KubeObject:
    return container(name, image, "python3", "-u", "-c", code, **more)


def two(image: str, sidecar: KubeObject, model: KubeObject, **spec: Any) -> KubeObject:
    return pod("a", image, containers=[sidecar, model], **spec)


def states(obj: KubeObject) -> dict[str, str]:
    """What each container does: `waiting`, `running` or its exit code."""
    told = [
        *(obj["status"].get("containerStatuses") or []),
        *(obj["status"].get("initContainerStatuses") or []),
    ]
    return {
        one["name"]: str(entry.get("exitCode", kind)) for one in told for kind, entry in one.get("state", {}).items()
    }


def are(**wanted: str) -> Callable[[KubeObject], bool]:
    return lambda obj: states(obj) == {name.replace("_", "-"): state for name, state in wanted.items()}


# What is in the pod, and the states that were recorded.
CASES: dict[str, tuple[Callable[[str], KubeObject], Callable[[KubeObject], bool]]] = {
    "sidecar-ended-0": (
        lambda image: two(image, container("istio-proxy", image, "sleep", "1"), python("model", image, SERVER)),
        are(istio_proxy="0", model="running"),
    ),
    "sidecar-model-crashed": (
        lambda image: two(
            image, container("istio-proxy", image, "sleep", "60"), python("model", image, "raise SystemExit(17)")
        ),
        are(istio_proxy="running", model="17"),
    ),
    "sidecar-model-oom": (
        lambda image: two(
            image,
            container("istio-proxy", image, "sleep", "60"),
            python(
                "model",
                image,
                "x = bytearray(400 * 2**20); import time; time.sleep(60)",
                resources={"requests": MEBIBYTES, "limits": MEBIBYTES},
            ),
        ),
        are(istio_proxy="running", model="137"),
    ),
    "init-failed": (
        lambda image: pod(
            "a",
            image,
            containers=[python("model", image, SERVER)],
            initContainers=[container("vault-agent", image, "sh", "-c", "exit 3")],
        ),
        are(vault_agent="3", model="waiting"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_containers_side_by_side_look_as_recorded(cluster: Cluster, namespace: Namespace, case: str) -> None:
    manifest, recorded_state = CASES[case]
    recorded = load(case)
    namespace.create("pods", manifest(cluster.image))
    ended = phase(recorded["status"]["phase"])
    found = namespace.wait("pods", "a", lambda obj: recorded_state(obj) and ended(obj))
    comparison = Comparison(recorded, found, exact=cluster.embedded is not None)
    comparison.status(found["status"])
    comparison.events(namespace.events("a", comparison.has_events))


def test_a_log_needs_a_name_as_soon_as_there_are_two(namespace: Namespace, image: str) -> None:
    talks = "print('hello from', __import__('os').environ['WHO'])"
    names = [python(name, image, talks, env=[{"name": "WHO", "value": name}]) for name in ("istio-proxy", "model")]
    namespace.create("pods", two(image, *names))
    namespace.wait("pods", "a", phase("Succeeded"))
    with pytest.raises(
        Refused, match=r"a container name must be specified for pod a, choose one of: \[istio-proxy model"
    ):
        namespace.log("a")
    assert namespace.log("a", container="model") == "hello from model\n"


def test_init_containers_run_one_after_the_other_before_all_others(namespace: Namespace, image: str) -> None:
    initial = [python(name, image, "print(__import__('time').time())") for name in ("first", "second")]
    last = python("model", image, "print(__import__('time').time())")
    namespace.create("pods", pod("a", image, containers=[last], initContainers=initial))
    namespace.wait("pods", "a", phase("Succeeded"))
    times = [float(namespace.log("a", container=name)) for name in ("first", "second", "model")]
    assert times == sorted(times)


def test_a_sidecar_starts_first_and_does_not_keep_the_pod_alive(
    cluster: Cluster, namespace: Namespace, image: str
) -> None:
    """An init container that is always started anew; what follows waits for its start, not for its end."""
    cluster.needs(29, SIDECARS)
    sidecar = python("proxy", image, SLEEP, restartPolicy="Always")
    model = python("model", image, "print('done')")
    namespace.create("pods", pod("a", image, containers=[model], initContainers=[sidecar]))
    found = namespace.wait("pods", "a", phase("Succeeded"))
    assert states(found)["model"] == "0"
    namespace.wait("pods", "a", lambda obj: states(obj)["proxy"] != "running")


def test_a_sidecar_that_ends_is_started_anew_under_a_model_that_waits_for_it(
    cluster: Cluster, namespace: Namespace, image: str
) -> None:
    cluster.needs(29, SIDECARS)
    sidecar = python("proxy", image, "raise SystemExit(1)", restartPolicy="Always")
    sidecar["startupProbe"] = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
    manifest = pod("a", image, containers=[python("model", image, SERVER)], initContainers=[sidecar])
    namespace.create("pods", manifest)

    def restarted(obj: KubeObject) -> bool:
        return any(one["restartCount"] for one in obj["status"].get("initContainerStatuses") or [])

    found = namespace.wait("pods", "a", restarted)
    assert found["status"]["phase"] == "Pending"
    assert states(found)["model"] == "waiting"


def test_a_gated_pod_is_scheduled_once_its_gates_are_gone(cluster: Cluster, namespace: Namespace, image: str) -> None:
    cluster.needs(27, "scheduling gates")
    namespace.create("pods", pod("a", image, SERVER, schedulingGates=[{"name": "example.com/queue"}]))

    def gated(obj: KubeObject) -> bool:
        return any(one.get("reason") == "SchedulingGated" for one in obj["status"].get("conditions") or [])

    assert "nodeName" not in namespace.wait("pods", "a", gated)["spec"]
    namespace.patch("pods", "a", {"spec": {"schedulingGates": []}})
    namespace.wait("pods", "a", is_ready)


def test_what_a_rule_injects_is_in_the_pods_that_it_names(
    embedded_cluster: EmbeddedCluster, namespace: Namespace, image: str
) -> None:
    """The embedded cluster's stand-in for a mutating webhook."""
    sidecar = json.dumps({"containers": [container("istio-proxy", image, "sleep", "60")], "priority": 7})
    rule = {"metadata": {"name": "mesh", "labels": {"local.dropscore.io/injects": "pods"}}}
    namespace.create("configmaps", rule | {"data": {"image": image, "spec": sidecar}})
    injected = namespace.create("pods", pod("a", image, SERVER))
    assert [one["name"] for one in injected["spec"]["containers"]] == ["main", "istio-proxy"]
    assert injected["spec"]["priority"] == 7
    other = namespace.create("pods", pod("b", "registry.invalid/other:1"))
    assert [one["name"] for one in other["spec"]["containers"]] == ["main"]
