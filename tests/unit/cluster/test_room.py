"""Room in a namespace: what a pod takes of a quota is what Kubernetes counts, and none that goes is lost or given twice."""

from __future__ import annotations

from typing import Any

import pytest

from scoring.cluster import room
from scoring.cluster.room import NoRoom, NoRoomYet
from scoring.errors import QuotaExceeded
from tests.builders import pod_state, request, state

FREED = {"pods": 1, "services": 1, "requests.cpu": 0.5, "requests.memory": 2.0**30, "limits.memory": 2.0**30}
POD = {"name": "pod"}


def container(cpu: str, limit: str = "", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": limit} if limit else None}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "requests", "limits"),
    [
        ({"containers": [container("500m"), container("100m", "2")]}, 0.6, 2),
        ({"containers": [container("1")], "initContainers": [container("250m", **SIDECAR)]}, 1.25, None),
        ({"containers": [container("1")], "initContainers": [container("3", "4"), container("2")]}, 3, 4),
        (
            # Beside an init container run the sidecars that were started before it.
            {
                "containers": [container("1")],
                "initContainers": [container("1", **SIDECAR), container("3"), container("1", **SIDECAR)],
            },
            4,
            None,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1.25, None),
        ({"containers": [container("1", "2")], "overhead": {"cpu": "250m"}}, 1.25, 2.25),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}, {"name": "without"}]}, 2, 2),
    ],
    ids=["containers", "sidecar", "init", "sidecars-and-init", "overhead", "overhead-of-limits", "limits-alone"],
)
def test_a_pod_counts_by_its_effective_requests_and_limits(spec: Any, requests: float, limits: float | None) -> None:
    found = room.of_pod(spec)
    assert (found["requests.cpu"], found.get("limits.cpu")) == (requests, limits)
    assert (found["pods"], found["services"]) == (1, 1)


def test_an_execution_of_before_an_update_counts_as_its_pod_was_asked_for() -> None:
    asked = {"cpu": "500m", "memory": "1Gi", "gpu": "1", "ephemeral_storage": "1Gi", "cpu_limit": "2"}
    sized = {"pods": 1, "services": 1, "requests.cpu": 0.5, "limits.cpu": 2}
    for name, amount in (("memory", 2**30), ("ephemeral-storage", 2**30), ("nvidia.com/gpu", 1)):
        sized |= {f"requests.{name}": amount, f"limits.{name}": amount}
    before = state(request=request(resources=asked), pod=pod_state())
    assert room.of_attempt(before) == sized
    assert room.of_attempt(before | {"pod": pod_state(size={"pods": 1})}) == {"pods": 1}


def test_what_is_left_counts_what_a_pod_does_not_ask_for_as_nothing_and_what_is_no_pod_as_there() -> None:
    lacks = {"requests.nvidia.com/gpu": 1, "requests.cpu": 1.2, "limits.cpu": 1, "count/secrets": 1}
    freed = {"pods": 1, "requests.cpu": 0.4, "limits.cpu": 2}
    assert room.minus(lacks, freed) == {"requests.nvidia.com/gpu": 1, "requests.cpu": 0.8}


def test_only_who_was_called_for_what_was_freed_tries_again_at_once() -> None:
    refused = QuotaExceeded("The namespace is full", lacks={"pods": 1.0})
    found = [room.no_room(refused, called) for called in ({}, {"freed": None}, {"freed": FREED})]
    assert [type(each) for each in found] == [NoRoom, NoRoom, NoRoomYet]
    assert all(each.details == {"lacks": {"pods": 1.0}} for each in found)


@pytest.mark.parametrize(
    ("first", "awake", "was_called", "tries"),
    [("a", False, False, True), ("b", False, False, False), ("a", True, False, False), ("b", True, True, True)],
)
def test_the_first_tries_once_more_before_it_sleeps(first: str, awake: bool, was_called: bool, tries: bool) -> None:
    assert room.tries_by_itself("a", first, awake=awake, was_called=was_called) is tries


@pytest.mark.parametrize(
    ("called", "next_one"),
    [
        ({}, (False, None)),
        ({"Error": "States.Timeout"}, (False, None)),
        ({"wait_seconds": 1, "freed": None}, (True, None)),
        ({"wait_seconds": 5, "freed": FREED}, (False, {})),
        (
            {"wait_seconds": 5, "freed": {**FREED, "pods": 2, "requests.cpu": 0.8}},
            (True, {"pods": 1, "requests.cpu": 0.3}),
        ),
    ],
)
def test_who_needs_less_than_was_freed_calls_the_next_one(called: dict[str, Any], next_one: Any) -> None:
    assert room.rest(called, FREED) == next_one


TOLD: dict[str, Any] = {"detail": {}}


@pytest.mark.parametrize(
    ("event", "held", "deleted", "made"),
    [
        ({}, {"pod": POD}, ["pods/a"], (True, FREED)),
        (
            {},
            {"pod": {**POD, "size": {"pods": 1.0, "requests.cpu": 0.6}}},
            [],
            (True, {"pods": 1.0, "requests.cpu": 0.6}),
        ),
        ({}, {"pod": POD}, [], (True, FREED)),  # called again, since the first one's call failed
        ({}, {}, [], (False, None)),
        ({}, {}, ["pods/a"], (True, FREED)),
        ({"keep_upload": True}, {"pod": POD}, ["pods/a"], (False, None)),
        (TOLD, {"pod": POD}, [], (False, None)),  # by the state machine already
        (TOLD, {"pod": POD}, ["services/a", "pods/a"], (True, FREED)),
    ],
)
def test_each_pod_that_goes_makes_room_once(
    event: dict[str, Any], held: dict[str, Any], deleted: list[str], made: Any
) -> None:
    assert room.made_by(event, {**held, "request": request()}, deleted) == made
