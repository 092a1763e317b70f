"""The pod security labels of a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from scoring.cluster import manifest
from scoring.intake.schema import CAPABILITIES
from scoring.settings import ClusterSettings
from tests import builders
from tests.cluster.client import MERGE_PATCH, KubeObject, Namespace, Refused
from tests.cluster.conftest import Cluster
from tests.cluster.manifests import pod

NOWHERE = {"kubernetes.io/hostname": "no-such-node"}
RESTRICTED: KubeObject = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(autouse=True)
def admission(cluster: Cluster) -> None:
    cluster.needs(23, "the admission of pods by the labels of their namespace")


def _enforce(namespace: Namespace, profile: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": profile}
    path = f"/api/v1/namespaces/{namespace.name}"
    namespace.client.call("PATCH", path, {"metadata": {"labels": labels}}, content_type=MERGE_PATCH)


def _pod(image: str, context: KubeObject | None = None, **spec: Any) -> KubeObject:
    manifest = pod("a", image, nodeSelector=NOWHERE, **spec)
    if context:
        manifest["spec"]["containers"][0]["securityContext"] = context
    return manifest


def test_restricted_says_all_that_is_missing(namespace: Namespace, image: str) -> None:
    _enforce(namespace, "restricted")
    with pytest.raises(Refused) as refused:
        namespace.create("pods", _pod(image))
    assert refused.value.http_status == 403
    assert refused.value.message == (
        'pods "a" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert namespace.create("pods", _pod(image, RESTRICTED))


@pytest.mark.parametrize(
    ("special", "message"),
    [
        ({"hostNetwork": True}, r"host namespaces \(hostNetwork=true\)"),
        ({"context": {"privileged": True}}, r'privileged \(container "main" must not set'),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, r'hostPath volumes \(volume "v"\)'),
        ({"context": {"capabilities": {"add": ["SYS_ADMIN"]}}}, r'must not include "SYS_ADMIN" in'),
    ],
)
def test_baseline_keeps_out_what_leaves_the_container(
    namespace: Namespace, image: str, special: KubeObject, message: str
) -> None:
    _enforce(namespace, "baseline")
    with pytest.raises(Refused, match=message) as refused:
        namespace.create("pods", _pod(image, **special))
    assert refused.value.message.startswith('pods "a" is forbidden: violates PodSecurity "baseline:latest": ')
    assert namespace.create("pods", _pod(image)), "a pod that runs as root is allowed"


def _models_pod(image: str, **said: Any) -> KubeObject:
    """The pod that dropscore launches for a request whose profile says this."""
    asked = builders.request(image=image, pod={"node_selector": NOWHERE, **said})
    attempt = manifest.Attempt("attempt-1", "file-1", "execution-1", "s3://bucket/key", asked)
    return manifest.pod(attempt, ClusterSettings("cluster", ("models",), url="http://gateway"))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"run_as_user": 1000, "read_only_root": True, "shm": "64Mi"},
        {"capabilities": ["NET_BIND_SERVICE"], "service_account": "default"},
    ],
)
def test_restricted_takes_the_pod_of_a_model_that_needs_no_root(
    namespace: Namespace, image: str, said: KubeObject
) -> None:
    _enforce(namespace, "restricted")
    assert namespace.create("pods", _models_pod(image, **said))


@pytest.mark.parametrize("said", [{}, {"capabilities": list(CAPABILITIES)}, {"run_as_user": 0}])
def test_baseline_takes_the_pod_of_a_model_that_needs_root_and_restricted_does_not(
    namespace: Namespace, image: str, said: KubeObject
) -> None:
    pod = _models_pod(image, run_as_non_root=False, **said)
    _enforce(namespace, "restricted")
    with pytest.raises(Refused, match=r'runAsNonRoot != true \(pod or container "model" must set') as refused:
        namespace.create("pods", pod)
    assert 'unrestricted capabilities (container "model" must not include "' in refused.value.message
    _enforce(namespace, "baseline")
    assert namespace.create("pods", pod)
