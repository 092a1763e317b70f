"""Tags of a file, its profile and the settings of the stack → what is to be done (the `request` of an attempt's state).

A tag is untrusted input: it chooses among what the administrator configured, within bounds; it never decides where data
goes. Each missing tag falls back by itself, on the profile first and then on the stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from scoring.errors import InvalidTags, NamespaceNotAllowed
from scoring.intake import clusters, pods, profiles, schema, starts
from scoring.intake.parameters import Stored
from scoring.intake.profiles import Profile
from scoring.intake.quantities import quantity
from scoring.intake.tags import CHOICES, MODEL_NAME, READING, by_name, check_honoured
from scoring.settings import MAX_ERRORS, PROTOCOLS, ClusterSettings, Settings


@dataclass(frozen=True)
class Wanted:
    """The request as far as tags and settings alone decide it: the image is a name still, the cluster unasked."""

    model_image: str
    cluster: ClusterSettings
    namespace: str
    protocol: str
    model_name: str
    split: str
    rows: str
    max_errors: tuple[str, ...]
    reading: dict[str, str]
    resources: dict[str, str]
    pod: dict[str, Any]
    pods: str
    profile: Profile


def from_tags(
    tags: Mapping[str, str],
    settings: Settings,
    profile: Profile = profiles.NONE,
    stored_clusters: Mapping[str, Stored] = MappingProxyType({}),
) -> Wanted:
    """Decide what the tags ask for; where they are silent, what the profile says.

    Raises
    ------
    InvalidTags, ClusterNotFound, NamespaceNotAllowed, InvalidSettings
    """
    own = by_name(tags)
    values = profile.checked(own)
    unbounded = profile.tags.keys() - own.keys()
    model_image = values.get("model_image") or settings.default_model_image
    if not model_image:
        raise InvalidTags(
            "The file has no tag model_image, and no default is set.",
            "Tag the file with model_image and drop it again.",
        )
    protocol = values.get("protocol") or settings.default_protocol
    if protocol not in PROTOCOLS:
        raise InvalidTags(f"The tag protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}.")
    model_name = values.get("model_name", "")
    if model_name and not MODEL_NAME.fullmatch(model_name):
        allowed = "letters, digits, and _ . - (128 at most, no dot at its beginning)"
        raise InvalidTags(f"The tag model_name is {model_name!r}; it must be {allowed}.")
    cluster = clusters.find(values.get("eks_cluster") or settings.default_eks_cluster, settings, stored_clusters)
    namespace = values.get("k8s_namespace") or cluster.namespaces[0]
    if namespace not in cluster.namespaces:
        raise NamespaceNotAllowed(
            f"The namespace {namespace!r} is not open to dropscore on the cluster {cluster.name} "
            f"({', '.join(cluster.namespaces)} are)."
        )
    url = values.get("ingress_url", "").rstrip("/")
    if url and url != cluster.url:
        raise InvalidTags(
            f"The tag ingress_url is {url!r}, but the cluster {cluster.name} is reached at {cluster.url or 'its pods'}.",
            "Leave the tag out; the stack's settings know the address.",
        )
    for tag, words in CHOICES.items():
        if values.get(tag, words[0]) not in words:
            raise InvalidTags(f"The tag {tag} is {values[tag]!r}; it must be {' or '.join(words)}, or left out.")
    split, rows = values.get("split", "file"), values.get("rows", "same")
    check_honoured(protocol, split, rows, values, model_name)
    reading = {tag: values[tag] for tag in READING if tag in values}
    resources = _resources(values, unbounded, settings) | {
        key: str(value) for key, value in profile.part(schema.RESOURCES).items()
    }
    _check_cpu_limit(resources)
    return Wanted(
        model_image,
        cluster,
        namespace,
        protocol,
        model_name,
        split,
        rows,
        _max_errors(values.get("max_errors", "0"), "" if "max_errors" in unbounded else settings.max_errors),
        reading,
        resources,
        starts.pod(protocol, resources, profile),
        pods.checked(
            values.get("pods", "1"), protocol, split, None if "pods" in unbounded else settings.max_pods_per_file
        ),
        profile,
    )


def _max_errors(text: str, limit: str) -> tuple[str, ...]:
    """What is said of max_errors, and the stack's own limit where only the file's size can tell which is less.

    Without a limit, it is a profile's word.
    """
    if not MAX_ERRORS.fullmatch(text):
        raise InvalidTags(
            f"The tag max_errors is {text!r}; write a number of records, or a share of them such as 0.1%."
        )
    if not limit:
        return (text,)
    if text.endswith("%") != limit.endswith("%"):
        return ("0",) if text == "0" else (text, limit)
    if Decimal(text.removesuffix("%")) > Decimal(limit.removesuffix("%")):
        raise InvalidTags(f"The tag max_errors asks for {text}; at most {limit} are allowed (MaxErrors).")
    return (text,)


def _resources(values: Mapping[str, str], unbounded: Set[str], settings: Settings) -> dict[str, str]:
    """Cpu, memory and GPUs, within the stack's bounds; an `unbounded` one is a profile's word."""
    cpu, memory = values.get("cpu") or settings.default_cpu, values.get("memory") or settings.default_memory
    resources = {
        "cpu": _within("cpu", cpu, "" if "cpu" in unbounded else settings.max_cpu),
        "memory": _within("memory", memory, "" if "memory" in unbounded else settings.max_memory),
    }
    gpu = values.get("gpu", "0")
    if not gpu.isdecimal() or not gpu.isascii():
        raise InvalidTags(f"The tag gpu is {gpu!r}; it must be a whole number.")
    if "gpu" not in unbounded and int(gpu) > settings.max_gpu:
        raise InvalidTags(f"The tag gpu asks for {gpu}; at most {settings.max_gpu} are allowed.")
    if int(gpu):
        resources["gpu"] = str(int(gpu))
    return resources


def _check_cpu_limit(resources: Mapping[str, str]) -> None:
    asked, most = quantity(resources["cpu"]), quantity(resources.get("cpu_limit", ""))
    if asked and most and asked > most:
        raise InvalidTags(f"The tag cpu asks for {resources['cpu']}; cpu_limit is {resources['cpu_limit']}.")


def _within(tag: str, text: str, limit: str) -> str:
    amount = quantity(text)
    if not amount:
        raise InvalidTags(f"The tag {tag} is {text!r}; write it as Kubernetes does, for example 500m, 2, 512Mi or 4Gi.")
    most = quantity(limit)
    if most is not None and amount > most:
        raise InvalidTags(f"The tag {tag} asks for {text}; at most {limit} is allowed.")
    return text


def to_json(
    wanted: Wanted,
    image: str,
    output: Mapping[str, str],
    file_format: Mapping[str, Any],
    settings: Settings,
    pods_of_file: int = 1,
) -> dict[str, Any]:
    """The `request` of the attempt's state; see docs/state.md."""
    return {
        "image": image,
        "profile": wanted.profile.identity,
        "cluster": wanted.cluster.name,
        "cluster_settings": wanted.cluster.to_json(),
        "namespace": wanted.namespace,
        "protocol": wanted.protocol,
        "model_name": wanted.model_name,
        "split": wanted.split,
        "rows": wanted.rows,
        "max_errors": list(wanted.max_errors),
        "format": dict(file_format),
        "resources": wanted.resources,
        "pod": wanted.pod,
        "limits": wanted.profile.part(schema.LIMITS),
        "pods": pods_of_file,
        "asked_pods": wanted.pods,
        "output": dict(output),
        "deadlines": {
            "start_seconds": settings.start_deadline_seconds,
            "route_seconds": settings.route_deadline_seconds,
            "scoring_seconds": settings.scoring_deadline_seconds,
        }
        | wanted.profile.part(schema.DEADLINES),
    }
