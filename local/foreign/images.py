"""Images for a cluster of yours: built by Docker, and pushed to the registry named or loaded into the cluster's nodes.

A model image of another registry than the account's ECR is named by its digest (docs/files.md), so that is what the nodes
must know it by, however it came there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local import images
from local.cluster import node
from local.docker import DockerFailed, docker
from local.foreign import Foreign
from local.foreign.api import Api
from local.processes import StackFailed

# The host in the names of images that are loaded. None is ever asked for at it.
LOADED = "loaded.dropscore.invalid"
_TAG = "dropscore"
# Where containerd takes an image's name from when it imports an archive.
_NAME = "io.containerd.image.name"
_BUILD_SECONDS, _LOAD_SECONDS = 1800, 300

# The commands that load an archive, which each finds in its standard input as well.
_Loading = Callable[[str], list[list[str]]]


@dataclass(frozen=True)
class Publisher:
    """Builds the image of a folder and takes it to where the cluster's nodes find it; `python` is for embedded nodes."""

    registry: str
    has_embedded_nodes: bool
    load: _Loading | None
    python: Path

    @classmethod
    def find(cls, foreign: Foreign, api: Api, python: Path) -> Publisher:
        """Find out how images get to the cluster.

        Raises
        ------
        StackFailed
            They do not; the message says what is missing.
        """
        nodes = (api.get("/api/v1/nodes") or {}).get("items", [])
        is_embedded = any(one["status"]["nodeInfo"].get("containerRuntimeVersion") == node.RUNTIME for one in nodes)
        load = None if foreign.registry else _loading(foreign.context, nodes)
        if not foreign.registry and (load is None or is_embedded):
            raise StackFailed(
                f"Images are loaded into the clusters of kind, k3d and minikube, and {foreign.context} is none of these: name "
                "by REGISTRY=… a registry that you may push to and that the cluster pulls from."
            )
        if not is_embedded:
            try:
                docker("version")
            except DockerFailed as failure:
                raise StackFailed(
                    f"The models' images are built by Docker, which cannot be used here: {failure}"
                ) from failure
            if load and shutil.which(load("")[0][0]) is None:
                program = load("")[0][0]
                raise StackFailed(f"Images are loaded by `{program}`, which is not installed; or name a REGISTRY=….")
        return cls(foreign.registry or LOADED, is_embedded, load, python)

    def publish(self, folder: Path, repository: str) -> str:
        """Build a folder with a Dockerfile; what the tag model_image names: `registry/repository@digest`.

        Raises
        ------
        StackFailed
        """
        name = f"{self.registry}/{repository}"
        if self.has_embedded_nodes:
            image = images.build(folder, self.python)
            try:
                images.push_to(f"http://{self.registry}", image, repository, _TAG)
            except requests.RequestException as error:
                raise StackFailed(
                    f"The registry {self.registry} does not take the image of {folder}: {error}"
                ) from error
            return f"{name}@{image.digest}"
        try:
            docker("build", "--quiet", "--tag", f"{name}:{_TAG}", str(folder), seconds=_BUILD_SECONDS)
            if self.load is None:
                docker("push", "--quiet", f"{name}:{_TAG}", seconds=_BUILD_SECONDS)
                known = json.loads(
                    docker("image", "inspect", "--format", "{{json .RepoDigests}}", f"{name}:{_TAG}").stdout
                )
                return next(str(one) for one in known if one.startswith(f"{name}@"))
            return _load(name, self.load)
        except DockerFailed as failure:
            raise StackFailed(f"The image of {folder} cannot be brought to the cluster: {failure}.") from failure


def _loading(context: str, nodes: list[dict[str, Any]]) -> _Loading | None:
    if context.startswith(("kind-", "k3d-")):
        # Their nodes are containers of the same name. (`kind load` gives each image a second name, `import-<date>@…`, and
        # containerd 1.6 then looks for the image by that one, in vain.)
        names = [node["metadata"]["name"] for node in nodes]
        load = ("ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "-")
        return lambda _archive: [["docker", "exec", "--interactive", name, *load] for name in names]
    if any("minikube.k8s.io/name" in node["metadata"].get("labels", {}) for node in nodes):
        return lambda archive: [["minikube", "image", "load", archive, "--profile", context]]
    return None


def _load(name: str, load: _Loading) -> str:
    """Load a built image under the name that it is asked for by, which no archive of Docker's has: the one with its digest."""
    with tempfile.TemporaryDirectory() as scratch:
        saved, renamed = Path(scratch, "saved.tar"), Path(scratch, "image.tar")
        docker("save", "--output", str(saved), f"{name}:{_TAG}", seconds=_LOAD_SECONDS)
        reference = rename(saved, renamed, name)
        for command in load(str(renamed)):
            with renamed.open("rb") as archive:
                done = subprocess.run(command, stdin=archive, capture_output=True, timeout=_LOAD_SECONDS, check=False)
            if done.returncode:
                raise StackFailed(f"`{' '.join(command)}` failed: {done.stderr.decode(errors='replace').strip()}")
    return reference


def rename(saved: Path, renamed: Path, name: str) -> str:
    """Copy an OCI archive of one image, which then bears the name `name@digest`; that name.

    Raises
    ------
    StackFailed
        The archive is of the form that Docker wrote before version 25.
    """
    with tarfile.open(saved) as source, tarfile.open(renamed, "w") as target:
        if "index.json" not in source.getnames():
            raise StackFailed(
                "Docker is older than 25, whose archives do not say an image's digest: name a REGISTRY=…."
            )
        for entry in source:
            content = source.extractfile(entry)
            # Docker's own list beside it would have the image loaded under its tag only.
            if entry.name == "manifest.json":
                continue
            if entry.name == "index.json" and content:
                index = json.load(content)
                (image,) = index["manifests"]
                reference = f"{name}@{image['digest']}"
                image["annotations"] = {_NAME: reference}
                body = json.dumps(index).encode()
                entry.size = len(body)
                with tempfile.TemporaryFile() as changed:
                    changed.write(body)
                    changed.seek(0)
                    target.addfile(entry, changed)
            else:
                target.addfile(entry, content)
    return reference
