"""Who answers a model's ping: the model, or what stands in its place while there is no way to it.

A gateway and a model both answer 404 and 503. What tells them apart is what the gateway answers where there is certainly
no route: whoever is answered in the same way, whatever is asked for, has none yet, or none any more. A difference between two
answers proves that the route is there; one that did not come proves nothing, and is asked for again. Whether a 502, 503 or 504 is then the model's own, which loads, or the gateway's, which does not reach it, nobody can tell
from outside. Both pass by themselves, or end in an error that says both. A gateway that answers even there as a model would
(a page for everything, 200) proves nothing, and no file is sent through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scoring import protocols
from scoring.cluster import routes
from scoring.cluster.api import Api
from scoring.cluster.refusals import NotFound
from scoring.errors import DropscoreError, InvalidTags, RouteNotReady
from scoring.protocols import detection
from scoring.protocols.model import Model, NoAnswer, NoConnection, StillBusy
from scoring.settings import ClusterSettings

# As a pod's path would be, but for one that cannot be.
_NOWHERE = "dropscore-no-such-pod"
_ANY_PATH = (
    "Let the administrator have the gateway or ingress controller answer 404 where no route leads (no default backend, no "
    "route of `/`, no page for everything), or set `route` to pod_ip in the cluster's settings. Then redrive the execution."
)


@dataclass(frozen=True)
class Refusal:
    """What came instead of a good ping, whether it says that nothing leads to the model, and what to do if that is known."""

    text: str
    is_the_routes: bool
    remedy: str | None = None


@dataclass(frozen=True)
class _Reply:
    """What is wrong with the answer to a ping (`text`; nothing, if it is the right one), by which `protocol` it was asked for,
    whether anybody took the connection (`is_connected`), and whether it is an answer at all.
    """

    text: str
    protocol: str
    is_connected: bool = True
    is_answer: bool = True


@dataclass
class Pings:
    """Pings to the model of the pod `name` at `url`; `gateway` is empty where nothing stands in between.

    `protocol` is the one by which the model was ready last, found out where the request says `auto`; `kept` the one by which
    an earlier pod of the attempt was, if there was one: what it has left of the file is gone on with.
    """

    request: Mapping[str, Any]
    name: str
    url: str
    gateway: str
    kept: str = ""
    protocol: str = ""
    # What was answered last where there is certainly no route.
    _words_of_nowhere: str | None = None
    _probes_of_nowhere: list[str] = field(default_factory=list)

    @classmethod
    def to(
        cls, pod: Mapping[str, Any], request: Mapping[str, Any], url: str, cluster: ClusterSettings, kept: str = ""
    ) -> Pings:
        """By the `pod` and the `request` of the state."""
        return cls(request, pod["name"], url, "" if cluster.route == "pod_ip" else cluster.url, kept)

    def refused(self) -> Refusal | None:
        """None if the model is ready, else what was answered, or that nobody did."""
        reply = self._ask(self.url, self.request["protocol"])
        if reply.text:
            return self._judged(reply)
        spoken = reply.protocol
        if self.gateway:
            nowhere = self._ask_nowhere(spoken)
            if not nowhere.is_answer:
                text = f"The ping is answered well, but where no route leads is no answer: {nowhere.text}"
                return Refusal(text, is_the_routes=False, remedy=_ANY_PATH)
            if not nowhere.text:
                text = f"The gateway answers any path as a model would, {self._nowhere} too: nobody can tell whether it was the model."
                return Refusal(text, is_the_routes=True, remedy=_ANY_PATH)
        if self.kept not in ("", spoken):
            text = f"It answers as {spoken} does, but an earlier pod of this file answered as {self.kept}"
            return Refusal(f"{text}, and a file is scored by one protocol.", is_the_routes=False)
        before, self.protocol = self.protocol, spoken
        if before in ("", spoken):
            return None
        # Replicas of a data plane learn of a route one after the other.
        return Refusal(f"It answered as {before} does, and then as {spoken}.", is_the_routes=False)

    def refused_by_the_route(self) -> Refusal | None:
        """As `refused`, of a model that has been ready: None also if it is the model that answers, whatever it says."""
        try:
            refusal = self.refused()
        except InvalidTags:
            # Its server has other models than it had; who speaks to it next is told so.
            return None
        return refusal if refusal and refusal.is_the_routes else None

    def _judged(self, reply: _Reply) -> Refusal:
        """Whose answer it is that is no good one to a ping."""
        # The kubelet reaches the port of a ready pod: who takes no connection stands in between.
        if not reply.is_connected:
            return Refusal(reply.text, is_the_routes=True)
        return Refusal(reply.text, bool(self.is_the_gateways(reply.text)) and not self._has_other_answers())

    def is_the_gateways(self, text: str) -> bool | None:
        """Whether an answer (`404 …`) is the one for a path that certainly has no route; None if that one did not come."""
        if not self.gateway:
            return False
        words = self._without_names(text)
        # A difference counts only while it lasts: the gateway may have had trouble of its own before.
        if words != self._words_of_nowhere:
            nowhere = self._ask_nowhere(self.request["protocol"])
            if not nowhere.is_answer:
                return None
            self._words_of_nowhere = self._without_names(nowhere.text)
        return words == self._words_of_nowhere

    def _has_other_answers(self) -> bool:
        """Whether another path of the model's is not answered as it is where no route leads: many servers have the same words
        for what is not there.
        """
        if self.request["protocol"] == "auto":
            # Then all of them were compared.
            return False
        try:
            here = self._probed(self.url)
            if here != self._probes_of_nowhere:
                self._probes_of_nowhere = self._probed(self._nowhere)
        except NoAnswer:
            return False
        return here != self._probes_of_nowhere

    def _probed(self, url: str) -> list[str]:
        return [self._without_names(line) for line in detection.told(detection.probe(Model(url)))]

    @property
    def _nowhere(self) -> str:
        return f"{self.gateway}/{_NOWHERE}"

    def _ask_nowhere(self, protocol: str) -> _Reply:
        """What the gateway says where there is certainly no route."""
        return self._ask(self._nowhere, protocol)

    def silence(self, failure: DropscoreError) -> NoAnswer | None:
        """What a model's 404 in mid-scoring means if it is not the model's: its route has gone away, for a while. Where that
        cannot be told yet, it is the same in the model's words.
        """
        if failure.details.get("status") != 404:
            return None
        text = f"404 {failure.details.get('answer', '')}".strip()
        is_the_gateways = self.is_the_gateways(text)
        if is_the_gateways is None:
            return NoAnswer(failure.summary, **failure.details)
        if not is_the_gateways and not self.refused_by_the_route():
            return None
        return NoAnswer(f"The route answered in the model's place: {text}.")

    def _without_names(self, text: str) -> str:
        return text.replace(self.name, "").replace(_NOWHERE, "").strip()

    def _ask(self, url: str, name: str) -> _Reply:
        protocol = protocols.of_request({**self.request, "protocol": name}, Model(url))
        try:
            text = protocol.ready() or ""
        except NoConnection as error:
            return _Reply(error.summary, protocol.name, is_connected=False, is_answer=False)
        except (NoAnswer, StillBusy) as error:
            # With a status it is one, if not the model's.
            return _Reply(error.summary, protocol.name, is_answer="status" in error.details)
        return _Reply(text, protocol.name)


def lasting(
    api: Api, pod: Mapping[str, Any], cluster: ClusterSettings, ping: Pings, failure: DropscoreError
) -> DropscoreError:
    """What to tell of a `silence` that does not pass: the missing route, or the model's own failure after all."""
    refusal = ping.refused_by_the_route()
    if refusal is None:
        return failure
    told = said_of_route(api, pod, cluster)
    return RouteNotReady(
        f"The way to the model was lost while it scored; last: {refusal.text.rstrip('.')}. {told}".strip(),
        refusal.remedy,
    )


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
