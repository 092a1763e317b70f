"""What a profile may say, as a JSON Schema, and a document held against it.

docs/profile.schema.json is this table for editors and people; `make profile-schema` writes it.
"""

from __future__ import annotations

import re
from typing import Any

from scoring.intake.tags import ALIASES, CHOICES, MODEL_NAME
from scoring.settings import MAX_ERRORS, PROTOCOLS

Schema = dict[str, Any]

# Kubernetes, "Object Names and IDs" and "Labels and Selectors".
_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_LABEL_KEY = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
# What dropscore finds its own objects by.
_NOT_OURS = r"^(?!dropscore\.io/)(?!app\.kubernetes\.io/managed-by$)"
# A quantity of Kubernetes that is more than nothing.
_AMOUNT = r"^(?=.*[1-9])[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
"""Those that the Pod Security Standard *baseline* lets a container add."""


def _text(description: str, pattern: str = r"^.*\S.*$") -> Schema:
    return {"description": description, "type": "string", "pattern": pattern}


def _words(description: str, words: tuple[str, ...]) -> Schema:
    return {"description": description, "type": "string", "enum": list(words)}


def _amount(description: str) -> Schema:
    return {"description": description, "type": ["string", "integer"], "pattern": _AMOUNT, "minimum": 1}


def _number(description: str, least: int, most: int | None = None) -> Schema:
    return {"description": description, "type": "integer", "minimum": least} | ({"maximum": most} if most else {})


def _flag(description: str) -> Schema:
    return {"description": description, "type": "boolean"}


def _list(description: str, item: Schema) -> Schema:
    return {"description": description, "type": "array", "items": item}


def _map(description: str, keys: str, value: Schema) -> Schema:
    names = {"pattern": keys}
    return {"description": description, "type": "object", "propertyNames": names, "additionalProperties": value}


_OF_TAGS: dict[str, Schema] = {
    "model_image": _text("ECR repository, with a tag or digest, or a full image URI"),
    "eks_cluster": _text("the cluster to run on"),
    "k8s_namespace": _text("the namespace to run in"),
    "ingress_url": _text("only ever the cluster's configured address"),
    "protocol": _words("how the model is spoken to", PROTOCOLS),
    "model_name": _text(
        "which of the server's models, with the protocol oip; with sas and split=rows, the model to call",
        f"^{MODEL_NAME.pattern}$",
    ),
    **{name: _words(f"as the tag {name}", words) for name, words in CHOICES.items()},
    "max_errors": {
        "description": "bad records that are put up with: a number or a share of the file",
        "type": ["string", "integer"],
        "pattern": f"^{MAX_ERRORS.pattern}$",
        "minimum": 0,
    },
    "encoding": _text("an encoding's name as Python has it"),
    "exclude": _text("columns that the model does not see"),
    "include": _text("all columns that the model sees"),
    "output": _text("which of the file's own columns come back"),
    "cpu": _amount("cores that the pod requests"),
    "memory": _amount("memory that the pod requests and may use"),
    "gpu": {"description": "GPUs", "type": ["string", "integer"], "pattern": "^[0-9]+$", "minimum": 0},
    "pods": {
        "description": "pods that score the file side by side: a number, or auto, by its size",
        "type": ["string", "integer"],
        "pattern": "^(auto|[1-9][0-9]*)$",
        "minimum": 1,
    },
}
_OF_POD: dict[str, Schema] = {
    "args": _list("arguments of the image's entry point, in place of its CMD and of the protocol's own; [] for its CMD", {"type": "string"}),
    "command": _list("in place of the image's ENTRYPOINT", {"type": "string"}) | {"minItems": 1},
    "env": _map("environment variables, above the protocol's own; no place for secrets", r"^[-._A-Za-z][-._A-Za-z0-9]*$", {"type": "string"}),
    "port": _number("the port that the model listens on (8080)", 1, 65_535),
    "service_account": _text("the pod's service account", _NAME),
    "pull_secrets": _list("secrets of the namespace to pull the image with", {"type": "string", "pattern": _NAME}),
    "run_as_user": _number("numeric user id, for an image whose USER is a name", 0, 2**31 - 1),
    "run_as_non_root": _flag("false for an image that insists on root; in place of the cluster's setting"),
    "capabilities": _list("in place of those that a root image gets", {"type": "string", "enum": list(CAPABILITIES)}) | {"uniqueItems": True},
    "read_only_root": _flag("whether the image's file system is read-only; /tmp can be written to"),
    "shm": _amount("size of /dev/shm, which counts as memory of the pod"),
    "labels": _map("labels of the pod", _NOT_OURS + _LABEL_KEY, {"type": "string", "pattern": _LABEL_VALUE}),
    "annotations": _map("annotations of the pod", _NOT_OURS + _LABEL_KEY, {"type": "string"}),
    "priority_class": _text("the pod's priority class", _NAME),
    "runtime_class": _text("the pod's runtime class", _NAME),
    "node_selector": _map("labels that a node must have, besides the cluster's", "^" + _LABEL_KEY, {"type": "string", "pattern": _LABEL_VALUE}),
    "tolerations": _list("taints of nodes that are put up with, besides the cluster's", {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "key": {"type": "string"},
            "operator": {"type": "string", "enum": ["Equal", "Exists"]},
            "value": {"type": "string"},
            "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": {"type": "integer", "minimum": 0},
        },
    }),
}  # fmt: skip
_OF_RESOURCES: dict[str, Schema] = {
    "cpu_limit": _amount("cores that the pod may use at most (no limit)"),
    "ephemeral_storage": _amount("disk that the pod requests and may use"),
}
_OF_LIMITS: dict[str, Schema] = {
    "max_in_flight": _number("batches sent at once, at most", 1),
    "max_batch_bytes": _number("bytes of the file in one batch, at most; a longer record goes alone", 1),
    "max_batch_records": _number("records in one batch, at most", 1),
}
_OF_DEADLINES: dict[str, Schema] = {
    "start_seconds": _number(
        "from the pod's creation (or its admission by a queue) until its model's first good ping", 30, 43_200
    ),
    "scoring_seconds": _number("from that ping until the model is done; at most six days", 60, 518_400),
}
_OF_PROFILES: dict[str, Schema] = {
    "folders": _list(
        'the profile is for files in these folders below the input prefix, each with a slash at its end; "" is all of it',
        {"type": "string", "pattern": r"^([^/].*/)?$"},
    )
    | {"uniqueItems": True},
    "locked": _list("what tags may not change", {"type": "string", "enum": list(ALIASES)}) | {"uniqueItems": True},
}

