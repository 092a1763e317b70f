"""queue_file: a file that finds no room sleeps, and nobody's room is lost with it."""

from typing import Any

import pytest

from scoring import aws
from scoring.cluster import room
from scoring.cluster.queue import Queue
from tests.builders import CLUSTER, NAMESPACE, Context, envelope, function, pod_state, request, state
from tests.unit.cluster.test_queue import Sleepers

app = function("queue_file")
NO_ROOM = {"Error": "NoRoom", "Cause": "Other files wait for room in the namespace already."}


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch, s3: Any) -> Sleepers:
    """An older file sleeps already."""
    found = Sleepers("older", "own")
    monkeypatch.setattr(aws, "client", {"s3": s3, "stepfunctions": found}.__getitem__)
    waiting = Queue.of(CLUSTER, NAMESPACE)
    waiting.enter(waiting.place("2026-11-22T09:00:00Z", "older"), room.sleeper("older", {}), awake="")
    return found


def sleep(**more: Any) -> None:
    given = envelope(state(request=request(), full=NO_ROOM, **more)) | {"token": "own"}
    app.handler(given, Context())


def test_whoever_stands_behind_others_sleeps_and_calls_nobody(sleepers: Sleepers) -> None:
    sleep()
    assert sleepers.woken == {}


def test_whoever_has_lost_its_pod_and_stands_behind_others_leaves_them_its_room_once(sleepers: Sleepers) -> None:
    size = {"pods": 1, "requests.cpu": 0.6}
    lost = {"pod": pod_state(size=size), "lost_pods": {"count": 1}}
    sleep(**lost, called={"wait_seconds": 5, "freed": size, "awake": ""})
    assert sleepers.woken == {}, "it was called since, in vain: its room is somebody else's"
    sleep(**lost, called={})
    assert sleepers.woken["older"]["freed"] == size
