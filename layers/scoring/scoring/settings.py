"""The only place that reads the environment.

Each variable is set by template.yaml from a parameter of the stack; the table of settings in docs/deploy.md documents them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from scoring.errors import InvalidSettings

ROUTES = ("gateway", "ingress", "pod_ip")
# With `auto`, the container tells.
PROTOCOLS = ("auto", "sas", "sagemaker", "mlflow", "oip")
# Bad records that are put up with: so many, or such a part of the file.
MAX_ERRORS = re.compile(r"[0-9]+(([.][0-9]+)?%)?")
# The name of a Kubernetes object (RFC 1123 subdomain) that is also the value of a label, which is shorter.
_QUEUE = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True)
class ClusterSettings:
    """What an administrator configured for one cluster (one entry of the parameter Clusters)."""

    name: str
    namespaces: tuple[str, ...]
    route: str = "gateway"
    url: str = ""
    gateway: Mapping[str, str] = field(default_factory=dict)
    ingress: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    run_as_non_root: bool = True
    queue: str = ""
    """The LocalQueue of Kueue that pods wait in; empty where there is no Kueue."""

    @classmethod
    def from_json(cls, name: str, entry: Any) -> ClusterSettings:
        """Check one entry.

        Raises
        ------
        InvalidSettings
            An unknown key, no namespace, an unknown route, a route by URL without the URL, or a queue that cannot exist.
        """
        known = {name for name in cls.__dataclass_fields__ if name != "name"}
        if not isinstance(entry, dict) or not entry.keys() <= known:
            raise InvalidSettings(
                f"Clusters: the entry of {name!r} must be an object with keys out of {sorted(known)}."
            )
        namespaces, route, url = entry.get("namespaces"), entry.get("route", "gateway"), entry.get("url", "")
        if not isinstance(namespaces, list) or not namespaces or not all(isinstance(n, str) for n in namespaces):
            raise InvalidSettings(f"Clusters: {name!r} needs `namespaces`, a list with at least one name.")
        if route not in ROUTES:
            raise InvalidSettings(f"Clusters: the route of {name!r} must be one of {', '.join(ROUTES)}, not {route!r}.")
        if route != "pod_ip" and not str(url).startswith(("http://", "https://")):
            raise InvalidSettings(f"Clusters: the route {route} of {name!r} needs `url`, the address of its {route}.")
        ingress = entry.get("ingress", {})
        host = ingress.get("host", "") if isinstance(ingress, dict) else ""
        if host and host != urlsplit(str(url)).hostname:
            raise InvalidSettings(
                f"Clusters: the ingress of {name!r} has the host {host!r}, so `url` must name that host, too, not {url!r}."
            )
        queue = entry.get("queue", "")
        if queue != "" and not (isinstance(queue, str) and _QUEUE.fullmatch(queue)):
            raise InvalidSettings(
                f"Clusters: the queue of {name!r} must be the name of a LocalQueue (at most 63 lower-case letters, digits, "
                f"hyphens and dots), not {queue!r}."
            )
        fields = entry | {"namespaces": tuple(namespaces), "tolerations": tuple(entry.get("tolerations", ()))}
        return cls(name=name, **fields | {"url": str(url).rstrip("/")})

    def to_json(self) -> dict[str, Any]:
        """The entry again, every key in it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "name"}
        return values | {"namespaces": list(self.namespaces), "tolerations": list(self.tolerations)}


@dataclass(frozen=True)
class Settings:
    """All settings; times are seconds, `memory` is a Kubernetes quantity such as `1Gi`, `cpu` such as `500m`.

    `input_suffix` is in lower case; `max_errors` is a number of records or a percentage such as `0.1%`.
    """

    stack_name: str = ""
    input_bucket: str = ""
    input_prefix: str = ""
    input_suffix: tuple[str, ...] = ()
    # Its default is the template's alone: an empty parameter means that nothing is ignored.
    ignored_files: tuple[str, ...] = ()
    output_bucket: str = ""
    output_prefix: str = ""
    ecr_registry: str = ""
    # Where these are in Parameter Store; set for the functions that read them.
    profiles: str = ""
    clusters_path: str = ""
    default_model_image: str = ""
    default_eks_cluster: str = ""
    default_protocol: str = "auto"
    allowed_model_images: tuple[str, ...] = ()
    clusters: Mapping[str, ClusterSettings] = field(default_factory=dict)
    default_cpu: str = "500m"
    default_memory: str = "1Gi"
    max_cpu: str = "4"
    max_memory: str = "16Gi"
    max_gpu: int = 0
    max_errors: str = "10000"
    max_pods_per_file: int = 8
    start_deadline_seconds: int = 900
    route_deadline_seconds: int = 120
    scoring_deadline_seconds: int = 86_400
    tag_wait_seconds: int = 2
    receipts: bool = False
    # What S3 is told to encrypt with; empty leaves it to the bucket.
    kms_key_arn: str = ""
    score_file_state_machine_arn: str = ""
    attempt_state_machine_arn: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the variables named as the fields, in capitals; what is not set keeps its default.

        Raises
        ------
        InvalidSettings
            A value that cannot be what its field is, or output that would land under the input prefix.
        """
        values: dict[str, Any] = {}
        for name, spec in cls.__dataclass_fields__.items():
            text = environ.get(name.upper(), "")
            if text == "":
                continue
            if name == "clusters":
                values[name] = _clusters(text)
            elif name == "input_suffix":
                values[name] = _listed(text.lower())
            elif spec.type == "tuple[str, ...]":
                values[name] = _listed(text)
            elif spec.type == "int":
                if not text.isdigit():
                    raise InvalidSettings(f"{name.upper()} must be a whole number, not {text!r}.")
                values[name] = int(text)
            elif spec.type == "bool":
                if text not in ("true", "false"):
                    raise InvalidSettings(f"{name.upper()} must be true or false, not {text!r}.")
                values[name] = text == "true"
            else:
                values[name] = text
        settings = cls(**values)
        if not MAX_ERRORS.fullmatch(settings.max_errors):
            raise InvalidSettings(
                f"MAX_ERRORS must be a number of records or a percentage such as 0.1%, not {settings.max_errors!r}."
            )
        # S3's own loop detection does not see a loop that passes through Step Functions.
        if settings.output_bucket == settings.input_bucket != "" and (
            settings.output_prefix.startswith(settings.input_prefix)
        ):
            raise InvalidSettings("The output prefix lies under the input prefix: scored files would be scored again.")
        return settings


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _clusters(text: str) -> dict[str, ClusterSettings]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InvalidSettings(f"Clusters is not JSON: {error}.") from error
    if not isinstance(entries, dict):
        raise InvalidSettings("Clusters must be a JSON object: cluster name to settings.")
    return {name: ClusterSettings.from_json(name, entry) for name, entry in entries.items()}


@cache
def current() -> Settings:
    """The settings of this function, read once."""
    return Settings.from_environ(os.environ)
