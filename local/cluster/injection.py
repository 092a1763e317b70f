"""What a mutating webhook does to pods in a real cluster (a mesh's sidecar, Kueue's gate), told by a ConfigMap instead.

A ConfigMap of the pod's namespace with the label ``local.dropscore.io/injects: pods`` holds ``image`` (the pods that it is
for: those with an image whose name contains this) and ``spec``, JSON: its lists are added to those of the pod's spec, its
other fields replace the pod's.
"""

from __future__ import annotations

import json

from local.cluster.resources import CONFIG_MAPS, KubeObject
from local.cluster.store import Store

_LABEL = "local.dropscore.io/injects"


def apply(store: Store, pod: KubeObject) -> None:
    """Change a new pod, in place, as the rules of its namespace say."""
    spec = pod["spec"]
    images = [str(container.get("image")) for container in spec.get("containers") or []]
    for rule in store.objects(CONFIG_MAPS, pod["metadata"]["namespace"]):
        if (rule["metadata"].get("labels") or {}).get(_LABEL) != "pods":
            continue
        if not any(rule["data"]["image"] in image for image in images):
            continue
        for field, value in json.loads(rule["data"]["spec"]).items():
            spec[field] = [*(spec.get(field) or []), *value] if isinstance(value, list) else value
