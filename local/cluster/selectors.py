"""Label and field selectors of lists and watches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from local.cluster import errors
from local.cluster.resources import EVENTS, NAMESPACES, NODES, PODS, SECRETS, KubeObject, Resource

Predicate = Callable[[KubeObject], bool]

_SET = re.compile(r"(?P<key>[\w./-]+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)")
_EXISTS = re.compile(r"(?P<op>!?)\s*(?P<key>[\w./-]+)")

_FIELDS: dict[Resource, tuple[str, ...]] = {
    PODS: ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
           "status.podIP", "status.nominatedNodeName"),
    EVENTS: ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
             "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
             "reportingComponent", "source", "type"),
    NAMESPACES: ("status.phase",),
    NODES: ("spec.unschedulable",),
    SECRETS: ("type",),
}  # fmt: skip


def by_labels(text: str) -> Predicate:
    """A test of an object's labels: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``. Raises 400 when it cannot be read."""
    requirements = [_label_requirement(part, text) for part in _split(text)]
    return lambda obj: all(holds(obj["metadata"].get("labels") or {}) for holds in requirements)


def matches_labels(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """The ``matchLabels`` / ``matchExpressions`` form that objects carry."""
    operators: dict[str, Callable[[str | None, list[str]], bool]] = {
        "In": lambda value, values: value in values,
        "NotIn": lambda value, values: value not in values,
        "Exists": lambda value, _: value is not None,
        "DoesNotExist": lambda value, _: value is None,
    }
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        operators[one["operator"]](labels.get(one["key"]), one.get("values") or [])
        for one in selector.get("matchExpressions") or []
    )


def by_fields(resource: Resource, text: str) -> Predicate:
    """A test of an object's fields: ``metadata.name=a,status.phase!=Running``. Raises 400 for a field not indexed."""
    tests = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if match is None:
            raise errors.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in ("metadata.name", "metadata.namespace", *_FIELDS.get(resource, ())):
            raise errors.bad_request(
                f'Unable to find "{resource.group}/{resource.version}, Resource={resource.plural}" that match label '
                f'selector "", field selector "{text}": field label not supported: {field}'
            )
        tests.append((field.split("."), operator != "!=", value))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in tests)


def _split(text: str) -> list[str]:
    """Split at the commas that are not inside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_requirement(part: str, whole: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(part):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.fullmatch(part):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.fullmatch(part):
        key, wanted = match["key"], not match["op"]
        return lambda labels: (key in labels) is wanted
    raise errors.bad_request(f"unable to parse requirement: found '{part}' in selector \"{whole}\"")


def _field(obj: KubeObject, path: list[str]) -> str:
    value: Any = obj
    for step in path:
        value = value.get(step, "") if isinstance(value, dict) else ""
    # An event's source is indexed by its component.
    return str(value.get("component", "")) if isinstance(value, dict) else str(value)
