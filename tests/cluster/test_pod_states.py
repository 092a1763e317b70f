"""The ways in which a pod does not run, each compared with a recording from a real cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.client import KubeObject, Namespace
from tests.cluster.conftest import Cluster
from tests.cluster.manifests import SLEEP, is_ready, model, phase, pod, state, waits_for
from tests.cluster.recorded import Comparison, load

# The first process of a container is deaf to SIGTERM unless it asks for it; a process of its own machine is not.
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
CRASH = "import sys; print('loading model'); print('FATAL: weights missing', file=sys.stderr); sys.exit(1)"
NOT_THERE = {"httpGet": {"path": "/health", "port": 9999}, "periodSeconds": 1}
VOLUME = {"name": "v", "secret": {"secretName": "no-such-secret"}}
MOUNTED = {"volumes": [VOLUME], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
CLAIM = {"name": "v", "persistentVolumeClaim": {"claimName": "no-such-claim"}}


def is_unschedulable(obj: KubeObject) -> bool:
    return any(one.get("reason") == "Unschedulable" for one in obj["status"].get("conditions") or [])


def _restarted(obj: KubeObject) -> bool:
    statuses = obj["status"].get("containerStatuses")
    return bool(statuses) and statuses[0]["restartCount"] == 1 and "running" in statuses[0]["state"]


def _runs(obj: KubeObject) -> bool:
    return "running" in state(obj)


# case: what is special about the pod, and the state that was recorded.
CASES: dict[str, tuple[dict[str, Any], Callable[[KubeObject], Any]]] = {
    "image-not-found": ({"image": "registry.invalid/team/no-such-model:9"}, waits_for("ErrImagePull")),
    "image-not-found-no-registry": ({"image": "no-such-model:9"}, waits_for("ErrImagePull")),
    "image-back-off": ({"image": "registry.invalid/team/no-such-model:9"}, waits_for("ImagePullBackOff")),
    "image-invalid-name": ({"image": "Not_A/Valid Image:Name"}, waits_for("InvalidImageName")),
    "image-never-pull": (
        {"image": "registry.invalid/absent:1", "imagePullPolicy": "Never"},
        waits_for("ErrImageNeverPull"),
    ),
    "config-missing": (
        {"code": SLEEP, "envFrom": [{"configMapRef": {"name": "no-such-config"}}]},
        waits_for("CreateContainerConfigError"),
    ),
    "command-not-found": ({"command": ["/no/such/binary"]}, waits_for("CrashLoopBackOff")),
    "crash-exit1": ({"code": CRASH}, waits_for("CrashLoopBackOff")),
    "exit0-always": ({"code": "print('done')"}, waits_for("CrashLoopBackOff")),
    "oom-killed": (
        {
            "code": "x = bytearray(400 * 2**20); import time; time.sleep(60)",
            "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}},
            "restartPolicy": "Never",
        },
        phase("Failed"),
    ),
    "liveness-fails": ({"code": DEAF, "livenessProbe": NOT_THERE | {"failureThreshold": 2}}, _restarted),
    "never-ready": ({"code": SLEEP, "readinessProbe": NOT_THERE}, _runs),
    "cpu-too-big": ({"resources": {"requests": {"cpu": "1k"}}}, is_unschedulable),
    "memory-too-big": ({"resources": {"requests": {"memory": "10Ti"}}}, is_unschedulable),
    "gpu-missing": ({"resources": {"limits": {"nvidia.com/gpu": "100"}}}, is_unschedulable),
    "node-selector": ({"nodeSelector": {"no-such": "label"}}, is_unschedulable),
    "pvc-missing": ({"volumes": [CLAIM]}, is_unschedulable),
    "secret-volume-missing": ({"code": SLEEP, **MOUNTED}, waits_for("ContainerCreating")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pod_fails_as_recorded(cluster: Cluster, namespace: Namespace, case: str) -> None:
    special, recorded_state = CASES[case]
    manifest: dict[str, Any] = {"image": cluster.image, "restartPolicy": "Always", "terminationGracePeriodSeconds": 1}
    namespace.create("pods", pod("a", **manifest | special))
    recorded = load(case)
    found = namespace.wait("pods", "a", recorded_state)
    comparison = Comparison(recorded, found, exact=cluster.embedded is not None)
    comparison.status(found["status"])
    comparison.events(namespace.events("a", comparison.has_events))


def test_a_pod_that_is_well_looks_as_recorded(cluster: Cluster, namespace: Namespace) -> None:
    namespace.create("pods", model("a", cluster.image, restartPolicy="Always"))
    found = namespace.wait("pods", "a", is_ready)
    comparison = Comparison(load("ok-ready"), found, exact=cluster.embedded is not None)
    comparison.status(found["status"])
    comparison.events(namespace.events("a", comparison.has_events))


def test_the_conditions_come_in_order(namespace: Namespace, image: str) -> None:
    """Scheduled before initialized before ready, and never a step back."""
    version = namespace.find("pods")["metadata"]["resourceVersion"]
    namespace.create("pods", model("a", image))
    reached: list[str] = []
    phases: list[str] = []
    for event in namespace.watch("pods", resourceVersion=version):
        status = event["object"]["status"]
        phases += [status["phase"]] if status["phase"] not in phases else []
        true = {one["type"] for one in status.get("conditions") or [] if one["status"] == "True"}
        assert set(reached) <= true
        reached += [kind for kind in ("PodScheduled", "Initialized", "Ready") if kind in true - set(reached)]
        if "Ready" in true:
            assert {"Ready", "ContainersReady"} <= true
            break
    assert reached == ["PodScheduled", "Initialized", "Ready"]
    assert phases == ["Pending", "Running"]


def test_a_pull_is_tried_again_ever_later(namespace: Namespace) -> None:
    namespace.create("pods", pod("a", "registry.invalid/team/no-such-model:9"))
    reasons: list[str] = []
    for event in namespace.watch("pods"):
        reason = state(event["object"]).get("waiting", {}).get("reason")
        if reason in ("ErrImagePull", "ImagePullBackOff") and reasons[-1:] != [reason]:
            reasons.append(reason)
        if len(reasons) == 4:
            break
    assert reasons == ["ErrImagePull", "ImagePullBackOff"] * 2
    pulls = namespace.events("a", lambda events: any(e["reason"] == "Pulling" and e["count"] > 1 for e in events))
    assert [event["type"] for event in pulls if event["reason"] == "Pulling"] == ["Normal"]


def test_a_command_that_is_not_there_fails_a_pod_for_good(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, command=["/no/such/binary"]))
    found = namespace.wait("pods", "a", phase("Failed"))
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) in ((128, "StartError"), (127, "ContainerCannotRun"))
    assert "/no/such/binary: no such file or directory" in ended["message"]


def test_a_command_is_looked_for_in_the_path(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, command=["no-such-program"]))
    found = namespace.wait("pods", "a", phase("Failed"))
    assert 'exec: "no-such-program": executable file not found in $PATH' in state(found)["terminated"]["message"]


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_the_end_of_a_pod(namespace: Namespace, image: str, policy: str, code: int, expected: str) -> None:
    namespace.create("pods", pod("a", image, f"raise SystemExit({code})", restartPolicy=policy))
    found = namespace.wait("pods", "a", phase("Succeeded", "Failed"))
    assert found["status"]["phase"] == expected
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, "Error" if code else "Completed")
    assert not is_ready(found)


def test_on_failure_restarts_what_failed(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, "raise SystemExit(3)", restartPolicy="OnFailure"))
    found = namespace.wait("pods", "a", waits_for("CrashLoopBackOff"))
    assert found["status"]["phase"] == "Running"
    assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3


def test_a_deadline_ends_a_pod(cluster: Cluster, namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, DEAF, activeDeadlineSeconds=2, terminationGracePeriodSeconds=1))
    found = namespace.wait("pods", "a", phase("Failed"))
    assert found["status"]["reason"] == "DeadlineExceeded"
    assert found["status"]["message"].startswith("Pod was active on the node longer than the specified deadline")
    namespace.events("a", lambda events: any(event["reason"] == "DeadlineExceeded" for event in events))
    cluster.needs(22, "the end of a container in the status of a pod that has ended before it")
    ended = namespace.wait("pods", "a", lambda obj: "terminated" in state(obj))
    assert state(ended)["terminated"]["exitCode"] == 137


def test_the_last_words_can_be_in_the_status(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, CRASH, terminationMessagePolicy="FallbackToLogsOnError"))
    found = namespace.wait("pods", "a", phase("Failed"))
    assert "FATAL: weights missing" in state(found)["terminated"]["message"]


def test_root_is_refused_where_it_must_not_be(namespace: Namespace, image: str) -> None:
    """The test's image has no USER; many model images have none either."""
    namespace.create("pods", pod("a", image, SLEEP, securityContext={"runAsNonRoot": True}))
    found = namespace.wait("pods", "a", waits_for("CreateContainerConfigError"))
    assert "container has runAsNonRoot and image will run as root" in state(found)["waiting"]["message"]


