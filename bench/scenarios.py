"""The crowds of docs/scale.md, and what is told of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from bench import queues, quotas, simulation
from bench.queues import Calls, Estimates, Gates, Pace, Queue, Retries
from bench.quotas import Durations, Inputs, fcfs, percentile, stretches
from bench.simulation import Crowd, Scenario

DAY_FILES, BUSY = 1_000_000, 3
CROWD_FILES, WAITING_FILES = 100_000, 10_000
DAY_PODS, BUSY_PODS, CROWD_PODS = 600, 2_000, 1_000
_DAY_SECONDS, _BUSY_SECONDS = 2_700, 900
# The overload: so many times what the pods can do, for two hours.
OVERLOAD, OVERLOAD_SECONDS = 1.07, 7_200
# What start_scoring may have of Lambda's concurrency so that its StartExecution calls stay below the bucket: half of the
# 300 calls a second, since each file calls once more for its attempt, by the seconds that the function takes.
START_CONCURRENCY = 8

QUEUES: dict[str, Callable[[], Queue]] = {
    "retries": Retries,
    "gates": Gates,
    "gates_paced": lambda: Gates(Pace()),
    "estimates": Estimates,
    "calls": Calls,
}


@dataclass(frozen=True)
class Plan:
    """A scenario and the queue that its files wait in."""

    scenario: Scenario
    queue: str


def plans(inputs: Inputs) -> dict[str, Plan]:
    seed, pods = inputs.given["seed"], round(inputs.quotas["namespace_pods"])
    rate = DAY_FILES / 86_400
    at_once = [number / inputs.quotas["s3_puts_per_second"] for number in range(CROWD_FILES)]
    day = Scenario("day", poisson(rate, _DAY_SECONDS, seed), DAY_PODS, seed, starts=True)
    busy = Scenario("busy", poisson(BUSY * rate, _BUSY_SECONDS, seed), BUSY_PODS, seed, starts=True)
    once = Scenario("once", at_once, pods, seed, starts=True, only_starts=True)
    reserved = replace(once, name="reserved", start_concurrency=START_CONCURRENCY)
    called = Scenario("called", at_once, CROWD_PODS, seed, True, None, START_CONCURRENCY)
    found = {
        "day": Plan(day, "calls"),
        "busy": Plan(busy, "calls"),
        "once": Plan(once, "calls"),
        "reserved": Plan(reserved, "calls"),
        "called": Plan(called, "calls"),
    }
    durations = Durations.of(inputs)
    capacity = pods / durations.hold(durations.start, durations.scoring)
    # As fast as executions are started: each file takes two StartExecution calls.
    started = inputs.quotas["start_execution_per_second"] / quotas.EXECUTIONS_OF_A_FILE
    for name in QUEUES:
        drop = Scenario(f"drop_{name}", [number / started for number in range(WAITING_FILES)], pods, seed)
        overload = Scenario(f"overload_{name}", poisson(OVERLOAD * capacity, OVERLOAD_SECONDS, seed), pods, seed)
        found |= {drop.name: Plan(drop, name), overload.name: Plan(overload, name)}
    return found


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of files that come independently of each other, `rate` a second on average."""
    random, times, now = Random(seed), [], 0.0
    while (now := now + random.expovariate(rate)) < seconds:
        times.append(now)
    return times


def run(plan: Plan, inputs: Inputs) -> dict[str, Any]:
    """Simulate it, and sum it up (`summary`)."""
    return summary(Crowd(plan.scenario, QUEUES[plan.queue](), inputs).run())


def summary(crowd: Crowd) -> dict[str, Any]:
    """What docs/scale.md tells of a crowd: seconds, unless the name says something else.

    `room` is the waiting for room, `stretch` how many times longer than first come, first served a file took (from asking
    for room until its pod was gone), `late` the part of the files that took more than twice as long, `idle` how long a pod
    held its room for nothing. `retries`, `transitions` and `writes` are those of a file that had to wait, on average.
    """
    asked = [file for file in crowd.files if file.asked is not None]
    served = [(file, file.asked, file.granted) for file in asked if file.asked is not None and file.granted is not None]
    ended = [file for file in crowd.files if file.done is not None]
    waiting = [file for file in asked if file.retries]
    waits, holds = [granted - came for _, came, granted in served], [file.hold for file, _, _ in served]
    first = sum(crowd.given["node_seconds"]) / 2
    ideal = fcfs([came for _, came, _ in served], holds, crowd.scenario.pods, first)
    stretched = stretches(waits, ideal, holds)
    totals = [file.done - file.dropped for file in ended if file.done is not None]
    found = {
        "files": len(crowd.files),
        "lost": sum(file.lost for file in crowd.files),
        "asked": len(asked),
        "done": len(ended),
        "last_started": max((file.asked or 0.0 for file in asked), default=0.0),
        "end": crowd.ended,
        "room": _spread(waits),
        "ideal": _spread(ideal),
        "total": _spread(totals),
        "stretch": _spread(stretched),
        "late": sum(value > 2 for value in stretched) / max(len(stretched), 1),
        "waited": len(waiting),
        "retries": _spread([float(file.retries) for file in waiting])
        | {"mean": _mean([file.retries for file in waiting])},
        "transitions": _mean([file.transitions for file in waiting]),
        "writes": _mean([file.writes for file in waiting]),
        "idle": _mean([file.held - file.hold for file in ended if file.held]),
        "throttled": dict(sorted(crowd.throttled.items())),
        "most_lambdas": crowd.most_lambdas,
        "most_open": crowd.most_open,
    }
    # A machine's last bit is not worth a difference in crowd.json.
    return {name: _rounded(value) for name, value in found.items()}


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50": percentile(values, 50), "p99": percentile(values, 99), "max": max(values, default=0.0)}


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / max(len(values), 1)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def digest(inputs: Inputs) -> str:
    """What the results depend on: if it changes, `make crowd` has to be run again."""
    modules = [Path(str(module.__file__)).read_text() for module in (quotas, queues, simulation)]
    said = [repr(Durations.of(inputs)), repr(simulation.RETRIES), json.dumps(inputs.quotas), json.dumps(inputs.given)]
    return hashlib.sha256("\n".join([*modules, Path(__file__).read_text(), *said]).encode()).hexdigest()
