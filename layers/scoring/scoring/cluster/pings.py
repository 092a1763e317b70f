"""Who answers a model's ping: the model, or what stands in its place while there is no way to it.

A gateway and a model both answer 404 and 503. What tells them apart is what the gateway answers where there is certainly
no route: whoever is answered in the same way has none yet, or none any more. A difference proves that the route is there;
whether a 502, 503 or 504 is then the model's own, which loads, or the gateway's, which does not reach it, nobody can tell
from outside. Both pass by themselves, or end in an error that says both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scoring.cluster import routes
from scoring.cluster.api import Api, NotFound
from scoring.errors import DropscoreError
from scoring.protocols import PROTOCOLS
from scoring.protocols.model import Model, NoAnswer, NoConnection, StillBusy
from scoring.settings import ClusterSettings

# As a pod's path would be, but for one that cannot be.
_NOWHERE = "dropscore-no-such-pod"


@dataclass(frozen=True)
class Refusal:
    """What came instead of a good ping, and whether it says that nothing leads to the model."""

    text: str
    is_the_routes: bool


@dataclass(frozen=True)
class Pings:
    """Pings by `protocol` to the model of the pod `name` at `url`; `gateway` is empty where nothing stands in between."""

    protocol: str
    name: str
    url: str
    gateway: str

    @classmethod
    def to(cls, pod: Mapping[str, Any], protocol: str, url: str, cluster: ClusterSettings) -> Pings:
        return cls(protocol, pod["name"], url, "" if cluster.route == "pod_ip" else cluster.url)

    def refused(self) -> Refusal | None:
        """None if the model is ready, else what was answered, or that nobody did."""
        text, connected = self._ask(self.url)
        if not text:
            return None
        # The kubelet reaches the port of a ready pod: who takes no connection stands in between.
        return Refusal(text, not connected or self.is_the_gateways(text))

    def is_the_gateways(self, text: str) -> bool:
        """Whether an answer (`404 …`) is the one for a path that certainly has no route."""
        return bool(self.gateway and self._of_nowhere) and self._without_names(text) == self._of_nowhere

    @cached_property
    def _of_nowhere(self) -> str:
        return self._without_names(self._ask(f"{self.gateway}/{_NOWHERE}")[0])

    def _without_names(self, text: str) -> str:
        return text.replace(self.name, "").replace(_NOWHERE, "").strip()

    def _ask(self, url: str) -> tuple[str, bool]:
        """What is wrong with the answer (nothing, if it is the right one), and whether anybody took the connection."""
        try:
            return PROTOCOLS[self.protocol](Model(url)).ready() or "", True
        except NoConnection as error:
            return error.summary, False
        except (NoAnswer, StillBusy) as error:
            return error.summary, True


def said_of_route(api: Api, pod: Mapping[str, Any], cluster: ClusterSettings) -> str:
    """What the gateway or ingress controller says of the pod's route in its status; empty where there is no route."""
    if cluster.route == "pod_ip":
        return ""
    try:
        return routes.said(api.call("GET", f"{routes.path(cluster.route, pod['namespace'])}/{pod['name']}"))
    except NotFound:
        return "The route is gone from the cluster: somebody has deleted it."
    except DropscoreError as error:
        # An error is about to be told; that its evidence is thin is a part of it.
        return f"What the gateway says of the route cannot be read: {error.summary}"
