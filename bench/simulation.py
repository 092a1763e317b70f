"""Many files at once, by discrete events (SimPy): the steps of statemachine/, each held up by the quotas that it meets.

A file is one process. Lambda and Step Functions answer as their documentation says (quotas.json has the sources): a
function without room for it is tried again by the state machine, or by Lambda's own queue of events; StartExecution beyond
its bucket is an error; state transitions beyond theirs wait. What files wait for room with is a `Queue` (queues.py).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import simpy

from bench.cost import TRANSITIONS_OF_A_ROUND, WATCH_SECONDS
from bench.plan import ROOT
from bench.quotas import SCALING_SECONDS, Backoff, Bucket, Durations, Inputs

if TYPE_CHECKING:
    from bench.queues import Queue

Steps = Generator[simpy.Event, Any, None]

_ATTEMPT = json.loads((ROOT / "statemachine/attempt.asl.json").read_text())["States"]
_SCORE_FILE = json.loads((ROOT / "statemachine/score_file.asl.json").read_text())["States"]


def retry_of(states: dict[str, Any], state: str, error: str) -> Backoff:
    """How a state retries an error, as the state machine has it."""
    return next(Backoff.of(retry) for retry in states[state]["Retry"] if error in retry["ErrorEquals"])


FULL = retry_of(_ATTEMPT, "launch_pod", "QuotaExceeded")
CALLED = retry_of(_ATTEMPT, "launch_pod", "NoRoomYet")
_THROTTLED = retry_of(_ATTEMPT, "launch_pod", "Lambda.TooManyRequestsException")
_BUSY = retry_of(_SCORE_FILE, "attempt", "StepFunctions.ThrottlingException")
RETRIES = (FULL, CALLED, _THROTTLED, _BUSY)
# After so many retries, a file that found no room has failed.
MOST_RETRIES = next(
    int(retry["MaxAttempts"]) for retry in _ATTEMPT["launch_pod"]["Retry"] if "QuotaExceeded" in retry["ErrorEquals"]
)
# botocore's standard mode, as layers/scoring/scoring/aws.py sets it: tries, and between them up to 1 s, 2 s, 4 s.
_BOTO_TRIES, _BOTO = 4, Backoff(1, 2, 20)
# Lambda's queue of events: after a failed function, and after a throttled one.
_EVENT_FAILED, _EVENT_THROTTLED = Backoff(60, 2, 120, jittered=False), Backoff(1, 2, 300)
# `Clock.pending` in layers/scoring/scoring/cluster/start.py: a tenth of what was waited already, at least and at most this.
LEAST_LOOK_SECONDS, MOST_LOOK_SECONDS, MOST_GATED_SECONDS = 5, 15, 900


@dataclass(slots=True)
class File:
    """A file on its way; times are seconds of the simulation, None until they are there."""

    number: int
    dropped: float
    start: float
    scoring: float
    hold: float
    asked: float | None = None
    """When it first asked for room."""
    granted: float | None = None
    """When it got room: its pod is created, or admitted."""
    done: float | None = None
    lost: bool = False
    """Lambda gave up its event: it is in the queue NotStarted."""
    ready: float = 0.0
    launching: bool = False
    """launch_pod has made its pod, and looks on."""
    retries: int = 0
    """Calls that a file made only because it waited for room."""
    transitions: int = 0
    """State transitions for the same reason."""
    writes: int = 0
    held: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """Files that drop at `dropped` (seconds, in order) on a namespace of `pods`; `starts`: by S3's events, else at once."""

    name: str
    dropped: Sequence[float]
    pods: int
    seed: int
    starts: bool = False
    until: float | None = None
    start_concurrency: int = 0
    """Reserved concurrency of start_scoring; 0: none."""
    only_starts: bool = False
    """A file is done once it asks for room."""


