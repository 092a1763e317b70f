"""What files wait for room in a full namespace with: calls, as it is, and the ways that docs/scale.md weighs against them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Protocol

import simpy

from bench.cost import TRANSITIONS_OF_A_ROUND
from bench.simulation import CALLED, FULL, LEAST_LOOK_SECONDS, MOST_GATED_SECONDS, Crowd, File, Steps

# What an estimate of the waiting time goes by: so many of the last tear-downs.
_LAST = 50
# What part of its estimate a file waits before it looks again. Where a late look leaves room empty, more of it is a spiral:
# the pace falls, and the estimates grow.
_SHARE, _SHARE_IF_ROOM_WAITS = 0.9, 0.8


class Queue(Protocol):
    """How a file comes by its room."""

    def room(self, crowd: Crowd, file: File) -> Steps:
        """From its first launch_pod until its execution knows that it has room."""
        ...

    def torn_down(self, crowd: Crowd) -> None:
        """A file's tear_down has ended; its pod still counts for `release` seconds."""
        ...

    def released(self, crowd: Crowd) -> None:
        """A pod is gone, and its room is free."""
        ...


def _launch(crowd: Crowd) -> Steps:
    """launch_pod, which looks on at the pod where it has made one; who has found no room leaves it."""
    yield from crowd.begin("launch_pod")
    yield crowd.env.timeout(crowd.durations.functions["launch_pod"])


def _may_look_on(crowd: Crowd, file: File) -> bool:
    """Ask for room, at the end of launch_pod's work."""
    file.launching = crowd.grant(file)
    if not file.launching:
        crowd.leave("launch_pod")
    return file.launching


class Retries:
    """As it was: launch_pod fails with QuotaExceeded, and the state machine tries again, after a time by chance."""

    def room(self, crowd: Crowd, file: File) -> Steps:
        while True:
            yield from _launch(crowd)
            if _may_look_on(crowd, file):
                return
            yield crowd.env.timeout(FULL.delay(file.retries, crowd.random))
            yield from crowd.transition(1)
            file.retries += 1
            file.transitions += 1

    def torn_down(self, crowd: Crowd) -> None:
        """Nobody is told."""

    def released(self, crowd: Crowd) -> None:
        """Nobody is told."""


class Pace:
    """How fast files go, by the last tear-downs: what a place in the queue makes expect."""

    def __init__(self, share: float = _SHARE) -> None:
        self._share = share
        self._last: deque[float] = deque(maxlen=_LAST)

    def torn_down(self, crowd: Crowd) -> None:
        self._last.append(crowd.env.now)

    def wait(self, crowd: Crowd, before: int) -> float:
        """Seconds until a file with so many before it looks again: a part of what it is expected to wait."""
        if len(self._last) < _LAST:
            mean = crowd.durations
            interval = mean.hold(mean.start, mean.scoring) / crowd.scenario.pods
        else:
            interval = (self._last[-1] - self._last[0]) / (_LAST - 1)
        return max(self._share * (before + 1) * interval, LEAST_LOOK_SECONDS)


class Gates:
    """A pod that waits with a scheduling gate and is admitted in its turn, by Kueue or by another file's tear_down.

    await_pod looks after it the less often the longer it has waited; or, with a `pace`, by its place.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace
        self._gated: deque[File] = deque()
        self._came = self._admitted = 0

    def room(self, crowd: Crowd, file: File) -> Steps:
        yield from _launch(crowd)
        crowd.leave("launch_pod")
        self._gated.append(file)
        place = self._came
        self._came += 1
        self.released(crowd)
        while file.granted is None:
            yield from crowd.transition(TRANSITIONS_OF_A_ROUND)
            yield crowd.env.timeout(self._wait(crowd, file, place - self._admitted))
            yield from crowd.task("await_pod", crowd.durations.functions["launch_pod"])
            file.retries += 1
            file.transitions += TRANSITIONS_OF_A_ROUND

    def _wait(self, crowd: Crowd, file: File, before: int) -> float:
        if self._pace:
            return self._pace.wait(crowd, before)
        assert file.asked is not None
        return min(max((crowd.env.now - file.asked) / 10, LEAST_LOOK_SECONDS), MOST_GATED_SECONDS)

    def torn_down(self, crowd: Crowd) -> None:
        if self._pace:
            self._pace.torn_down(crowd)

    def released(self, crowd: Crowd) -> None:
        while self._gated and crowd.grant(self._gated[0]):
            self._gated.popleft()
            self._admitted += 1


class Estimates:
    """launch_pod answers how long to wait, by how many files are before this one and how fast they went of late."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int]] = []
        self._pace = Pace(_SHARE_IF_ROOM_WAITS)

    def room(self, crowd: Crowd, file: File) -> Steps:
        assert file.asked is not None
        place = (file.asked, file.number)
        insort(self._waiting, place)
        while True:
            yield from _launch(crowd)
            before = bisect_left(self._waiting, place)
            # Whoever has more files before it than there is room for leaves it to them.
            if before < crowd.free:
                # There is room for as many as that.
                _may_look_on(crowd, file)
                del self._waiting[before]
                return
            crowd.leave("launch_pod")
            yield from crowd.transition(TRANSITIONS_OF_A_ROUND)
            yield crowd.env.timeout(self._pace.wait(crowd, before - crowd.free))
            file.retries += 1
            file.transitions += TRANSITIONS_OF_A_ROUND

    def torn_down(self, crowd: Crowd) -> None:
        self._pace.torn_down(crowd)

    def released(self, crowd: Crowd) -> None:
        """Nobody is told."""


class Calls:
    """As it is: a file that finds no room leaves its task token and sleeps; the tear_down of another one calls the oldest.

    The called one waits until the pod that goes is gone, and launches again. Who comes meanwhile waits behind the others.
    """

    def __init__(self) -> None:
        self._asleep: deque[simpy.Event] = deque()

    def room(self, crowd: Crowd, file: File) -> Steps:
        yield from _launch(crowd)
        if self._asleep:
            crowd.leave("launch_pod")
        elif _may_look_on(crowd, file):
            return
        yield from crowd.transition(1)
        yield from crowd.task("queue_file", crowd.durations.functions["launch_pod"])
        called = crowd.env.event()
        self._asleep.append(called)
        # Its place, the queue read, that it was called. (launch_pod and tear_down read it for each file: `cost.dropscore`.)
        file.retries, file.transitions, file.writes = 1, 3, 3
        yield called
        yield crowd.env.timeout(crowd.durations.release)
        nth = 0
        while True:
            yield from crowd.transition(1)
            yield from _launch(crowd)
            file.retries += 1
            if _may_look_on(crowd, file):
                return
            yield crowd.env.timeout(CALLED.delay(nth, crowd.random))
            file.transitions += 1
            nth += 1

    def torn_down(self, crowd: Crowd) -> None:  # noqa: ARG002  (the protocol has it)
        if self._asleep:
            self._asleep.popleft().succeed()

    def released(self, crowd: Crowd) -> None:
        """Whoever was called knows."""
