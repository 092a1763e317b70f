"""The queue of a full namespace: who waits, who is called, and that no call is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import queue, room
from scoring.cluster.queue import Queue
from tests.builders import ATTEMPT_ID, CLUSTER, NAMESPACE, OUTPUT_BUCKET

FREED = {"pods": 1, "services": 1, "requests.cpu": 0.5, "requests.memory": 2.0**30, "limits.memory": 2.0**30}


class Sleepers:
    """Step Functions: the tokens of Tasks that sleep, and what the others were woken with."""

    def __init__(self, *tokens: str) -> None:
        self.asleep = set(tokens)
        self.woken: dict[str, dict[str, Any]] = {}

    def send_task_success(self, taskToken: str, output: str) -> None:  # noqa: N803  (boto3's name)
        if taskToken not in self.asleep:
            raise ClientError({"Error": {"Code": "TaskTimedOut", "Message": ""}}, "SendTaskSuccess")
        self.asleep.remove(taskToken)
        self.woken[taskToken] = json.loads(output)


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch, s3: Any) -> Sleepers:
    found = Sleepers()
    monkeypatch.setattr(aws, "client", {"s3": s3, "stepfunctions": found}.__getitem__)
    return found


@pytest.fixture
def waiting() -> Queue:
    return Queue.of(CLUSTER, NAMESPACE)


def sleep(waiting: Queue, sleepers: Sleepers, second: int, lacks: dict[str, float] | None = None) -> str:
    """A file that sleeps, with a token of its second's name."""
    place = waiting.place(f"2026-11-22T10:00:{second:02}.000Z", f"attempt-{second}")
    sleepers.asleep.add(str(second))
    waiting.enter(place, room.sleeper(str(second), lacks or {}), awake="")
    return place


def places(s3: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=OUTPUT_BUCKET).get("Contents", ())]


def test_places_are_in_the_order_in_which_attempts_began(waiting: Queue) -> None:
    times = [
        "2026-11-22T09:59:59.999Z",
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00.100Z",
        "2026-11-22T10:00:00.200+00:00",
    ]
    found = [waiting.place(time, ATTEMPT_ID) for time in times]
    assert found == sorted(found)
    assert found[0] == f"scored/.queue/{CLUSTER}/{NAMESPACE}/20261122T095959.999Z-{ATTEMPT_ID}"


def test_who_makes_room_calls_the_first_and_each_the_next(s3: Any, waiting: Queue, sleepers: Sleepers) -> None:
    second, first = sleep(waiting, sleepers, 2), sleep(waiting, sleepers, 1)
    sleeping_elsewhere = sleep(Queue.of(CLUSTER, "batch"), sleepers, 0)
    assert [waiting.call(FREED) for _ in range(3)] == [first, second, ""]
    assert sleepers.woken == {key: {"wait_seconds": 5, "freed": FREED, "awake": ""} for key in "12"}
    assert [place for place in places(s3) if "/called/" not in place] == [sleeping_elsewhere]


def test_who_sleeps_no_more_is_passed_over_and_forgotten(s3: Any, waiting: Queue, sleepers: Sleepers) -> None:
    sleep(waiting, sleepers, 1)
    sleepers.asleep.clear()
    s3.put_object(Bucket=OUTPUT_BUCKET, Key=f"{waiting.folder}0", Body=b"nobody's [")
    last = sleep(waiting, sleepers, 2)
    assert waiting.call(FREED) == last
    waiting.leave(last)
    assert places(s3) == []


def test_what_is_not_all_that_the_first_lacks_is_kept_for_it(s3: Any, waiting: Queue, sleepers: Sleepers) -> None:
    """Or small files would overtake it for ever."""
    large = sleep(waiting, sleepers, 1, {"requests.cpu": 1.2, "count/secrets": 1})
    sleep(waiting, sleepers, 2)
    assert [waiting.call(FREED) for _ in range(3)] == ["", "", large]
    assert sleepers.woken["1"]["freed"] == {name: 3 * amount for name, amount in FREED.items()}


def test_who_is_called_without_knowing_for_what_keeps_its_place(s3: Any, waiting: Queue, sleepers: Sleepers) -> None:
    place = sleep(waiting, sleepers, 1, {"requests.cpu": 1.2})
    assert waiting.call(None) == place
    awake = sleepers.woken["1"]["awake"]
    assert sleepers.woken["1"]["freed"] is None
    assert places(s3) == [place]
    assert waiting.enter(place, room.sleeper("again", {}), awake)[1] is False


@pytest.mark.parametrize("freed", [FREED, {**FREED, "requests.cpu": 0.1}])
def test_a_call_to_who_is_awake_is_neither_lost_nor_anothers(
    waiting: Queue, sleepers: Sleepers, freed: dict[str, float]
) -> None:
    place = sleep(waiting, sleepers, 1, {"requests.cpu": 0.5})
    sleep(waiting, sleepers, 2)
    waiting.call(None)
    waiting.call(None)  # it tries already
    waiting.call(freed)
    assert sleepers.asleep == {"2"}
    assert waiting.first() == place, "or others would find the queue empty"
    assert waiting.enter(place, room.sleeper("again", {}), sleepers.woken["1"]["awake"])[1] is True


def test_who_was_stopped_while_it_was_awake_keeps_nobody_from_being_called(
    waiting: Queue, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep(waiting, sleepers, 1)
    second = sleep(waiting, sleepers, 2)
    waiting.call(None)
    monkeypatch.setattr(queue, "_AWAKE_SECONDS", 0)
    assert waiting.call(FREED) == second


def test_who_has_queued_anew_meanwhile_is_not_forgotten(s3: Any, waiting: Queue, sleepers: Sleepers) -> None:
    place = sleep(waiting, sleepers, 1)
    sleepers.asleep.clear()

    def queue_anew(taskToken: str, output: str) -> None:  # noqa: N803
        if taskToken == "1":
            waiting.enter(place, room.sleeper("new", {}), awake="")
            raise ClientError({"Error": {"Code": "TaskTimedOut", "Message": ""}}, "SendTaskSuccess")

    sleepers.send_task_success = queue_anew  # type: ignore[method-assign]
    assert waiting.call(FREED) == place
    assert waiting.first() == ""


def test_nobody_overtakes_who_sleeps_or_is_about_to_launch(
    waiting: Queue, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (waiting.place(f"2026-11-22T{hour}:00:00Z", "other") for hour in ("09", "11"))
    assert not waiting.is_before(newer)
    place = sleep(waiting, sleepers, 1)
    assert (waiting.is_before(older), waiting.is_before(place), waiting.is_before(newer)) == (False, False, True)
    waiting.call(FREED)
    assert (waiting.is_before(older), waiting.is_before(newer)) == (False, True), "it was called, and has no pod yet"
    with monkeypatch.context() as later:
        later.setattr(queue, "_AWAKE_SECONDS", 0)
        assert not waiting.is_before(newer), "it was stopped"
    waiting.leave(place)
    assert not waiting.is_before(newer)
