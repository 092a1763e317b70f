"""Tags of a file and settings of the stack → what is to be done (the `request` of an attempt's state).

A tag is untrusted input: it chooses among what the administrator configured, within bounds; it never decides where data
goes. Each missing tag falls back by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scoring.errors import ClusterNotFound, InvalidTags, NamespaceNotAllowed
from scoring.settings import MAX_ERRORS, PROTOCOLS, ClusterSettings, Settings

# The name in the documentation first; the others mean the same.
ALIASES = {
    "model_image": ("modelimagename",),
    "eks_cluster": ("k8scluster",),
    "k8s_namespace": ("k8snamespace",),
    "ingress_url": ("k8singressurl",),
    "protocol": (),
    "model_name": (),
    "split": (),
    "rows": (),
    "max_errors": (),
    "header": (),
    "delimiter": (),
    "decimal": (),
    "escape": (),
    "encoding": (),
    "exclude": (),
    "include": (),
    "output": (),
    "cpu": (),
    "memory": (),
    "gpu": (),
}
# A tag cannot hold most of these characters itself.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
CHOICES = {
    "split": ("file", "rows"),
    "rows": ("same", "any"),
    "header": ("first", "none"),
    "delimiter": tuple(DELIMITERS),
    "decimal": ("point", "comma"),
    "escape": ("double", "backslash"),
}
"""What those tags may say that choose among a few words; the first is what counts without the tag, or what is looked for."""
READING = ("header", "delimiter", "decimal", "escape", "encoding", "exclude", "include", "output")
"""The tags that say how the file is to be read: the file itself decides what they come to."""
# It goes into a path of the model server's.
_MODEL_NAME = re.compile(r"[\w.-]{1,128}", re.ASCII)
# Kubernetes quantities, the suffixes that cpu and memory are written with.
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTOR: dict[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGT", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGT", 1)},
}


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


def from_tags(tags: Mapping[str, str], settings: Settings) -> Wanted:
    """Decide what the tags ask for.

    Raises
    ------
    InvalidTags, ClusterNotFound, NamespaceNotAllowed
    """
    values = _by_name(tags)
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
    if model_name and not _MODEL_NAME.fullmatch(model_name):
        raise InvalidTags(f"The tag model_name is {model_name!r}; it must be letters, digits, and _ . - (128 at most).")
    cluster = _cluster(values.get("eks_cluster") or settings.default_eks_cluster, settings)
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
    check(protocol, split, rows, values, model_name)
    reading = {tag: values[tag] for tag in READING if tag in values}
    return Wanted(
        model_image,
        cluster,
        namespace,
        protocol,
        model_name,
        split,
        rows,
        _max_errors(values.get("max_errors", "0"), settings.max_errors),
        reading,
        _resources(values, settings),
    )


def check(protocol: str, split: str, rows: str, tags: Collection[str], model_name: str) -> None:
    """Refuse what a model of the protocol cannot honour; with `auto`, what none can.

    Parameters
    ----------
    tags
        Those that are there.

    Raises
    ------
    InvalidTags
    """
    if protocol == "sas" and split == "file":
        _refuse(
            tags, ("exclude", "include", "output", "max_errors"), "split=rows", "a sas container gets the file whole"
        )
    if protocol not in ("sas", "auto") and rows == "any":
        raise InvalidTags(
            f"The tag rows is any, but a model of the protocol {protocol} answers each record.", "Leave the tag out."
        )
    if rows == "any":
        _refuse(tags, ("exclude", "include", "output", "max_errors"), "", "with rows=any no row belongs to a record")
    if model_name and protocol not in ("oip", "auto"):
        raise InvalidTags(
            f"The tag model_name is {model_name!r}, but a container of the protocol {protocol} has one model.",
            "Leave the tag out.",
        )


def _refuse(tags: Collection[str], refused: tuple[str, ...], instead: str, why: str) -> None:
    """No tag is ignored that would change a result."""
    if found := [tag for tag in refused if tag in tags]:
        remedy = f"Tag the file with {instead}, too, or leave {found[0]} out." if instead else f"Leave {found[0]} out."
        raise InvalidTags(f"The tag {found[0]} cannot be honoured: {why}.", remedy)


def _max_errors(text: str, limit: str) -> tuple[str, ...]:
    """What the tag max_errors says, and the stack's own limit where only the file's size can tell which is less."""
    if not MAX_ERRORS.fullmatch(text):
        raise InvalidTags(
            f"The tag max_errors is {text!r}; write a number of records, or a share of them such as 0.1%."
        )
    if text.endswith("%") != limit.endswith("%"):
        return ("0",) if text == "0" else (text, limit)
    if Decimal(text.removesuffix("%")) > Decimal(limit.removesuffix("%")):
        raise InvalidTags(f"The tag max_errors asks for {text}; at most {limit} are allowed (MaxErrors).")
    return (text,)


def _by_name(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags under their documented names, empty ones left out.

    Raises
    ------
    InvalidTags
        Both names of one tag are there and differ.
    """
    values: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        found = {tags[key].strip() for key in (name, *aliases) if tags.get(key, "").strip()}
        if len(found) > 1:
            raise InvalidTags(f"The tags {' and '.join((name, *aliases))} mean the same but differ.")
        if found:
            values[name] = found.pop()
    return values


