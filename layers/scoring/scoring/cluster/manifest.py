"""What a cluster is asked for: the pod of an attempt and the Service in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring.cluster import containers, routes
from scoring.intake.state import port
from scoring.settings import ClusterSettings

MANAGED_BY = "app.kubernetes.io/managed-by"
ATTEMPT_LABEL, FILE_LABEL, EXECUTION = "dropscore.io/attempt", "dropscore.io/file", "dropscore.io/execution"
POD_LABEL = "dropscore.io/pod"
# Kueue, "Run Plain Pods": the LocalQueue of the pod's namespace that it waits in.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
OURS = f"{MANAGED_BY}=dropscore"

# For images that run as root: what nginx and gunicorn do as root before and while their workers are somebody else. Each was
# taken away in turn from Debian's nginx 1.22 and gunicorn 27; what came of it stands beside it. The Pod Security Standard
# "baseline" allows all of them. With none, the port is open and no worker lives.
ROOT_CAPABILITIES = (
    "CHOWN",  # nginx does not start: it gives its folders to its workers
    "DAC_OVERRIDE",  # nginx does not start: its logs are its workers' (0640)
    "KILL",  # gunicorn dies of a worker that is over its time, and cannot end it
    "NET_BIND_SERVICE",  # nginx does not start on port 80, unless the node lets everybody have it
    "SETGID",  # no worker of nginx lives
    "SETUID",  # no worker of nginx lives
)

_NAMED = {
    "serviceAccountName": "service_account",
    "priorityClassName": "priority_class",
    "runtimeClassName": "runtime_class",
}

GRACE_SECONDS = 5
"""How long a pod that is deleted may take to end; it counts for a quota until it is gone."""

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
    said, deadlines = attempt.request.get("pod", {}), attempt.request["deadlines"]
    is_non_root = said.get("run_as_non_root", cluster.run_as_non_root)
    volumes = _volumes(said)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": attempt.name,
            "labels": ({QUEUE_LABEL: cluster.queue} if cluster.queue else {})
            | said.get("labels", {})
            | labels(attempt),
            "annotations": {
                # Where a policy of the cluster's puts other containers beside it, kubectl still means the model's.
                "kubectl.kubernetes.io/default-container": containers.MODEL,
                # Consolidation of nodes would end a scoring in the middle.
                "karpenter.sh/do-not-disrupt": "true",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            }
            | said.get("annotations", {})
            | {"dropscore.io/source": attempt.source_uri, EXECUTION: attempt.execution},
        },
        "spec": {
            "restartPolicy": "Never",
            # The last net: a pod ends by itself even when nothing of dropscore is left to end it.
            "activeDeadlineSeconds": sum(deadlines.values()) + _SLACK_SECONDS,
            # A model has nothing to finish once nobody waits for it.
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "enableServiceLinks": False,
            # Not even for a service account of a profile's: EKS hands out AWS credentials by a volume of its own.
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": is_non_root,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            | ({"runAsUser": said["run_as_user"]} if "run_as_user" in said else {}),
            "nodeSelector": {**cluster.node_selector, **said.get("node_selector", {})},
            "tolerations": [dict(toleration) for toleration in (*cluster.tolerations, *said.get("tolerations", ()))],
            **{field: said[key] for field, key in _NAMED.items() if key in said},
            **({"imagePullSecrets": [{"name": name} for name in found]} if (found := said.get("pull_secrets")) else {}),
            **({"volumes": [{"name": name, "emptyDir": volume} for name, _, volume in volumes]} if volumes else {}),
            "containers": [
                _container(attempt, said, is_non_root=is_non_root)
                | (
                    {"volumeMounts": [{"name": name, "mountPath": path} for name, path, _ in volumes]}
                    if volumes
                    else {}
                )
            ],
        },
    }


def _container(attempt: Attempt, said: Mapping[str, Any], *, is_non_root: bool) -> dict[str, Any]:
    is_root = not is_non_root and not said.get("run_as_user")
    added = said.get("capabilities", ROOT_CAPABILITIES if is_root else ())
    environment = [{"name": name, "value": value} for name, value in said.get("env", {}).items()]
    return {
        "name": "model",
        "image": attempt.request["image"],
        **{key: said[key] for key in ("command", "args") if said.get(key)},
        **({"env": environment} if environment else {}),
        "ports": [{"name": "http", "containerPort": port(attempt.request)}],
        "resources": resources(attempt.request["resources"]),
        # By TCP, not HTTP: a SAS container answers nothing while it scores, and an HTTP probe would take it out of its
        # own route.
        "readinessProbe": {
            "tcpSocket": {"port": port(attempt.request)},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 30,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]} | ({"add": list(added)} if added else {}),
        }
        | ({"readOnlyRootFilesystem": True} if said.get("read_only_root") else {}),
    }


def resources(asked: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Requests and limits of the model's container, from the `resources` of a request."""
    # Memory is requested as it is limited, so that a full node never picks this pod as its victim. No limit on cpu unless
    # a profile sets one: it would only throttle a model while cores idle.
    requests = {"cpu": asked["cpu"], "memory": asked["memory"]}
    limits = {"memory": asked["memory"]}
    if "gpu" in asked:
        limits["nvidia.com/gpu"] = asked["gpu"]
    if "cpu_limit" in asked:
        limits["cpu"] = asked["cpu_limit"]
    if "ephemeral_storage" in asked:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = asked["ephemeral_storage"]
    return {"requests": requests, "limits": limits}


def _volumes(said: Mapping[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """Name, place in the container and emptyDir of each volume."""
    volumes: list[tuple[str, str, dict[str, str]]] = []
    if "shm" in said:
        volumes.append(("shm", "/dev/shm", {"medium": "Memory", "sizeLimit": str(said["shm"])}))  # noqa: S108
    if said.get("read_only_root"):
        volumes.append(("tmp", "/tmp", {}))  # noqa: S108
    return volumes


def service(attempt: Attempt, owner: Mapping[str, Any], pod_labels: Mapping[str, str]) -> dict[str, Any]:
    """The Service in front of the pod that bears these labels, owned by it."""
    # This one pod, and not a lost one of the same attempt that its node does not let go of. A pod that was launched before
    # an update of the stack may not know its own name.
    label = POD_LABEL if POD_LABEL in pod_labels else ATTEMPT_LABEL
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": attempt.name, "labels": labels(attempt), "ownerReferences": [owner]},
        "spec": {
            "selector": {label: labels(attempt)[label]},
            # Whether the model answers is for its ping to say: a sidecar that has ended leaves the pod unready for ever.
            "publishNotReadyAddresses": True,
            "ports": [{"name": "http", "port": routes.SERVICE_PORT, "targetPort": port(attempt.request)}],
        },
    }
