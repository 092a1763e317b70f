"""The simulated crowds of docs/scale.md: laws that any queue obeys, and that the page is what the code makes of its inputs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import simpy
import yaml

from bench import crowd, quotas, scenarios, simulation
from bench.queues import Calls, Estimates, Gates, Pace, Queue, Retries
from bench.quotas import Backoff, Bucket, Durations, Inputs, ceilings, fcfs, percentile, stretches
from bench.simulation import Crowd, Scenario
from scoring import aws, pauses
from scoring.cluster import manifest
from scoring.settings import ClusterSettings
from tests.builders import ROOT
from tests.unit.cluster.test_pods import attempt

INPUTS = Inputs.read()
QUEUES = [Retries, Gates, lambda: Gates(Pace()), Estimates, Calls]


def inputs(**values: float) -> Inputs:
    """The inputs with other quotas."""
    changed = {name: INPUTS.document["quotas"][name] | {"value": value} for name, value in values.items()}
    return replace(INPUTS, document=INPUTS.document | {"quotas": INPUTS.document["quotas"] | changed})


def at_once(files: int, pods: int = 10, **changes: Any) -> Scenario:
    return replace(Scenario("at once", [0.0] * files, pods, seed=7), **changes)


def run(scenario: Scenario, queue: Queue, **values: float) -> Crowd:
    return Crowd(scenario, queue, inputs(**values)).run()


def test_a_bucket_gives_its_size_at_once_and_its_rate_thereafter() -> None:
    bucket = Bucket(3, 2)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert bucket.wait(100, 7) == pytest.approx((7 - 3) / 2), "no more than its size was saved up"
    assert not bucket.take(102), "what was waited for is taken"


def test_a_retry_is_as_the_state_machine_has_it() -> None:
    assert Backoff(10, 1.5, 300) == simulation.FULL
    assert [simulation.FULL.longest(nth) for nth in (0, 1, 2, 50)] == [10, 15, 22.5, 300]
    delays = [simulation.FULL.delay(50, Random(seed)) for seed in range(200)]
    assert 0 <= min(delays) < 30 < 270 < max(delays) <= 300
    assert Backoff(60, 2, 120, jittered=False).delay(1, Random(0)) == 120


def test_how_often_a_wait_is_retried() -> None:
    backoff = Backoff(10, 2, 40, jittered=False)
    assert [backoff.retries(seconds) for seconds in (0, 5, 30, 31, 70, 110, 111)] == [0, 1, 2, 3, 3, 4, 5]
    # By half of the longest delay each: 374.4 s in nine retries, then 150 s a retry.
    assert simulation.FULL.retries(10_000) == 9 + 65


def test_first_come_first_served_by_hand() -> None:
    assert fcfs([0, 1, 2, 30], [10, 10, 10, 10], 2) == [0, 0, 8, 0]
    assert fcfs([2, 1, 0], [10, 10, 10], 1) == [18, 9, 0], "by when they came, in whatever order they are told"
    assert fcfs([0, 1, 2], [10, 10, 10], 2, first=5) == [0, 0, 13]
    assert stretches([8, 0], [3, 0], [2, 2]) == [2, 1]
    assert [percentile([4, 1, 3, 2], percent) for percent in (0, 50, 51, 100)] == [1, 2, 3, 4]
    assert percentile([], 99) == 0


def test_a_quota_by_what_a_file_uses_of_it() -> None:
    whole, durations = ceilings(INPUTS), Durations.of(INPUTS)
    assert whole["namespace_pods"] == pytest.approx(50 / durations.hold(30, INPUTS.case.scoring_seconds))
    assert whole["start_execution_per_second"] == 150, "one for score_file, one for its attempt"
    for quota in ("namespace_pods", "lambda_concurrency", "transitions_per_second", "start_execution_per_second"):
        half = ceilings(inputs(**{quota: INPUTS.quotas[quota] / 2}))
        assert half[quota] == pytest.approx(whole[quota] / 2)


@pytest.mark.parametrize("queue", QUEUES, ids=scenarios.QUEUES)
def test_every_file_is_served_and_nothing_is_left(queue: type[Queue]) -> None:
    crowd = run(at_once(300), queue())
    assert all(file.done is not None for file in crowd.files)
    assert (crowd.free, crowd.lambdas, crowd.open) == (10, 0, 0)
    assert crowd.most_open == 300


@pytest.mark.parametrize("queue", QUEUES, ids=scenarios.QUEUES)
def test_as_many_pods_as_the_rate_times_what_each_holds_its_room(queue: type[Queue]) -> None:
    """Little's law, where room is not what is waited for: the pods are counted, the rate and the times are measured."""
    window, counted = (600, 3_600), []
    crowd = Crowd(Scenario("steady", scenarios.poisson(0.5, 3_700, 1), 100, 1, until=3_600), queue(), INPUTS)

    def count() -> Iterator[simpy.Event]:
        yield crowd.env.timeout(window[0])
        while True:
            counted.append(100 - crowd.free)
            yield crowd.env.timeout(1)

    crowd.env.process(count())  # type: ignore[arg-type]
    crowd.run()
    inside = [file for file in crowd.files if file.granted and window[0] <= file.granted < window[1] and file.held]
    rate = sum(window[0] <= (file.granted or 0) < window[1] for file in crowd.files) / (window[1] - window[0])
    held = sum(file.held for file in inside) / len(inside)
    assert sum(counted) / len(counted) == pytest.approx(rate * held, rel=0.03)


