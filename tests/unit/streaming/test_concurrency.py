"""How many batches are in flight: found out from rates alone, and looked at again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.streaming.concurrency import Concurrency

MOST, SIZE = 8, 1 << 20


def driven(concurrency: Concurrency, rate: Callable[[int], float], answers: int = 2_000) -> list[int]:
    """Batches of a model that serves `rate(in_flight)` bytes a second; how many were in flight as each was answered.

    As on the wire, an answer says how many there were when its batch was sent.
    """
    now, course = 0.0, []
    under_way = [1]
    for _ in range(answers):
        course.append(under_way.pop(0))
        now += SIZE / rate(course[-1])
        concurrency.answered(SIZE, now)
        while len(under_way) < concurrency.in_flight:
            under_way.append(concurrency.in_flight)
    return course


def usual(course: list[int]) -> int:
    """What most answers of the second half were given beside."""
    return Counter(course[len(course) // 2 :]).most_common(1)[0][0]


def noisy(rate: Callable[[int], float], seed: int, by: float) -> Callable[[int], float]:
    chance = random.Random(seed)
    return lambda in_flight: rate(in_flight) * chance.uniform(1 - by, 1 + by)


@pytest.mark.parametrize("workers", range(1, MOST + 1))
def test_a_model_gets_about_a_batch_for_each_of_its_workers(workers: int) -> None:
    course = driven(Concurrency(MOST), lambda in_flight: 1e6 * min(in_flight, workers))
    assert workers <= usual(course) <= workers + 1
    assert course.index(workers) < 4 * sum(range(workers + 2)), "soon"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_chance_settles_nothing(workers: int, seed: int) -> None:
    """What single answers take differs by half; nearly all are given beside as many as there are workers, or more."""
    course = driven(Concurrency(MOST), noisy(lambda in_flight: 1e6 * min(in_flight, workers), seed, 0.5))
    enough = sum(in_flight >= workers for in_flight in course)
    assert enough > 0.85 * len(course)


def test_a_model_that_gets_more_workers_later_gets_more_batches() -> None:
    concurrency = Concurrency(MOST)
    driven(concurrency, lambda in_flight: 1e6)
    assert concurrency.in_flight <= 2
    course = driven(concurrency, lambda in_flight: 1e6 * min(in_flight, 4))
    assert max(course) >= 4


def test_a_model_that_serves_all_the_slower_gets_less() -> None:
    course = driven(Concurrency(MOST), lambda in_flight: 1e6 / in_flight)
    assert usual(course) == 1


def test_the_first_answer_is_waited_for_and_then_one_works_while_another_is_on_its_way() -> None:
    concurrency = Concurrency(MOST)
    assert concurrency.in_flight == 1
    concurrency.answered(SIZE, 0.0)
    assert concurrency.in_flight == 2


def test_what_a_model_throttled_is_not_tried_again_soon() -> None:
    concurrency = Concurrency(MOST)
    concurrency.resume(4)
    concurrency.throttled()
    assert concurrency.in_flight == 3
    course = driven(concurrency, lambda in_flight: 1e6 * in_flight, 60 * 4 * 3)
    assert max(course) == 3
    assert max(driven(concurrency, lambda in_flight: 1e6 * in_flight)) > 3, "but some time"


def test_rates_of_batches_of_another_size_are_not_compared() -> None:
    """They would be: twice the size alone makes a model faster."""
    concurrency, now = Concurrency(MOST), 0.0
    for number in range(400):
        now += 0.1
        concurrency.restart()
        concurrency.answered(SIZE << number, now)
    assert concurrency.in_flight == 2


@given(
    st.integers(1, MOST),
    st.lists(st.one_of(st.none(), st.just(0), st.floats(0.001, 100)), max_size=200),
    st.integers(-3, 20),
)
def test_it_never_leaves_its_bounds(most: int, events: list[float | None], begin: int) -> None:
    concurrency, now = Concurrency(most), 0.0
    concurrency.resume(begin)
    for event in events:
        if event is None:
            concurrency.throttled()
        elif event == 0:
            concurrency.restart()
        else:
            for _ in range(4):
                now += event
                concurrency.answered(SIZE, now)
        assert 1 <= concurrency.in_flight <= most