def test_the_environment_of_a_container(namespace: Namespace, image: str) -> None:
    namespace.create("configmaps", {"metadata": {"name": "config"}, "data": {"A": "from config", "B": "more"}})
    namespace.create("secrets", {"metadata": {"name": "secret"}, "stringData": {"S": "from secret"}})
    env = [
        {"name": "PLAIN", "value": "x"},
        {"name": "EXPANDED", "value": "$(PLAIN)-$(A)-$(UNKNOWN)-$$(PLAIN)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "S"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": True}}},
    ]
    names = ("A", "B", "PLAIN", "EXPANDED", "POD", "S", "MAYBE")
    code = f"import os; print(*(os.environ.get(name) for name in {names}), sep='|')"
    source = [{"configMapRef": {"name": "config"}}]
    namespace.create("pods", pod("a", image, code, env=env, envFrom=source))
    namespace.wait("pods", "a", phase("Succeeded"))
    assert namespace.log("a") == "from config|more|x|x-from config-$(UNKNOWN)-$(PLAIN)|a|from secret|None\n"


def test_a_pod_starts_when_its_configuration_appears(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, "pass", envFrom=[{"configMapRef": {"name": "late"}}]))
    namespace.wait("pods", "a", waits_for("CreateContainerConfigError"))
    namespace.create("configmaps", {"metadata": {"name": "late"}, "data": {}})
    namespace.wait("pods", "a", phase("Succeeded"), timeout=90)