class Crowd:
    """The world of one scenario. `run` it once, then read `files`, `throttled` and the peaks."""

    def __init__(self, scenario: Scenario, queue: Queue, inputs: Inputs) -> None:
        self.env = simpy.Environment()
        self.scenario, self.queue, self.durations = scenario, queue, Durations.of(inputs)
        self.quotas, self.given = inputs.quotas, inputs.given
        self.random = Random(scenario.seed)
        self.files = self._drawn(Random(scenario.seed + 1))
        self.free = scenario.pods
        self.throttled: Counter[str] = Counter()
        self.lambdas = self.most_lambdas = self.open = self.most_open = 0
        self.ended = 0.0
        self._starts = Bucket(self.quotas["start_execution_bucket"], self.quotas["start_execution_per_second"])
        self._transitions = Bucket(self.quotas["transitions_bucket"], self.quotas["transitions_per_second"])
        self._running: Counter[str] = Counter()
        self._environments: Counter[str] = Counter()
        scaling = self.quotas["lambda_scaling"]
        self._scaling: defaultdict[str, Bucket] = defaultdict(lambda: Bucket(scaling, scaling / SCALING_SECONDS))
        self._nodes = Nodes(self.given["pods_a_node"], self.given["node_seconds"], self.random)

    def _drawn(self, random: Random) -> list[File]:
        """The same files for every queue: starts spread evenly about their mean, sizes as many small ones and a few large."""
        files, spread, mean = [], self.given["start_spread"], self.durations
        for number, dropped in enumerate(self.scenario.dropped):
            start = mean.start * random.uniform(1 - spread, 1 + spread)
            scoring = random.expovariate(1 / mean.scoring)
            files.append(File(number, dropped, start, scoring, mean.hold(start, scoring)))
        return files

    def run(self) -> Crowd:
        self.env.process(self._drop())
        self.env.run(self.scenario.until)
        return self

    def _drop(self) -> Steps:
        for file in self.files:
            if file.dropped > self.env.now:
                yield self.env.timeout(file.dropped - self.env.now)
            self.env.process(self._way(file))

    def _way(self, file: File) -> Steps:
        if self.scenario.starts:
            yield from self._start(file)
            if file.lost:
                return
        self._opened(1)
        if self.scenario.starts:
            nth = 0
            while not self._may_start():
                yield self.env.timeout(_BUSY.delay(nth, self.random))
                nth += 1
            self._opened(1)
        seconds = self.durations.functions
        yield from self.transition(3)
        yield from self.task("resolve_request", seconds["resolve_request"])
        file.asked = self.env.now
        if self.scenario.only_starts:
            return
        yield from self.queue.room(self, file)
        yield from self._await(file)
        yield from self.transition(3)
        yield from self.task("stream_file", seconds["stream_file"] + file.scoring)
        yield from self.task("persist_output", seconds["persist_output"])
        yield from self.transition(6)
        yield from self.task("tear_down", seconds["tear_down"])
        file.done = self.ended = self.env.now
        self._opened(-1 - self.scenario.starts)
        self.queue.torn_down(self)
        yield self.env.timeout(self.durations.release)
        assert file.granted is not None
        file.held = self.env.now - file.granted
        self.free += 1
        self._nodes.free += 1
        self.queue.released(self)

    def _start(self, file: File) -> Steps:
        """start_scoring, as Lambda's queue of events calls it."""
        failed = throttled = 0
        while True:
            while not self.enter("start_scoring", self.scenario.start_concurrency):
                yield self.env.timeout(_EVENT_THROTTLED.delay(throttled, self.random))
                throttled += 1
                if self.env.now - file.dropped > self.quotas["event_age_seconds"]:
                    file.lost = True
                    return
            yield self.env.timeout(self.durations.functions["start_scoring"])
            started = self._may_start()
            for nth in range(_BOTO_TRIES - 1):
                if started:
                    break
                yield self.env.timeout(_BOTO.delay(nth, self.random))
                started = self._may_start()
            self.leave("start_scoring")
            if started:
                return
            if failed == self.quotas["event_retries"]:
                file.lost = True
                return
            yield self.env.timeout(_EVENT_FAILED.delay(failed, self.random))
            failed += 1

    def _await(self, file: File) -> Steps:
        """Until the model answers: a function for as long as one watches, first launch_pod and then await_pod, and a Wait of
        the state machine between. (await_pod's own work is counted as that of launch_pod, which looks as well.)
        """
        began = self.env.now
        assert file.granted is not None
        while True:
            left = max(file.ready - self.env.now, 0.0)
            if file.launching:
                file.launching = False
                yield self.env.timeout(min(left, WATCH_SECONDS))
                self.leave("launch_pod")
            else:
                yield from self.task("await_pod", min(left, WATCH_SECONDS) + self.durations.functions["launch_pod"])
            if left <= WATCH_SECONDS:
                return
            yield from self.transition(TRANSITIONS_OF_A_ROUND)
            waited = self.env.now - began
            yield self.env.timeout(min(max(waited / 10, LEAST_LOOK_SECONDS), MOST_LOOK_SECONDS))

    def _may_start(self) -> bool:
        if self._starts.take(self.env.now):
            return True
        self.throttled["start_execution_per_second"] += 1
        return False

    def _opened(self, executions: int) -> None:
        self.open += executions
        self.most_open = max(self.most_open, self.open)

    def transition(self, number: int) -> Steps:
        """So many state transitions: those beyond the quota wait."""
        wait = self._transitions.wait(self.env.now, number)
        if wait:
            self.throttled["transitions_per_second"] += 1
            yield self.env.timeout(wait)

    def enter(self, function: str, reserved: int = 0) -> bool:
        """Take an execution environment, unless there is no room for one more."""
        running = self._running[function]
        if self.lambdas >= self.quotas["lambda_concurrency"]:
            self.throttled["lambda_concurrency"] += 1
            return False
        if reserved and running >= reserved:
            return False
        if running >= self._environments[function]:
            if not self._scaling[function].take(self.env.now):
                self.throttled["lambda_scaling"] += 1
                return False
            self._environments[function] += 1
        self._running[function] += 1
        self.lambdas += 1
        self.most_lambdas = max(self.most_lambdas, self.lambdas)
        return True

    def leave(self, function: str) -> None:
        self._running[function] -= 1
        self.lambdas -= 1

    def task(self, function: str, seconds: float) -> Steps:
        """A Task of the state machine that calls a function."""
        yield from self.begin(function)
        yield self.env.timeout(seconds)
        self.leave(function)

    def begin(self, function: str) -> Steps:
        """Call a function, again and again while Lambda has no room for it; whoever has called it leaves it."""
        nth = 0
        while not self.enter(function):
            yield from self.transition(1)
            yield self.env.timeout(_THROTTLED.delay(nth, self.random))
            nth += 1

    def grant(self, file: File) -> bool:
        """Give the file a pod, unless the namespace is full."""
        if self.free <= 0:
            return False
        self.free -= 1
        file.granted = self.env.now
        file.ready = self._nodes.place(self.env.now) + file.start
        return True


class Nodes:
    """Nodes as Karpenter adds them: one for so many pods that find no place. None is taken away while the crowd is there."""

    def __init__(self, pods: int, seconds: Sequence[float], random: Random) -> None:
        self.free = 0
        self._pods, self._seconds, self._random = pods, seconds, random
        self._coming: deque[float] = deque()

    def place(self, now: float) -> float:
        """When one more pod has a place on a node."""
        while self._coming and self._coming[0] <= now:
            self._coming.popleft()
            self.free += 1
        if self.free:
            self.free -= 1
            return now
        if not self._coming:
            self._coming.extend([now + self._random.uniform(*self._seconds)] * self._pods)
        return self._coming.popleft()
