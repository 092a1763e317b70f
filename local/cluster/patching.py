"""PATCH: JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

import copy
from typing import Any

from local.cluster import errors
from local.cluster.resources import KubeObject

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"


def check_type(content_type: str) -> None:
    """Raise 415 for a patch in another format (server-side apply is one)."""
    if content_type not in (MERGE, STRATEGIC, JSON):
        supported = ", ".join((JSON, MERGE, STRATEGIC))
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: " + supported
        )


def apply(content_type: str, patch: Any, obj: KubeObject) -> KubeObject:
    """The patched object; raises 400, 415 or 422 for what cannot be applied."""
    if content_type == JSON and isinstance(patch, list):
        return _json_patch(copy.deepcopy(obj), patch)
    if content_type == JSON or not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch")
    if content_type == STRATEGIC and _has_list(patch):
        # Strategic merging of lists needs the merge keys of each type; without lists it is a merge patch.
        raise errors.unsupported_media_type("the embedded cluster merges no lists strategically: use a merge patch")
    merged = _merge(obj, patch)
    assert isinstance(merged, dict)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _has_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_list(one) for one in value.values())
    return isinstance(value, list)


def _json_patch(obj: KubeObject, operations: list[dict[str, Any]]) -> KubeObject:
    for operation in operations:
        try:
            _operate(obj, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise errors.ApiError(
                422, "Invalid", f"the server rejected our request due to an error in our request: {operation}"
            ) from error
    return obj


def _operate(obj: KubeObject, operation: dict[str, Any]) -> None:
    *way, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:])
    target: Any = obj
    for step in way:
        target = target[int(step)] if isinstance(target, list) else target[step]
    key: Any = last
    if isinstance(target, list):
        key = len(target) if last == "-" else int(last)
    match operation["op"]:
        case "add" if isinstance(target, list):
            target.insert(key, operation["value"])
        case "add":
            target[key] = operation["value"]
        case "replace":
            target[key]  # replacing what is not there is an error
            target[key] = operation["value"]
        case "remove":
            del target[key]
        case "test":
            if target[key] != operation["value"]:
                raise ValueError("test failed")
        case other:
            raise ValueError(f"unsupported operation {other}")
