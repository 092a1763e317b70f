"""What a cluster is asked for: the pod of an attempt, as its request and its cluster say."""

import re
from dataclasses import replace
from typing import Any

import pytest

from scoring.cluster import containers, manifest
from scoring.settings import ClusterSettings
from tests.builders import ATTEMPT_ID, POD_NAME
from tests.unit.cluster.test_pods import LABELS, URI, attempt, cluster


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_every_object_of_an_attempt_bears_its_name_and_labels() -> None:
    pod = manifest.pod(attempt(), cluster())
    assert pod["metadata"]["name"] == POD_NAME
    assert pod["metadata"]["labels"] == LABELS
    assert pod["metadata"]["annotations"]["dropscore.io/source"] == URI
    default = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
    assert default == pod["spec"]["containers"][0]["name"] == containers.MODEL
    service = manifest.service(attempt(), {"uid": "uid-1"}, LABELS)
    assert service["metadata"] == {"name": POD_NAME, "labels": LABELS, "ownerReferences": [{"uid": "uid-1"}]}
    assert service["spec"]["selector"] == {"dropscore.io/pod": POD_NAME}, "and none that was lost before"
    assert service["spec"]["publishNotReadyAddresses"] is True, "a sidecar that has ended leaves the pod unready"
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": 8080}]


@pytest.mark.parametrize("attempt_id", [ATTEMPT_ID, "Manual-Test", "x" * 80, f"{'x' * 52}-y"])
def test_each_launch_has_a_name_of_its_own_that_is_fit_for_dns(attempt_id: str) -> None:
    """A lost pod may stay, terminating, as long as its node does not answer."""
    names = [replace(attempt(), attempt_id=attempt_id, lost_pods=lost).name for lost in range(4)]
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)
    assert len(set(names)) == 4


def test_a_pod_is_ready_by_tcp_since_a_model_that_scores_answers_nothing() -> None:
    probe = container_of(manifest.pod(attempt(), cluster()))["readinessProbe"]
    assert probe["tcpSocket"] == {"port": 8080}
    assert not {"httpGet", "exec", "grpc"} & probe.keys()


def test_a_pod_asks_for_what_the_request_says_and_no_more() -> None:
    container = container_of(manifest.pod(attempt(resources={"cpu": "2", "memory": "4Gi", "gpu": "1"}), cluster()))
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }
    assert "nvidia.com/gpu" not in container_of(manifest.pod(attempt(), cluster()))["resources"]["limits"]


def test_a_pod_lives_no_longer_than_all_its_deadlines_and_never_starts_twice() -> None:
    spec = manifest.pod(attempt(), cluster())["spec"]
    assert spec["restartPolicy"] == "Never"
    assert 900 + 120 + 86_400 <= spec["activeDeadlineSeconds"] <= 900 + 120 + 86_400 + 3_600


def test_a_pod_may_do_nothing_that_a_model_does_not_need() -> None:
    spec = manifest.pod(attempt(), cluster())["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    security = spec["containers"][0]["securityContext"]
    assert security == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_a_pod_goes_where_the_cluster_says() -> None:
    placed = cluster(node_selector={"pool": "models"}, tolerations=({"key": "models", "operator": "Exists"},))
    spec = manifest.pod(attempt(), placed)["spec"]
    assert spec["nodeSelector"] == {"pool": "models"}
    assert spec["tolerations"] == [{"key": "models", "operator": "Exists"}]


def spec_of(cluster_settings: ClusterSettings | None = None, **said: Any) -> dict[str, Any]:
    """The spec of a pod whose request says this under `pod`."""
    found: dict[str, Any] = manifest.pod(attempt(pod=said), cluster_settings or cluster())["spec"]
    return found


def test_a_model_listens_where_its_request_says() -> None:
    asked = attempt(pod={"port": 8000})
    container = container_of(manifest.pod(asked, cluster()))
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    assert container["readinessProbe"]["tcpSocket"] == {"port": 8000}
    assert manifest.service(asked, {}, LABELS)["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": 8000}]


def test_a_container_is_started_with_what_the_request_says() -> None:
    said = {"command": ["/start"], "args": ["serve", "-v"], "env": {"A": "b", "C": "$(A)"}}
    container = spec_of(**said)["containers"][0]
    assert (container["command"], container["args"]) == (["/start"], ["serve", "-v"])
    assert container["env"] == [{"name": "A", "value": "b"}, {"name": "C", "value": "$(A)"}]
    own = spec_of(args=[])["containers"][0]
    assert not {"command", "args", "env", "volumeMounts"} & own.keys(), "the image's own"


