"""The clusters that a stack's pods run on: embedded ones, or one of yours. To the stack they differ in nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from local import account, images, parts
from local.cluster.apply import apply


class Clusters(Protocol):
    """What a stack does with its clusters, in this order but for what needs no AWS yet."""

    routes: Mapping[str, str]
    """The EKS clusters, and how models are reached on each."""

    environment: Mapping[str, str]
    """What their programs find in their environment, besides what all parts do."""

    def program(self, endpoint_url: str, gateway_port: int) -> list[str | Path]:
        """Give the module that is a cluster's API server, and its arguments besides those that all have."""

    def check(self) -> None:
        """Look whether they can be used, before anything is made; raises StackFailed."""

    def build(self) -> Mapping[str, Any]:
        """Build the images of the example models, by the names of their folders."""

    def publish(self, endpoint_url: str, built: Mapping[str, Any]) -> dict[str, str]:
        """Bring the images to where the clusters pull from; what the tag model_image names, by folder."""

    def apply(self) -> dict[str, dict[str, Any]]:
        """Apply cluster/ to each; their settings, as the template's parameter Clusters has them."""

    def access(self) -> tuple[str, str]:
        """Give the kubeconfig of the default cluster's administrator, and the context in it."""


class Embedded:
    """The embedded clusters, each with a namespace of the same name."""

    routes: Mapping[str, str] = parts.CLUSTERS

    def __init__(self, state: Path) -> None:
        self._state = state
        # For containers that Docker runs: which one is meant, and as whom.
        self.environment: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if name == "HOME" or name.startswith("DOCKER_")
        }

    def program(self, endpoint_url: str, gateway_port: int) -> list[str | Path]:
        return [
            "local.cluster",
            *("--gateway-port", str(gateway_port)),
            *("--registry-url", endpoint_url),
        ]

    def check(self) -> None:
        """They are made for it."""

    def build(self) -> dict[str, images.Image]:
        return {name: images.build(folder, parts.MODELS_PYTHON) for name, folder in parts.model_folders().items()}

    def publish(self, endpoint_url: str, built: Mapping[str, images.Image]) -> dict[str, str]:
        """Push the images to ECR, as `latest`."""
        for repository, image in built.items():
            images.push(account.client(endpoint_url, "ecr"), image, repository, tag="latest")
        return {repository: f"{repository}:latest" for repository in built}

    def apply(self) -> dict[str, dict[str, Any]]:
        settings = {}
        for cluster, route in self.routes.items():
            described = self._described(cluster)
            apply(parts.ROOT / "cluster", Path(described["kubeconfig"]))
            settings[cluster] = {"namespaces": [parts.NAMESPACE], "route": route, "url": described["gateway_url"]}
        return settings

    def access(self) -> tuple[str, str]:
        return self._described(parts.CLUSTER)["kubeconfig"], ""

    def _described(self, cluster: str) -> dict[str, str]:
        described: dict[str, str] = json.loads(parts.cluster_file(self._state, cluster).read_text())
        return described
