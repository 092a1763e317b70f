"""Quotas and queues as plain arithmetic: what bench/simulation.py simulates with, and what bench/crowd.py holds it against.

Nothing here knows a quota, a price or a duration: they are in quotas.json, prices.json and assumptions.json.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from bench import cost
from bench.cost import Bill, Case
from bench.plan import ROOT

QUOTAS = ROOT / "bench/quotas.json"

# What a file calls beside its functions: StartExecution for score_file and for its attempt.
EXECUTIONS_OF_A_FILE = 2
# Lambda's scaling rate is per so many seconds.
SCALING_SECONDS = 10


@dataclass
class Bucket:
    """A token bucket as AWS throttles by: `size` calls at once, `rate` calls a second thereafter."""

    size: float
    rate: float
    _tokens: float = math.nan
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one, unless it is empty."""
        if self._filled(now) < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float, tokens: int) -> float:
        """Take so many, even those to come; the seconds until the last one of them is there."""
        self._filled(now)
        self._tokens -= tokens
        return max(-self._tokens / self.rate, 0.0)

    def _filled(self, now: float) -> float:
        held = self.size if math.isnan(self._tokens) else self._tokens
        self._tokens = min(self.size, held + (now - self._at) * self.rate)
        self._at = now
        return self._tokens


@dataclass(frozen=True)
class Backoff:
    """A Retry of the Amazon States Language: seconds, with or without JitterStrategy FULL."""

    interval: float
    rate: float
    most: float
    jittered: bool = True

    @classmethod
    def of(cls, retry: Mapping[str, Any]) -> Backoff:
        """From an entry of `Retry`."""
        most = float(retry.get("MaxDelaySeconds", math.inf))
        return cls(retry["IntervalSeconds"], retry["BackoffRate"], most, retry.get("JitterStrategy") == "FULL")

    def longest(self, nth: int) -> float:
        """The delay before the retry of this number (from 0), before jitter."""
        # Beyond that, the power alone would overflow.
        return min(self.interval * self.rate ** min(nth, 64), self.most)

    def delay(self, nth: int, random: Random) -> float:
        return random.uniform(0, self.longest(nth)) if self.jittered else self.longest(nth)

    def retries(self, seconds: float) -> int:
        """How many retries a wait of so many seconds takes, on average."""
        share, waited, nth = (0.5 if self.jittered else 1.0), 0.0, 0
        while waited < seconds and self.longest(nth) < self.most:
            waited += share * self.longest(nth)
            nth += 1
        return nth + max(0, math.ceil((seconds - waited) / (share * self.most)))


@dataclass(frozen=True)
class Durations:
    """The seconds of a file's steps: measured ones of bench/assumptions.json, and what is given of the model."""

    functions: Mapping[str, float]
    start: float
    scoring: float
    release: float

    @classmethod
    def of(cls, inputs: Inputs) -> Durations:
        case = inputs.case
        return cls(
            case.measured["seconds"],
            case.given["model_start_seconds"],
            case.scoring_seconds,
            inputs.given["release_seconds"],
        )

    def hold(self, start: float, scoring: float) -> float:
        """How long a pod counts for the namespace's quota: from its creation until it is gone."""
        names = ("launch_pod", "stream_file", "persist_output", "tear_down")
        return start + scoring + sum(self.functions[name] for name in names) + self.release

    @property
    def functions_seconds(self) -> float:
        """How long functions run for a file, waiting included: what counts as concurrency."""
        return sum(self.functions.values()) + self.start + self.scoring


@dataclass(frozen=True)
class Inputs:
    """All the files of inputs; `quotas` and `given` are those of quotas.json."""

    costs: cost.Inputs
    document: Mapping[str, Any]

    @classmethod
    def read(cls) -> Inputs:
        texts = [path.read_text() for path in (cost.PRICES, cost.ASSUMPTIONS, QUOTAS)]
        prices, assumptions, document = (json.loads(text) for text in texts)
        return cls(cost.Inputs(prices, assumptions), document)

    @property
    def quotas(self) -> dict[str, float]:
        return {name: quota["value"] for name, quota in self.document["quotas"].items()}

    @property
    def given(self) -> Mapping[str, Any]:
        given: Mapping[str, Any] = self.document["given"]
        return given

    @property
    def case(self) -> Case:
        """The file of docs/cost.md that drops here."""
        given, measured = self.costs.assumptions["given"], self.costs.assumptions["measured"]
        return Case(self.given["mib"], given, measured)


def ceilings(inputs: Inputs) -> dict[str, float]:
    """Files a second that each quota allows if it alone counts: the quota by what a file uses of it."""
    quotas, durations = inputs.quotas, Durations.of(inputs)
    hold = durations.hold(durations.start, durations.scoring)
    bill, given = cost.dropscore(inputs.case), inputs.given
    ec2_pods = quotas["ec2_vcpus"] // given["vcpus_a_node"] * given["pods_a_node"]
    return {
        "namespace_pods": quotas["namespace_pods"] / hold,
        "ec2_vcpus": ec2_pods / hold,
        "lambda_concurrency": quotas["lambda_concurrency"] / durations.functions_seconds,
        "start_execution_per_second": quotas["start_execution_per_second"] / EXECUTIONS_OF_A_FILE,
        "scheduled_pods_per_second": quotas["scheduled_pods_per_second"],
        "transitions_per_second": quotas["transitions_per_second"] / bill.transitions,
        "s3_puts_per_second": quotas["s3_puts_per_second"],
        "api_seats": quotas["api_seats"] / given["api_requests_a_file"] / given["api_request_seconds"],
    }


def fcfs(asked: Sequence[float], holds: Sequence[float], servers: int, first: float = 0.0) -> list[float]:
    """How long each file would wait for room if it went first come, first served, and no room was ever left empty.

    `first` is how much longer the first file in each place holds it: its node has to come.
    """
    free = [-math.inf] * servers
    waits = [0.0] * len(asked)
    for number in sorted(range(len(asked)), key=asked.__getitem__):
        place = heapq.heappop(free)
        begins = max(place, asked[number])
        waits[number] = begins - asked[number]
        heapq.heappush(free, begins + holds[number] + (first if place == -math.inf else 0.0))
    return waits


def stretches(waits: Sequence[float], ideal: Sequence[float], holds: Sequence[float]) -> list[float]:
    """How many times longer than first come, first served each file took, from asking for room until its pod is gone."""
    return [(one + hold) / (best + hold) for one, best, hold in zip(waits, ideal, holds, strict=True)]


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that so many percent of them do not exceed (nearest rank); 0 if there are none."""
    ranked = sorted(values)
    return ranked[max(math.ceil(percent / 100 * len(ranked)), 1) - 1] if ranked else 0.0


def waiting_bill(transitions: float, calls: float, writes: float, pod_seconds: float, inputs: Inputs) -> Bill:
    """What waiting adds to the bill of docs/cost.md: `calls` of launch_pod (or one as short), `pod_seconds` of idle pods."""
    case = inputs.case
    memory, seconds = case.given["lambda_mb"]["launch_pod"], case.measured["seconds"]["launch_pod"]
    return Bill(
        transitions=round(transitions),
        gb_seconds=calls * seconds * memory / 1024,
        invocations=round(calls),
        writes=round(writes),
        node_seconds=pod_seconds * case.given["pod_share_of_node"],
    )
