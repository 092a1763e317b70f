"""From a pod's admission to the model's first good ping, by one clock.

A node, an image, a container and a model that loads: each may take long, and one deadline is for all of them. What takes
longer than a function should be paid for is left to the state machine: the `endpoint` of the state is PENDING then, and
holds what the clock needs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scoring import pauses
from scoring.cluster import pings, readiness, routes
from scoring.cluster.api import Api
from scoring.cluster.containers import parse_time
from scoring.cluster.diagnosis import ended_beside
from scoring.cluster.pings import Pings, Refusal
from scoring.errors import LOADS_OR_SERVES, DropscoreError, PodNotReady, RouteNotReady
from scoring.intake.state import port
from scoring.observability import logger
from scoring.protocols import detection
from scoring.settings import ClusterSettings

# A route is there when several pings in a row succeed: replicas of a data plane learn of it one after the other.
_PINGS_IN_A_ROW, _PING_PAUSE_SECONDS, _LOOK_AT_POD_SECONDS = 3, 0.05, 5.0
# Routes come, and most models load, within the first; whoever has not by then is looked after in short calls.
_FIRST_PINGS_SECONDS, _FURTHER_PINGS_SECONDS = 20.0, 3.0
_NOT_LOADED = f"{LOADS_OR_SERVES}, and let the administrator check the gateway's way to the pod."


@dataclass(frozen=True)
class Clock:
    """The clock of a start: since when the pod is `admitted`, and since when its port is `opened`, if it is."""

    pod_uid: str
    created: datetime
    admitted: datetime
    opened: datetime | None
    start_seconds: int
    route_seconds: int

    @classmethod
    def of(
        cls, pod: Mapping[str, Any], request: Mapping[str, Any], endpoint: Mapping[str, Any], now: datetime
    ) -> Clock:
        """By the `endpoint` of the state, if that is this pod's already.

        When a queue has admitted a pod, nobody knows to the second: what finds it admitted sets its clock.
        """
        known = endpoint if endpoint.get("pod") == pod["uid"] else {}
        created, opened = parse_time(pod["created"]), known.get("opened")
        return cls(
            pod["uid"],
            created,
            now if known.get("gated") else parse_time(known.get("admitted", pod["created"])),
            parse_time(opened) if opened else None,
            request["deadlines"]["start_seconds"],
            request["deadlines"]["route_seconds"],
        )

    @property
    def deadline(self) -> datetime:
        return self.admitted + timedelta(seconds=self.start_seconds)

    def overdue(self, refusal: Refusal, now: datetime) -> bool:
        """Whether a model with an open port has had its time. A route that is missing has its own, shorter or longer."""
        if self.opened is None:
            return False
        route = self.opened + timedelta(seconds=self.route_seconds)
        return now >= (route if refusal.is_the_routes else max(route, self.deadline))

    def pending(self, waiting_for: str, now: datetime, *, gated: bool = False) -> dict[str, Any]:
        """The `endpoint` of the state until the model is ready."""
        since = (now - (self.created if gated else self.admitted)).total_seconds()
        return {
            "status": "PENDING",
            "pod": self.pod_uid,
            "waiting_for": waiting_for,
            "wait_seconds": pauses.queued(since) if gated else pauses.starting(since),
            # While a queue holds the pod back, its start has not begun.
            **({"gated": True} if gated else {"admitted": self.admitted.isoformat()}),
            **({"opened": self.opened.isoformat()} if self.opened else {}),
        }


@dataclass(frozen=True)
class Start:
    """The start of a `pod`; `endpoint` is that of the state so far, which an earlier call gave, or an empty one."""

    api: Api
    pod: Mapping[str, Any]
    request: Mapping[str, Any]
    cluster: ClusterSettings
    endpoint: Mapping[str, Any]

    def first_look(self, seconds: float) -> dict[str, Any]:
        """The same as `await_endpoint` for whoever has just launched the pod, and may not read logs. Most are ready so soon
        that nobody else need look.

        What is wrong is await_pod's to say, at once, which has the pod in its state, and all that its evidence takes: nothing
        is raised that it would not find as well.
        """
        try:
            return self._look(seconds)
        except DropscoreError as problem:
            logger.info("left to await_pod", reason=problem.summary)
            now = datetime.now(UTC)
            pending = Clock.of(self.pod, self.request, {}, now).pending(f"a closer look: {problem.summary}", now)
            return pending | {"wait_seconds": 0} | self._kept

    def await_endpoint(self, seconds: float) -> dict[str, Any]:
        """Wait for the pod and for the model's ping through its route, for at most `seconds`, and no longer than is worth it.

        Returns
        -------
        dict
            The `endpoint` of the state: PENDING or READY.

        Raises
        ------
        PodCrashed, PodLost, PodRefused, ImagePullFailed, ModelTimeout
            What became of the pod instead.
        PodUnschedulable, ImagePullFailed, PodNotReady
            The start deadline has passed.
        RouteNotReady
            The model is ready, but nothing leads to it within the route deadline.
        InvalidTags, InvalidFile
            The request asks for what a model of the protocol that was found cannot do.
        """
        try:
            return self._look(seconds)
        except DropscoreError as problem:
            raise readiness.explained(self.api, self.pod, problem)  # noqa: B904  (mostly the same)

    @property
    def _kept(self) -> dict[str, str]:
        """What an earlier pod of the attempt was found to speak."""
        return {"protocol": self.endpoint["protocol"]} if "protocol" in self.endpoint else {}

    def _look(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        clock = Clock.of(self.pod, self.request, self.endpoint, datetime.now(UTC))
        found = readiness.await_ready(self.api, self.pod, clock.deadline, clock.start_seconds, seconds)
        if isinstance(found, readiness.Waiting):
            return clock.pending(found.waiting_for, datetime.now(UTC), gated=found.gated) | self._kept
        most = _FURTHER_PINGS_SECONDS if clock.opened else _FIRST_PINGS_SECONDS
        clock = replace(clock, opened=clock.opened or datetime.now(UTC))
        url = routes.url(self.cluster, self.pod["name"], found, port(self.request))
        ping = Pings.to(self.pod, self.request, url, self.cluster, self._kept.get("protocol", ""))
        waiting_for = self._await_ping(ping, clock, until, most)
        if waiting_for:
            return clock.pending(waiting_for, datetime.now(UTC)) | self._kept
        if self.request["protocol"] == "auto":
            detection.check(self.request, ping.protocol)
        return {"status": "READY", "url": url, "protocol": ping.protocol, "pod": self.pod["uid"]}

    def _await_ping(self, ping: Pings, clock: Clock, until: float, most: float) -> str:
        """Ping until the model answers reliably; what is being waited for, if it does not in the time that there is."""
        began = looked = time.monotonic()
        in_a_row = 0
        while in_a_row < _PINGS_IN_A_ROW:
            refusal = ping.refused()
            in_a_row = 0 if refusal else in_a_row + 1
            now = time.monotonic()
            if refusal and now - looked > _LOOK_AT_POD_SECONDS:
                looked = now
                if problem := readiness.problem_of(self.api, self.pod):
                    raise problem
            if refusal and clock.overdue(refusal, datetime.now(UTC)):
                # What became of the pod since is the better answer.
                raise readiness.problem_of(self.api, self.pod) or self._overdue(ping, clock, refusal)
            if refusal and now > min(began + most, until):
                return f"{'its route' if refusal.is_the_routes else 'the model to load'}: {refusal.text}"
            # A data plane tells nobody when it has taken up a route.
            time.sleep(_PING_PAUSE_SECONDS if not refusal else 4 * _PING_PAUSE_SECONDS)
        return ""

    def _overdue(self, ping: Pings, clock: Clock, refusal: Refusal) -> DropscoreError:
        beside = ended_beside(readiness.get(self.api, self.pod))
        told = " ".join(filter(None, (pings.said_of_route(self.api, self.pod, self.cluster), beside)))
        # A model may have the gateway's words for whatever it is asked.
        is_anybodys = refusal.is_the_routes or ping.request["protocol"] == "auto"
        remedy = refusal.remedy or (detection.REMEDY if is_anybodys else None)
        if refusal.is_the_routes:
            late = f"The model's ping did not come through {ping.url} within {clock.route_seconds} s"
            return RouteNotReady(f"{late}; last: {refusal.text.rstrip('.')}. {told}".strip(), remedy)
        late = f"The model's port is open, but its ping was not answered well after {clock.start_seconds} s"
        return PodNotReady(f"{late}; last: {refusal.text.rstrip('.')}. {told}".strip(), remedy or _NOT_LOADED)
