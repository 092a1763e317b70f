"""What the steps after resolve_request read of the request in an attempt's state: without what makes a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PORT = 8080
"""The port that a model listens on unless a profile says another, as SageMaker's, MLflow's and SAS's containers do."""


def request(state: Mapping[str, Any]) -> dict[str, Any]:
    """The request of an attempt; its protocol is the one that was found, once it was."""
    resolved: dict[str, Any] = state["request"]
    found = endpoint(state).get("protocol")
    return resolved | ({"protocol": found} if found else {})


def endpoint(state: Mapping[str, Any]) -> dict[str, Any]:
    """Where the attempt's pod is spoken to, as launch_pod or await_pod found; empty before they looked."""
    # An execution that began before the pod's own had it tells it beside the pod.
    found: dict[str, Any] = (state.get("pod") or {}).get("endpoint") or state.get("endpoint") or {}
    return found


def port(request: Mapping[str, Any]) -> int:
    """The port that the model of a request listens on."""
    found: int = request.get("pod", {}).get("port", PORT)
    return found
