"""The node that the cluster consists of, as an API object."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field

from local.cluster import clock
from local.cluster.resources import KubeObject

NAME = "embedded-node"
# Containers are processes of this machine: only images that are made for that can run.
RUNTIME = "processes://1"


@dataclass(frozen=True)
class Capacity:
    """What the node offers to pods, as quantities."""

    cpu: str = field(default_factory=lambda: str(os.cpu_count() or 1))
    memory: str = field(default_factory=lambda: f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki")
    pods: str = "110"
    gpus: str = "0"
    disk: str = field(default_factory=lambda: f"{shutil.disk_usage('/').total // 1024}Ki")


def manifest(capacity: Capacity, labels: dict[str, str], address: str) -> KubeObject:
    """The Node object."""
    amounts = {"cpu": capacity.cpu, "memory": capacity.memory, "pods": capacity.pods}
    amounts["ephemeral-storage"] = capacity.disk
    if capacity.gpus != "0":
        amounts["nvidia.com/gpu"] = capacity.gpus
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    known = {"kubernetes.io/arch": machine, "kubernetes.io/os": "linux", "kubernetes.io/hostname": NAME}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": clock.seconds(),
        "lastTransitionTime": clock.seconds(),
    }
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": NAME, "labels": known | labels},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": NAME}],
            "conditions": [ready],
            "nodeInfo": {
                "architecture": machine,
                "operatingSystem": "linux",
                "kernelVersion": platform.release(),
                "containerRuntimeVersion": RUNTIME,
            },
        },
    }
