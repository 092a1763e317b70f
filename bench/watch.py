"""When each pod was created and when it was ready, to the millisecond: an administrator's watch.

Kubernetes itself writes these moments in whole seconds.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes.client import ApiClient

from local import parts


@dataclass
class Moments:
    """Seconds since the epoch at which the watch told it; 0 for not yet."""

    created: float = 0.0
    ready: float = 0.0


class Pods:
    """The pods of dropscore's namespace, watched by a thread of its own until `close`."""

    def __init__(self, kubernetes: ApiClient) -> None:
        self._kubernetes = kubernetes
        self._moments: dict[str, Moments] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Call it before the API server goes away."""
        self._closed.set()

    def of(self, name: str) -> Moments:
        """Give the moments of a pod that has been ready by now."""
        moments = self._moments.get(name, Moments())
        if not moments.ready:
            raise RuntimeError(f"the watch has not seen {name} become ready")
        return moments

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                response = self._kubernetes.call_api(
                    f"/api/v1/namespaces/{parts.NAMESPACE}/pods",
                    "GET",
                    query_params=[("watch", "true"), ("timeoutSeconds", "3600")],
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                )
                self._read(response)
            except urllib3.exceptions.HTTPError:
                # A watch may end at any time; the next one begins with what is there.
                continue

    def _read(self, response: Any) -> None:
        pending = b""
        for chunk in response.stream(amt=None):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in filter(None, lines):
                self._note(json.loads(line)["object"], time.time())

    def _note(self, pod: dict[str, Any], now: float) -> None:
        moments = self._moments.setdefault(pod["metadata"]["name"], Moments(created=now))
        conditions = pod.get("status", {}).get("conditions", ())
        if not moments.ready and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            moments.ready = now
