"""What takes long is looked at ever more rarely, so that the history of an execution has room for all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from scoring import pauses
from scoring.intake import schema

DAY, WEEK = 86_400, 604_800
LONGEST_START = schema.SCHEMA["properties"]["start_seconds"]["maximum"]


def looks(pause: Callable[[float], int], seconds: float) -> list[float]:
    """How long had been waited at each look."""
    times = [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + pause(times[-1]))
    return times


def events(pause: Callable[[float], int], seconds: float) -> int:
    return len(looks(pause, seconds)) * pauses.EVENTS_OF_A_LOOK


def test_a_week_in_a_queue_and_the_longest_start_leave_most_of_the_history() -> None:
    """An attempt lasts for a week at most."""
    assert events(pauses.queued, WEEK) < 8_000
    assert events(pauses.queued, WEEK - LONGEST_START) + events(pauses.starting, LONGEST_START) < 15_000


@pytest.mark.parametrize("queued_seconds", [0, DAY, 3 * DAY, 6 * DAY])
def test_a_queue_then_the_longest_start_then_a_slow_model_fill_a_week_and_leave_a_fifth_of_the_history(
    queued_seconds: int,
) -> None:
    """An execution holds 25,000 events; the rest is for retries and lost pods."""
    working = partial(pauses.working, asked=0.0)
    steps = (pauses.queued, queued_seconds), (pauses.starting, LONGEST_START)
    seen = sum(events(pause, seconds) for pause, seconds in steps)
    assert seen + events(working, WEEK - LONGEST_START - queued_seconds) < 20_000


@pytest.mark.parametrize(("waited", "within"), [(60, 6), (600, 60), (3_600, 360), (DAY, 900), (WEEK, 900)])
def test_a_pod_that_a_queue_admits_is_found_the_sooner_the_less_it_has_waited(waited: float, within: float) -> None:
    """Whenever that is: between a look and the next one."""
    times = looks(pauses.queued, waited)
    assert max(later - earlier for earlier, later in pairwise(times)) <= within


@pytest.mark.parametrize(("waited", "seconds"), [(-3, 5), (0, 5), (90, 9), (3_599, 15), (3_600, 60), (43_000, 60)])
def test_a_pod_that_starts_is_looked_at_less_often_the_longer_it_does(waited: float, seconds: int) -> None:
    assert pauses.starting(waited) == seconds


@pytest.mark.parametrize(("waited", "seconds"), [(0, 15), (3_599, 15), (3_600, 60)])
def test_a_silent_model_is_asked_four_times_a_minute_for_an_hour(waited: float, seconds: int) -> None:
    assert pauses.silent(waited) == seconds


@pytest.mark.parametrize(
    ("waited", "asked", "seconds"),
    [(0, 0, 5), (99, 0, 9), (99, 9.5, 10), (9_000, 0, 300), (0, 1_000, 300), (DAY, 0, 600), (DAY, 9_999, 600)],
)
def test_a_model_that_works_on_is_left_alone_for_a_tenth_of_its_time_or_as_long_as_it_asks(
    waited: float, asked: float, seconds: int
) -> None:
    assert pauses.working(waited, asked) == seconds