def test_half_the_pods_do_half_the_work_where_they_bind() -> None:
    whole, half = run(at_once(600, 20), Calls()), run(at_once(600, 10), Calls())
    assert half.ended == pytest.approx(2 * whole.ended, rel=0.1)


def test_half_the_lambdas_do_half_the_work_where_they_bind() -> None:
    scenario = at_once(600, 600)
    whole, half = (run(scenario, Retries(), lambda_concurrency=lambdas) for lambdas in (40, 20))
    assert half.most_lambdas == 20
    # At both ends, how long they sleep between their tries counts more than what they compete for.
    middle = [sorted(file.done or 0.0 for file in crowd.files)[100:401:300] for crowd in (whole, half)]
    once, twice = (last - first for first, last in middle)
    assert twice == pytest.approx(2 * once, rel=0.06)


def test_the_same_seed_tells_the_same_and_another_one_does_not() -> None:
    told = [scenarios.summary(run(at_once(200, seed=seed), Retries())) for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_files_that_are_called_are_served_in_turn_for_two_calls_each() -> None:
    # A third more than the pods can do, so that some come just when room is free for one that was called.
    crowd = run(replace(at_once(0), dropped=[number * 3 for number in range(600)]), Calls())
    by_turn = sorted(crowd.files, key=lambda file: (file.asked, file.number))
    assert [file.number for file in sorted(by_turn, key=lambda file: file.granted or 0)] == [
        file.number for file in by_turn
    ]
    told = scenarios.summary(crowd)
    assert told["late"] == 0
    assert told["waited"] > 500
    assert told["retries"]["max"] <= 5


def test_retries_by_chance_let_files_overtake() -> None:
    told = scenarios.summary(run(at_once(300), Retries()))
    assert told["late"] > 0.1
    assert told["stretch"]["max"] > 4


def test_a_pod_that_nobody_looks_after_holds_its_room_for_nothing() -> None:
    rarely, by_place = (scenarios.summary(run(at_once(600), queue)) for queue in (Gates(), Gates(Pace())))
    assert rarely["idle"] > 60 > 5 > by_place["idle"]
    assert rarely["end"] > 2 * by_place["end"]


def test_events_beyond_the_quota_of_executions_are_lost_unless_start_scoring_is_held_back() -> None:
    scenario = at_once(2_000, 2_000, starts=True)
    quota = {"start_execution_bucket": 13, "start_execution_per_second": 10, "lambda_concurrency": 400}
    lost, kept = run(scenario, Retries(), **quota), run(replace(scenario, start_concurrency=1), Retries(), **quota)
    assert sum(file.lost for file in lost.files) > 500
    assert lost.throttled["start_execution_per_second"] > 2_000
    assert not any(file.lost for file in kept.files)
    assert all(file.done for file in kept.files)
    assert all(file.lost or file.done for file in lost.files), "each one is either scored or told of in NotStarted"


def test_the_inputs_are_those_of_the_project() -> None:
    namespace = yaml.safe_load((ROOT / "cluster/quota.yaml").read_text())["spec"]["hard"]
    assert INPUTS.quotas["namespace_pods"] == int(namespace["pods"])
    pod = manifest.pod(attempt(), ClusterSettings("scoring", ("dropscore",), url="http://gateway"))
    assert INPUTS.given["release_seconds"] == pod["spec"]["terminationGracePeriodSeconds"]
    assert pauses.queued(0) == simulation.LEAST_LOOK_SECONDS
    assert pauses.starting(3_599) == simulation.MOST_LOOK_SECONDS
    assert pauses.queued(604_800) == simulation.MOST_GATED_SECONDS
    assert aws._CONFIG.retries["total_max_attempts"] == simulation._BOTO_TRIES


def test_each_quota_has_its_source() -> None:
    sources = [quota["source"] for quota in INPUTS.document["quotas"].values()]
    assert all(
        source.startswith("https://docs.aws.amazon.com/") or (ROOT / "docs" / source).exists() for source in sources
    )


def test_the_page_is_what_the_code_makes_of_its_inputs() -> None:
    document = json.loads(crowd.RESULTS.read_text())
    assert document["digest"] == scenarios.digest(INPUTS), "run `make crowd`"
    assert document["scenarios"]["overload_calls"] == scenarios.run(scenarios.plans(INPUTS)["overload_calls"], INPUTS)
    assert crowd.TARGET.read_text() == crowd.page(document, INPUTS)


def test_waiting_is_billed_by_its_calls_transitions_requests_and_idle_pods() -> None:
    bill = quotas.waiting_bill(30, 10, 20, 100, INPUTS)
    assert (bill.transitions, bill.invocations, bill.writes) == (30, 10, 20)
    assert bill.gb_seconds == pytest.approx(10 * INPUTS.case.measured["seconds"]["launch_pod"] / 2)
    assert bill.node_seconds == pytest.approx(25)