def test_a_volume_that_no_container_mounts_holds_nothing_back(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, "pass", volumes=[VOLUME]))
    namespace.wait("pods", "a", phase("Succeeded"))


def test_an_eviction_says_so_in_the_pod(cluster: Cluster, namespace: Namespace, image: str) -> None:
    cluster.needs(26, "the condition DisruptionTarget")
    namespace.create("pods", pod("a", image, SLEEP))
    found = namespace.wait("pods", "a", _runs)
    version = found["metadata"]["resourceVersion"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": namespace.name}}
    namespace.client.call("POST", namespace.path("pods", "a") + "/eviction", eviction)
    seen = []
    for event in namespace.watch("pods", resourceVersion=version):
        seen.append(event["type"])
        conditions = {one["type"]: one for one in event["object"]["status"]["conditions"]}
        assert conditions["DisruptionTarget"]["reason"] == "EvictionByEvictionAPI"
        if event["type"] == "DELETED":
            break
    assert seen[-1] == "DELETED"


def test_the_entry_point_is_the_images_unless_the_pod_has_its_own(cluster: Cluster, namespace: Namespace) -> None:
    if cluster.embedded is None:
        pytest.skip("what the test image starts is known of the embedded cluster's only")
    code = "import os; print(open('hello.txt').read().strip(), os.environ['FROM_IMAGE'])"
    namespace.create("pods", pod("a", cluster.image, args=["-c", code]))
    namespace.wait("pods", "a", phase("Succeeded"))
    assert namespace.log("a") == "hello from the image yes\n"
