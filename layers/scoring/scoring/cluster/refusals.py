"""What an API server's refusal means: its HTTP status and its words → one of our errors (pure)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from scoring.errors import ClusterAccessDenied, ClusterUnreachable, DropscoreError, PodRefused, QuotaExceeded
from scoring.intake.quantities import quantity

# What a namespace is paused by when its quota has none of it. (No GPU is a decision, not a pause.)
_EVERY_POD_NEEDS = {
    "pods",
    "count/pods",
    *(f"{kind}{name}" for kind in ("", "requests.", "limits.") for name in ("cpu", "memory")),
}
_REQUESTED = {"cpu", "memory", "ephemeral-storage"}
_PAUSED = "Nothing: the file waits until somebody gives the namespace's ResourceQuota room again."


class NotFound(DropscoreError):
    """The API server has no such object (internal: callers handle it)."""


class AlreadyExists(DropscoreError):
    """The API server has an object of that name already (internal: callers handle it)."""


class Expired(DropscoreError):
    """A watch asked for a resourceVersion that is too old (internal: callers list again)."""


def refusal(cluster: str, call: str, status: int, body: Any, http_reason: str) -> DropscoreError:
    """What an API server's refusal means: its HTTP status and `Status` object → one of our errors (pure)."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    message = str(document.get("message") or text[:500] or http_reason)
    reason = document.get("reason", "")
    said = f"the cluster {cluster} answered {status} to {call}: {message}"
    if status == 404:
        return NotFound(message)
    if status == 410:
        return Expired(message)
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists(message)
    if status == 403 and "exceeded quota" in message:
        if asks_for_more_than_all(message):
            return PodRefused(f"The pod asks for more than the whole namespace may use: {said}")
        lacks = lacking(message)
        if is_paused(message):
            return QuotaExceeded(
                f"Somebody has paused the namespace by a quota of nothing: {said}", _PAUSED, lacks=lacks
            )
        return QuotaExceeded(f"The namespace is full: {said}", lacks=lacks)
    if status == 401:
        return ClusterAccessDenied(f"The cluster does not know this function's role: {said}")
    if status == 403 and "User " in message and " cannot " in message:
        return ClusterAccessDenied(f"This function's role may not do that: {said}")
    if status in (400, 403, 422):
        return PodRefused(f"The cluster refused what this file asks for: {said}")
    return ClusterUnreachable(f"The cluster could not serve a call: {said}")


def asks_for_more_than_all(message: str) -> bool:
    """Whether a quota's refusal says `requested` more than is `limited`: then no waiting helps.

    The sentence is the API server's own: `… requested: pods=1,requests.cpu=8, used: …, limited: pods=50,requests.cpu=4`.
    A limit of nothing on what every pod needs is no such verdict, but a pause.
    """
    exceeded = _exceeded(message)
    return any(amount > limit for name, amount, _, limit in exceeded if limit or name not in _EVERY_POD_NEEDS)


def is_paused(message: str) -> bool:
    """Whether a quota's refusal says that nothing at all may run: somebody has paused the namespace, and will go on."""
    return any(not limit for name, _, _, limit in _exceeded(message) if name in _EVERY_POD_NEEDS)


def lacking(message: str) -> dict[str, float]:
    """How much has to be freed of each resource (`pods`, `requests.cpu`, `limits.memory`, …) before a quota takes what it
    refused.
    """
    found: dict[str, float] = {}
    for name, amount, used, limit in _exceeded(message):
        # A bare name of what is requested means the requests (Kubernetes documentation, "Resource Quotas").
        resource = f"requests.{name}" if name in _REQUESTED else name.removeprefix("count/")
        found[resource] = max(found.get(resource, 0), float(amount + used - limit))
    return {resource: amount for resource, amount in found.items() if amount > 0}


def _exceeded(message: str) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    """Name, request, use and limit of what a quota's refusal lists."""
    found = re.search(r"requested: (.*?), used: (.*?), limited: (.*)", message)
    if not found:
        return []
    requested, used, limited = (
        {name: quantity(amount) for name, _, amount in (item.partition("=") for item in text.split(","))}
        for text in found.groups()
    )
    listed = ((name, amount, used.get(name) or Decimal(0), limited.get(name)) for name, amount in requested.items())
    return [
        (name, amount, in_use, limit)
        for name, amount, in_use, limit in listed
        if amount is not None and limit is not None
    ]
