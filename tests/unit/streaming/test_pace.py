"""How large batches become and how many are under way: found out from the answers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.streaming.pace import FIRST_BYTES, Pace

MOST = 1 << 19
# Of parts, one that is written and one under way.
BESIDE = 12 << 20


def driven(pace: Pace, rate: Callable[[int, int], float], answers: int = 400) -> list[int]:
    """Full batches of a model that serves `rate(size, in_flight)` bytes a second; their sizes."""
    now, sizes = 0.0, []
    for _ in range(answers):
        size, in_flight = pace.block_bytes(BESIDE), pace.in_flight
        now += size / rate(size, in_flight)
        pace.answered(size, size, in_flight * size / rate(size, in_flight), now)
        sizes.append(size)
    return sizes


def test_it_begins_small_and_grows_twofold_while_the_model_is_quick() -> None:
    pace = Pace(MOST, 8, 1.0)
    assert (pace.size, pace.in_flight) == (FIRST_BYTES, 1), "the first answer tells what a model is like"
    sizes = []
    for second in range(7):
        pace.answered(pace.size, pace.size, 0.1, second / 100)
        sizes.append(pace.size)
    assert sizes == [*(FIRST_BYTES << n for n in range(1, 5)), MOST, MOST, MOST]


@pytest.mark.parametrize(("seconds", "factor"), [(0.9, 2.0), (1.1, 1.0), (1.9, 1.0), (2.1, 0.5)])
def test_it_keeps_the_answers_within_the_patience(seconds: float, factor: float) -> None:
    pace = Pace(MOST, 8, 1.0)
    pace.answered(FIRST_BYTES, FIRST_BYTES, 0.01, 0.0)
    pace.answered(2 * FIRST_BYTES, 2 * FIRST_BYTES, seconds, 1.0)
    assert pace.size == 2 * FIRST_BYTES * factor
    assert pace.seconds == seconds


def test_the_first_answer_does_not_tell_whether_time_is_a_matter_of_size() -> None:
    pace = Pace(MOST, 8, 1.0)
    sizes = []
    for second in range(4):
        pace.answered(pace.size, pace.size, 1.5 * pace.size / FIRST_BYTES, float(second))
        sizes.append(pace.size)
    assert sizes == [2 * FIRST_BYTES, *[FIRST_BYTES] * 3]


def test_a_small_batch_says_nothing_about_larger_ones() -> None:
    """The last one of a file, or halves of one that was refused."""
    pace = Pace(MOST, 8, 1.0)
    pace.answered(FIRST_BYTES // 2 - 1, 99, 0.01, 0.0)
    assert pace.size == FIRST_BYTES


def test_what_was_refused_is_remembered() -> None:
    pace = Pace(MOST, 8, 1.0)
    pace.refused(FIRST_BYTES, for_good=True)
    assert pace.size == FIRST_BYTES // 2
    for second in range(9):
        pace.answered(pace.size, pace.size, 0.01, float(second))
    assert pace.size == FIRST_BYTES // 2, "or each second batch is refused"
    pace.refused(FIRST_BYTES // 2, for_good=True)
    assert pace.size == FIRST_BYTES // 4


def test_what_may_have_passed_is_tried_again_but_more_and_more_rarely() -> None:
    """A limit that nobody told, at the first size, of which each second batch would be too much."""
    pace, refused, course = Pace(MOST, 1, 1.0), 0, []
    for second in range(1_000):
        size = pace.size
        if size > FIRST_BYTES:
            refused += 1
            pace.refused(size)
        else:
            pace.answered(size, size, 0.01, float(second))
        course.append(pace.size)
    assert refused < 12
    assert set(course[-100:]) == {FIRST_BYTES}
    for second in range(1_000, 4_000):
        pace.answered(pace.size, pace.size, 0.01, float(second))
    assert pace.size == MOST, "nobody refuses any more"


def test_batches_refused_together_count_once() -> None:
    pace = Pace(MOST, 8, 1.0)
    pace.resume({"size": 1 << 19, "in_flight": 8})
    for _ in range(8):
        pace.refused(1 << 19)
    assert pace.size == 1 << 18


def test_a_later_step_begins_where_the_last_one_had_come_to_and_tries_larger_ones_again() -> None:
    pace = Pace(MOST, 8, 1.0)
    pace.resume({"size": 1 << 18, "in_flight": 5})
    pace.refused(1 << 18)
    pace.throttled()
    later = Pace(MOST, 8, 1.0)
    later.resume(pace.to_json())
    assert (later.size, later.in_flight) == (1 << 17, 4)
    later.answered(1 << 17, 1 << 17, 0.1, 0.0)
    assert later.size == 1 << 18


@pytest.mark.parametrize("in_flight", range(1, 9))
@pytest.mark.parametrize("is_held", [False, True])
def test_all_batches_under_way_together_are_bounded(in_flight: int, is_held: bool) -> None:
    pace = Pace(1 << 24, 8, 1.0)
    pace.resume({"size": 1 << 24, "in_flight": in_flight})
    for beside, most in ((40 << 20, 19 << 16), (20 << 20, 9 << 19), (12 << 20, 13 << 19), (0, 19 << 19)):
        one = settled(pace, beside, is_held=is_held)
        assert one * (in_flight + 1) <= most // (3 if is_held else 1) < one * (in_flight + 2)


def settled(pace: Pace, beside: int, *, is_held: bool = False) -> int:
    """The size of batches once there have been many with so much memory beside them."""
    given = 0
    while given <= 300 << 20:
        size = pace.block_bytes(beside, is_held=is_held)
        given += size
    return size


def test_parts_that_are_gone_count_for_a_while() -> None:
    """They come and go, and batches that took their memory each time would be of all sizes."""
    pace = Pace(1 << 24, 8, 1.0)
    pace.resume({"size": 1 << 24})
    begun, usual = pace.block_bytes(BESIDE), settled(pace, BESIDE)
    assert begun < usual // 2 + 1, "nobody knows yet how many there will be"
    assert pace.block_bytes(26 << 20) == pace.block_bytes(BESIDE) == begun
    assert settled(pace, BESIDE) == usual


def test_a_slow_model_gets_batches_that_take_it_about_the_patience() -> None:
    assert {*driven(Pace(MOST, 1, 1.0), lambda size, in_flight: 200e3)[-100:]} == {1 << 18}


@pytest.mark.parametrize("seconds", [1.5, 2.5, 9.0])
def test_a_model_that_takes_its_time_for_each_request_gets_large_ones(seconds: float) -> None:
    """As a script does that is started for each batch: what smaller ones take is hardly less."""
    pace, now = Pace(MOST, 1, 1.0), 0.0
    for _ in range(40):
        took = seconds + pace.size / 2e6
        now += took
        pace.answered(pace.size, pace.size, took, now)
    assert pace.size == MOST


def test_a_model_that_takes_its_time_for_each_request_is_kept_from_time_outs() -> None:
    pace, now, longest = Pace(1 << 26, 1, 10.0), 0.0, 0.0
    for _ in range(40):
        took = 25 + pace.size / 200e3
        now += took
        longest = max(longest, took)
        pace.answered(pace.size, pace.size, took, now)
    assert pace.size >= 1 << 19
    assert longest < 60


def test_a_step_knows_what_the_one_before_has_found_out() -> None:
    """Of a model so slow that each has one answer."""
    earlier: dict[str, Any] = {}
    for _ in range(12):
        pace = Pace(MOST, 1, 10.0)
        pace.resume(json.loads(json.dumps(earlier)))
        pace.answered(pace.size, pace.size, 400 + pace.size / 2e6, 0.0)
        earlier = pace.to_json()
    assert earlier["size"] > 16 * FIRST_BYTES


def test_batches_of_wide_answers_are_smaller() -> None:
    """Memory is bounded, whatever a model makes of a record."""
    pace = Pace(MOST, 8, 1.0)
    for second in range(20):
        block = pace.block_bytes(BESIDE)
        pace.answered(block, 10 * block, 0.1, float(second))
    assert 10 * pace.block_bytes(BESIDE) <= 1.5 * MOST
    for second in range(20, 40):
        block = pace.block_bytes(BESIDE)
        pace.answered(block, block, 0.1, float(second))
    assert pace.block_bytes(BESIDE) == MOST


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("answered"), st.integers(1, 2 * MOST), st.floats(0, 900)),
        st.tuples(st.just("refused"), st.integers(1, 2 * MOST), st.just(0.0)),
    ),
    max_size=60,
)


@given(
    st.integers(1, MOST),
    st.integers(1, 8),
    st.dictionaries(st.sampled_from(["size", "in_flight"]), st.integers()),
    EVENTS,
)
def test_it_never_leaves_its_bounds(
    most: int, most_in_flight: int, earlier: dict[str, int], events: list[tuple[str, int, float]]
) -> None:
    pace, now = Pace(most, most_in_flight, 1.0), 0.0
    pace.resume(earlier)
    for what, size, seconds in events:
        now += seconds
        if what == "answered":
            pace.answered(size, 3 * size, seconds, now)
        else:
            pace.refused(size)
        assert 1 <= pace.block_bytes(BESIDE) <= pace.size <= most
        assert 1 <= pace.in_flight <= most_in_flight