def _cluster(name: str, settings: Settings) -> ClusterSettings:
    if name not in settings.clusters:
        raise ClusterNotFound(
            f"The cluster {name!r} is not one that dropscore is set up for ({', '.join(settings.clusters) or 'none is'})."
        )
    return settings.clusters[name]


def _resources(values: Mapping[str, str], settings: Settings) -> dict[str, str]:
    resources = {
        "cpu": _within("cpu", values.get("cpu") or settings.default_cpu, settings.max_cpu),
        "memory": _within("memory", values.get("memory") or settings.default_memory, settings.max_memory),
    }
    gpu = values.get("gpu", "0")
    if not gpu.isdecimal() or not gpu.isascii():
        raise InvalidTags(f"The tag gpu is {gpu!r}; it must be a whole number.")
    if int(gpu) > settings.max_gpu:
        raise InvalidTags(f"The tag gpu asks for {gpu}; at most {settings.max_gpu} are allowed.")
    if int(gpu):
        resources["gpu"] = str(int(gpu))
    return resources


def _within(tag: str, text: str, limit: str) -> str:
    amount = quantity(text)
    if not amount:
        raise InvalidTags(f"The tag {tag} is {text!r}; write it as Kubernetes does, for example 500m, 2, 512Mi or 4Gi.")
    most = quantity(limit)
    if most is not None and amount > most:
        raise InvalidTags(f"The tag {tag} asks for {text}; at most {limit} is allowed.")
    return text


def quantity(text: str) -> Decimal | None:
    """A Kubernetes quantity as a number (cores, bytes), or None if it is none."""
    match = _QUANTITY.fullmatch(text) if text.isascii() else None
    return Decimal(match[1]) * _FACTOR[match[2]] if match else None


def of_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The request of an attempt's state; its protocol is the one that was found, once it was."""
    request: dict[str, Any] = state["request"]
    found = state.get("endpoint", {}).get("protocol")
    return request | ({"protocol": found} if found else {})


def to_json(
    wanted: Wanted, image: str, output: Mapping[str, str], file_format: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    """The `request` of the attempt's state; see docs/state.md."""
    return {
        "image": image,
        "cluster": wanted.cluster.name,
        "namespace": wanted.namespace,
        "protocol": wanted.protocol,
        "model_name": wanted.model_name,
        "split": wanted.split,
        "rows": wanted.rows,
        "max_errors": list(wanted.max_errors),
        "format": dict(file_format),
        "resources": wanted.resources,
        "output": dict(output),
        "deadlines": {
            "start_seconds": settings.start_deadline_seconds,
            "route_seconds": settings.route_deadline_seconds,
            "scoring_seconds": settings.scoring_deadline_seconds,
        },
    }
