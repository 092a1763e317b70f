"""The pod of an attempt: its manifest, how it is launched with its Service and route, and how all of it is torn down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring.cluster import api as clusters
from scoring.cluster import routes
from scoring.cluster.api import Api, namespace_path
from scoring.errors import DropscoreError, PodRefused
from scoring.settings import ClusterSettings

PORT = 8080
"""The port that a model listens on, as SageMaker's, MLflow's and SAS's containers do."""

MANAGED_BY = "app.kubernetes.io/managed-by"
ATTEMPT_LABEL, FILE_LABEL, EXECUTION = "dropscore.io/attempt", "dropscore.io/file", "dropscore.io/execution"
OURS = f"{MANAGED_BY}=dropscore"

# What the pod may outlive its own deadlines by: tearing down and the queues in between.
_SLACK_SECONDS = 3_600


@dataclass(frozen=True)
class Attempt:
    """What a pod is launched for; `request` is the request of the attempt's state, `lost_pods` how many were lost."""

    attempt_id: str
    file_id: str
    execution: str
    source_uri: str
    request: Mapping[str, Any]
    lost_pods: int = 0

    @property
    def name(self) -> str:
        """The name of every Kubernetes object of one launch; begins with a letter, as a Service's must (DNS-1035).

        A pod that takes a lost one's place has a name of its own: the lost one may stay, terminating, as long as its
        node does not answer.
        """
        nth = f"-{self.lost_pods}" if self.lost_pods else ""
        return f"dropscore-{self.attempt_id.lower()}"[: 63 - len(nth)].rstrip("-") + nth


def labels(attempt: Attempt) -> dict[str, str]:
    return {MANAGED_BY: "dropscore", ATTEMPT_LABEL: attempt.attempt_id, FILE_LABEL: attempt.file_id}


