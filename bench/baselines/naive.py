"""The client that dropscore replaces, written as such clients are: download to disk, sleep and ask, upload from memory.

It runs on the same embedded cluster, with the same image, route and file. In its favour: it is warm, it is told of the
file at once, and nothing else runs meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi

NAMESPACE, GROUP = "dropscore", "gateway.networking.k8s.io"


@dataclass(frozen=True)
class Client:
    """What it works with. It sleeps before each question, or with `asks_first` only after a question in vain."""

    s3: Any
    kubernetes: ApiClient
    gateway_url: str
    image: str
    poll_seconds: float
    ping_seconds: float
    asks_first: bool = False

    def score(self, name: str, source: tuple[str, str], target: tuple[str, str], scratch: Path) -> None:
        """Score an object (bucket, key) into another with a pod called `name`, which stays behind."""
        downloaded, scored = scratch / "input.csv", scratch / "output.csv"
        self.s3.download_file(*source, str(downloaded))
        self._deploy(name)
        url = f"{self.gateway_url}/{name}"
        self._until(self.poll_seconds, lambda: self._is_ready(name))
        self._until(self.ping_seconds, lambda: requests.get(url, timeout=10).text == "pong")
        answer = requests.post(f"{url}/executions", files={"file": ("input.csv", downloaded.read_bytes())}, timeout=600)
        answer.raise_for_status()
        result = requests.get(f"{url}/query/{answer.json()['id']}", timeout=600)
        result.raise_for_status()
        scored.write_bytes(result.content)
        self.s3.upload_file(str(scored), *target)

    def tear_down(self, name: str) -> None:
        """Delete the pod; its service and route are its own."""
        CoreV1Api(self.kubernetes).delete_namespaced_pod(name, NAMESPACE)

    def _until(self, seconds: float, come: Callable[[], bool]) -> None:
        if self.asks_first and come():
            return
        while True:
            time.sleep(seconds)
            if come():
                return

    def _is_ready(self, name: str) -> bool:
        conditions = CoreV1Api(self.kubernetes).read_namespaced_pod(name, NAMESPACE).status.conditions or ()
        return any(one.type == "Ready" and one.status == "True" for one in conditions)

    def _deploy(self, name: str) -> None:
        core = CoreV1Api(self.kubernetes)
        size = {"cpu": "10m", "memory": "64Mi"}
        container = {
            "name": "model",
            "image": self.image,
            "ports": [{"containerPort": 8080}],
            "resources": {"requests": size, "limits": size},
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        }
        labels = {"app": name}
        pod = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [container], "restartPolicy": "Never"},
        }
        made = core.create_namespaced_pod(NAMESPACE, pod)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made.metadata.uid}
        metadata = {"name": name, "ownerReferences": [owner]}
        service = {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}
        core.create_namespaced_service(NAMESPACE, {"metadata": metadata, "spec": service})
        rule = {
            "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
            "filters": [
                {
                    "type": "URLRewrite",
                    "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                }
            ],
            "backendRefs": [{"name": name, "port": 80}],
        }
        route = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {"parentRefs": [{"name": "dropscore"}], "rules": [rule]},
        }
        CustomObjectsApi(self.kubernetes).create_namespaced_custom_object(GROUP, "v1", NAMESPACE, "httproutes", route)
