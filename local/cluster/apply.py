"""Apply a kustomization folder to the embedded cluster, as ``kubectl apply -k`` does to a real one.

Reads the kustomization's ``resources``, ``components`` and ``namespace`` and nothing fancier: that is all that
``cluster/`` uses.
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from local.cluster import resources
from local.cluster.patching import MERGE
from local.cluster.resources import NAMESPACES, KubeObject


class ApplyFailed(Exception):
    """The API server has refused an object; the message says which and why."""


# Method, path, object and content type of a request; its status and answer.
Send = Callable[[str, str, KubeObject, str], tuple[int, dict[str, Any]]]


def apply(folder: Path, kubeconfig: Path, namespace: str | None = None) -> list[str]:
    """Create or update every object of the folder, in its namespace or in the one given; returns them as ``kind/name``.
    Raises ApplyFailed.
    """
    return apply_objects(objects(folder, namespace), _Client.load(kubeconfig).send)


def apply_objects(manifests: Iterable[KubeObject], send: Send) -> list[str]:
    """Create or update objects; returns them as ``kind/name``. Raises ApplyFailed."""
    applied = []
    for obj in manifests:
        resource = resources.find_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None
        namespace, name = obj["metadata"].get("namespace"), obj["metadata"]["name"]
        status, answer = send("POST", resource.path(namespace), obj, "application/json")
        if status == 409:
            status, answer = send("PATCH", resource.path(namespace, name), obj, MERGE)
        if status >= 400:
            raise ApplyFailed(answer["message"])
        applied.append(f"{obj['kind'].lower()}/{name}")
    return applied


def objects(folder: Path, namespace: str | None = None, without: Collection[str] = ()) -> list[KubeObject]:
    """The objects of a folder and of its components, but for the files `without`, in its namespace or in the one given."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    fancy = set(kustomization) - {"apiVersion", "kind", "namespace", "resources", "components"}
    if fancy:
        raise ApplyFailed(f"{folder}/kustomization.yaml: {', '.join(sorted(fancy))}: not understood here")
    namespace = namespace or kustomization.get("namespace")
    found = []
    for name in kustomization["resources"]:
        if name in without:
            continue
        for obj in yaml.safe_load_all((folder / name).read_text()):
            resource = resources.find_kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                raise ApplyFailed(f"{name}: no matches for kind {obj['kind']!r} in version {obj['apiVersion']!r}")
            if namespace and resource is NAMESPACES:
                obj["metadata"]["name"] = namespace
            elif namespace and resource.namespaced:
                obj["metadata"]["namespace"] = namespace
            found.append(obj)
    for name in kustomization.get("components", ()):
        found += objects(folder / name, namespace, without)
    return found


@dataclass(frozen=True)
class _Client:
    server: str
    token: str
    tls: ssl.SSLContext

    @classmethod
    def load(cls, kubeconfig: Path) -> Self:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        return cls(cluster["server"], config["users"][0]["user"]["token"], tls)

    def send(self, method: str, path: str, body: KubeObject, content_type: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
        )
        # A proxy of the machine has nothing to do with a cluster on it.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
        )
        try:
            with opener.open(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def main() -> None:
    """``python -m local.cluster.apply FOLDER --kubeconfig FILE``"""
    parser = argparse.ArgumentParser(prog="python -m local.cluster.apply", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    options = parser.parse_args()
    for applied in apply(options.folder, options.kubeconfig):
        print(f"{applied} applied")


if __name__ == "__main__":
    main()