def manifest(attempt: Attempt, cluster: ClusterSettings) -> dict[str, Any]:
    """The pod. A `restartPolicy` of Never keeps the exit code of a crash; a lost pod is launched again by the workflow."""
    resources, deadlines = attempt.request["resources"], attempt.request["deadlines"]
    # Memory is requested as it is limited, so that a full node never picks this pod as its victim. No limit on cpu: it
    # would only throttle a model while cores idle.
    limits = {"memory": resources["memory"]}
    if "gpu" in resources:
        limits["nvidia.com/gpu"] = resources["gpu"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": attempt.name,
            "labels": labels(attempt),
            "annotations": {
                "dropscore.io/source": attempt.source_uri,
                EXECUTION: attempt.execution,
                # Consolidation of nodes would end a scoring in the middle.
                "karpenter.sh/do-not-disrupt": "true",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            # The last net: a pod ends by itself even when nothing of dropscore is left to end it.
            "activeDeadlineSeconds": sum(deadlines.values()) + _SLACK_SECONDS,
            # A model has nothing to finish once nobody waits for it.
            "terminationGracePeriodSeconds": 5,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": cluster.run_as_non_root,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "nodeSelector": dict(cluster.node_selector),
            "tolerations": [dict(toleration) for toleration in cluster.tolerations],
            "containers": [
                {
                    "name": "model",
                    "image": attempt.request["image"],
                    "ports": [{"name": "http", "containerPort": PORT}],
                    "resources": {
                        "requests": {"cpu": resources["cpu"], "memory": resources["memory"]},
                        "limits": limits,
                    },
                    # By TCP, not HTTP: a SAS container answers nothing while it scores, and an HTTP probe would take
                    # it out of its own route.
                    "readinessProbe": {
                        "tcpSocket": {"port": PORT},
                        "periodSeconds": 1,
                        "timeoutSeconds": 5,
                        "failureThreshold": 30,
                    },
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


def service(attempt: Attempt, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The Service in front of the pod, owned by it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": attempt.name, "labels": labels(attempt), "ownerReferences": [owner]},
        "spec": {
            "selector": {ATTEMPT_LABEL: attempt.attempt_id},
            "ports": [{"name": "http", "port": routes.SERVICE_PORT, "targetPort": PORT}],
        },
    }


def launch(api: Api, attempt: Attempt, cluster: ClusterSettings) -> dict[str, Any]:
    """Create the pod, its Service and its route, or adopt what an earlier call of the same attempt created.

    Returns
    -------
    dict
        The `pod` of the attempt's state: `name`, `namespace`, `uid`, `created` (RFC 3339), and how many lost pods it
        `replaces`.

    Raises
    ------
    QuotaExceeded, PodRefused, ClusterAccessDenied, ClusterUnreachable
    """
    namespace = attempt.request["namespace"]
    pod = _create_or_adopt(api, namespace_path(namespace) + "/pods", manifest(attempt, cluster))
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": attempt.name,
        "uid": pod["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }
    if cluster.route != "pod_ip":
        _create_or_adopt(api, namespace_path(namespace) + "/services", service(attempt, owner))
        route = routes.manifest(attempt.name, labels(attempt), owner, cluster, attempt.request)
        _create_or_adopt(api, routes.path(cluster.route, namespace), route)
    return {
        "name": attempt.name,
        "namespace": namespace,
        "uid": pod["metadata"]["uid"],
        "created": pod["metadata"]["creationTimestamp"],
        "replaces": attempt.lost_pods,
    }


def _create_or_adopt(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return api.call("POST", path, body=body)
    except clusters.NotFound as error:
        raise PodRefused(
            f"The cluster {api.name} cannot take a {body['kind']} here: {error.summary}",
            "Ask the cluster's administrator to apply cluster/ (namespace, RBAC, gateway).",
        ) from error
    except clusters.AlreadyExists:
        name = body["metadata"]["name"]
        try:
            existing = api.call("GET", f"{path}/{name}")
        except clusters.NotFound:
            existing = {"metadata": {}}  # gone since: the next try finds the name free
        wanted = body["metadata"]
        same = existing["metadata"].get("labels", {}).get(ATTEMPT_LABEL) == wanted["labels"][ATTEMPT_LABEL]
        owners = {owner["uid"] for owner in existing["metadata"].get("ownerReferences", ())}
        if same and owners == {owner["uid"] for owner in wanted.get("ownerReferences", ())}:
            return existing
        raise Leftover(f"A {body['kind']} {name} of an earlier pod is still being removed.") from None


class Leftover(DropscoreError):
    """An object of an earlier pod of the same attempt is not gone yet; the state machine tries again."""

    retryable = True


def tear_down(api: Api, namespace: str, attempt_id: str) -> list[str]:
    """Delete whatever bears the attempt's label in the namespace; nothing there is success.

    The pod goes first: it owns the Service and the route, so the cluster removes them with it even if this call ends
    here. They are looked for all the same, for the case that a pod was gone before they were made.

    Returns
    -------
    list of str
        What was deleted, as `kind/name`.
    """
    deleted = []
    core = namespace_path(namespace)
    paths = [f"{core}/pods", f"{core}/services", *(routes.path(route, namespace) for route in ("gateway", "ingress"))]
    for path in paths:
        for item in _ours(api, path, f"{ATTEMPT_LABEL}={attempt_id}"):
            options = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "preconditions": {"uid": item["metadata"]["uid"]},
            }
            try:
                api.call("DELETE", f"{path}/{item['metadata']['name']}", body=options)
            except clusters.NotFound:
                continue
            deleted.append(f"{path.rsplit('/', 1)[-1]}/{item['metadata']['name']}")
    return deleted


def attempts(api: Api, namespace: str, executions: str) -> set[str]:
    """The attempts of this stack that have a pod in the namespace; `executions` is what their ARNs begin with.

    Several stacks may share a namespace: another one's pods are none of ours.
    """
    pods = _ours(api, namespace_path(namespace) + "/pods", ATTEMPT_LABEL)
    return {
        pod["metadata"]["labels"][ATTEMPT_LABEL]
        for pod in pods
        if pod["metadata"].get("annotations", {}).get(EXECUTION, "").startswith(executions)
    }


def _ours(api: Api, path: str, selector: str) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = api.call("GET", path, query={"labelSelector": f"{OURS},{selector}"})["items"]
    except clusters.NotFound:
        # The cluster knows no such kind: no Gateway API is installed.
        return []
    return items