TAGS, POD, RESOURCES, LIMITS, DEADLINES = map(tuple, (_OF_TAGS, _OF_POD, _OF_RESOURCES, _OF_LIMITS, _OF_DEADLINES))
SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A profile of dropscore",
    "description": "The value of the SSM parameter /<stack>/profiles/<name>.",
    "type": "object",
    "additionalProperties": False,
    "properties": _OF_PROFILES | _OF_TAGS | _OF_POD | _OF_RESOURCES | _OF_LIMITS | _OF_DEADLINES,
}

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}
_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
}


def problem(value: Any, schema: Schema = SCHEMA, where: str = "") -> str | None:
    """What is wrong with a value, beginning with the key where it is; None if it is as its schema says.

    Knows the words of JSON Schema that are used above, and no others.
    """
    here = f"{where} " if where else "It "
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(isinstance(value, _TYPES[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
        return f"{here}must be {' or '.join(_NAMES[kind] for kind in kinds)}, not {_shown(value)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{here}is {_shown(value)}; it must be one of {', '.join(schema['enum'])}"
    if isinstance(value, str) and not re.fullmatch(schema.get("pattern", r"(?s).*"), value):
        return f"{here}is {_shown(value)}, which does not match {schema['pattern']}"
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        most = f" and at most {schema['maximum']}" if "maximum" in schema else ""
        return f"{here}is {value}; it must be at least {schema['minimum']}{most}"
    if isinstance(value, list):
        return _problem_of_list(value, schema, where)
    return _problem_of_object(value, schema, where) if isinstance(value, dict) else None


def _problem_of_list(value: list[Any], schema: Schema, where: str) -> str | None:
    if len(value) < schema.get("minItems", 0):
        return f"{where} must not be empty"
    for place, item in enumerate(value):
        if found := problem(item, schema["items"], f"{where}[{place}]"):
            return found
        if schema.get("uniqueItems") and item in value[:place]:
            return f"{where} says {_shown(item)} twice"
    return None


def _problem_of_object(value: dict[str, Any], schema: Schema, where: str) -> str | None:
    properties, others = schema.get("properties", {}), schema["additionalProperties"]
    for key, each in value.items():
        path = f"{where}.{key}" if where else key
        if key not in properties and others is False:
            return f"{path} is no key that is known"
        if not re.fullmatch(schema.get("propertyNames", {}).get("pattern", r"(?s).*"), key):
            return f"{path} cannot be set: the name does not match {schema['propertyNames']['pattern']}"
        if found := problem(each, properties.get(key, others), path):
            return found
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