def test_a_pod_is_placed_named_and_allowed_as_the_request_says() -> None:
    spec = spec_of(
        cluster(node_selector={"pool": "models", "zone": "a"}, tolerations=({"key": "models"},)),
        service_account="scorer",
        pull_secrets=["one", "two"],
        priority_class="high",
        runtime_class="gvisor",
        node_selector={"pool": "gpu"},
        tolerations=[{"key": "gpu"}],
    )
    assert spec["serviceAccountName"] == "scorer"
    assert spec["automountServiceAccountToken"] is False
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
    assert spec["nodeSelector"] == {"pool": "gpu", "zone": "a"}
    assert spec["tolerations"] == [{"key": "models"}, {"key": "gpu"}]


def test_labels_and_annotations_are_added_and_never_hide_ours() -> None:
    asked = attempt(pod={"labels": {"a": "b", "dropscore.io/attempt": "x"}, "annotations": {"c": "d"}})
    metadata = manifest.pod(asked, cluster())["metadata"]
    assert metadata["labels"] == {"a": "b"} | LABELS
    assert metadata["annotations"]["c"] == "d"
    assert metadata["annotations"]["dropscore.io/source"] == URI
    assert "a" not in manifest.service(asked, {}, LABELS)["metadata"]["labels"]


def test_a_pod_waits_in_the_queue_of_its_cluster_unless_its_profile_names_another() -> None:
    queue = "kueue.x-k8s.io/queue-name"
    asked, queued = attempt(), cluster(queue="models")
    pod = manifest.pod(asked, queued)
    assert pod["metadata"]["labels"] == LABELS | {queue: "models"}
    assert manifest.service(asked, {}, pod["metadata"]["labels"])["metadata"]["labels"] == LABELS, "no object for Kueue"
    assert manifest.pod(attempt(pod={"labels": {queue: "risk"}}), queued)["metadata"]["labels"][queue] == "risk"
    assert manifest.pod(asked, cluster())["metadata"]["labels"] == LABELS
    assert "schedulingGates" not in pod["spec"], "Kueue's own webhook gates it"


def test_disk_and_cpu_are_bounded_where_the_request_says_so() -> None:
    asked = {"cpu": "1", "memory": "1Gi", "cpu_limit": "2", "ephemeral_storage": "5Gi"}
    resources = container_of(manifest.pod(attempt(resources=asked), cluster()))["resources"]
    assert resources["requests"] == {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "5Gi"}
    assert resources["limits"] == {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "5Gi"}


def test_a_read_only_image_has_a_place_to_write_and_shared_memory_has_a_size() -> None:
    spec = spec_of(read_only_root=True, shm="1Gi")
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounted == {"/tmp": {}, "/dev/shm": {"medium": "Memory", "sizeLimit": "1Gi"}}


ROOT = ["CHOWN", "DAC_OVERRIDE", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]


@pytest.mark.parametrize(
    ("of_cluster", "said", "non_root", "added"),
    [
        (True, {}, True, None),
        (True, {"run_as_user": 1000}, True, None),
        (True, {"run_as_non_root": False}, False, ROOT),
        (False, {}, False, ROOT),
        (False, {"run_as_non_root": True}, True, None),
        (False, {"run_as_user": 1000}, False, None),
        (False, {"run_as_user": 0}, False, ROOT),
        (False, {"capabilities": ["SETUID"]}, False, ["SETUID"]),
        (False, {"capabilities": []}, False, None),
        (True, {"capabilities": ["NET_BIND_SERVICE"]}, True, ["NET_BIND_SERVICE"]),
    ],
)
def test_root_gets_what_a_server_needs_to_give_root_up_and_nobody_else_gets_anything(
    of_cluster: bool, said: dict[str, Any], non_root: bool, added: list[str] | None
) -> None:
    spec = spec_of(cluster(run_as_non_root=of_cluster), **said)
    assert spec["securityContext"]["runAsNonRoot"] is non_root
    assert spec["securityContext"].get("runAsUser") == said.get("run_as_user")
    capabilities = spec["containers"][0]["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"]} | ({"add": added} if added else {})
