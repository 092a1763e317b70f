"""What a cluster is asked for: the pod of an attempt and the Service in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring.cluster import containers, routes
from scoring.settings import ClusterSettings

PORT = 8080
"""The port that a model listens on, as SageMaker's, MLflow's and SAS's containers do."""

MANAGED_BY = "app.kubernetes.io/managed-by"
ATTEMPT_LABEL, FILE_LABEL, EXECUTION = "dropscore.io/attempt", "dropscore.io/file", "dropscore.io/execution"
POD_LABEL = "dropscore.io/pod"
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
    return {
        MANAGED_BY: "dropscore",
        ATTEMPT_LABEL: attempt.attempt_id,
        FILE_LABEL: attempt.file_id,
        POD_LABEL: attempt.name,
    }


def pod(attempt: Attempt, cluster: ClusterSettings) -> dict[str, Any]:
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
                # Where a policy of the cluster's puts other containers beside it, kubectl still means the model's.
                "kubectl.kubernetes.io/default-container": containers.MODEL,
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
            # This one pod, and not a lost one of the same attempt that its node does not let go of.
            "selector": {POD_LABEL: attempt.name},
            # Whether the model answers is for its ping to say: a sidecar that has ended leaves the pod unready for ever.
            "publishNotReadyAddresses": True,
            "ports": [{"name": "http", "port": routes.SERVICE_PORT, "targetPort": PORT}],
        },
    }
