"""launch_pod: nobody overtakes, and whoever finds no room says what is lacking."""

import json
from typing import Any

import pytest

from scoring.cluster import api as clusters
from scoring.cluster.queue import Queue
from scoring.cluster.refusals import refusal
from scoring.cluster.room import NoRoom, NoRoomYet
from scoring.errors import QuotaExceeded
from tests.builders import CLUSTER, NAMESPACE, Context, FakeApi, envelope, function, path, request, state

app = function("launch_pod")
PODS = path("pods", "").rstrip("/")
FULL = (
    'pods "x" is forbidden: exceeded quota: dropscore, requested: pods=1,requests.cpu=2, used: pods=5,requests.cpu=7, '
    "limited: pods=5,requests.cpu=8"
)
REFUSED = refusal(CLUSTER, "POST pods", 403, json.dumps({"reason": "Forbidden", "message": FULL}), "")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    found = FakeApi()
    monkeypatch.setattr(clusters, "connect", {found.name: found}.__getitem__)
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the files that wait were called for."""
    found: list[Any] = []
    monkeypatch.setattr(Queue, "call", lambda self, freed: found.append(freed))
    return found


@pytest.fixture
def waiting(s3: Any) -> Queue:
    return Queue.of(CLUSTER, NAMESPACE)


def launch(**more: Any) -> dict[str, Any]:
    return called_by({"queues": True}, **more)


def called_by(definition: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = envelope(state(**({"request": request()} | more))) | definition
    launched: dict[str, Any] = app.handler(given, Context())
    return launched


def test_whoever_comes_while_others_wait_waits_behind_them(api: FakeApi, waiting: Queue) -> None:
    waiting.enter(waiting.place("2026-11-22T09:59:00Z", "older"), {"token": "token"}, awake="")
    with pytest.raises(NoRoom, match="Other files wait"):
        launch()
    assert f"POST {PODS}" not in api.calls
    assert launch(called={"wait_seconds": 5, "freed": {"pods": 1}}), "it was called"


def test_a_file_that_goes_on_several_pods_has_none_of_its_own(api: FakeApi) -> None:
    assert launch(request=request(pods=4)) == {}
    assert api.calls == []


def test_whoever_was_there_before_them_need_not_wait(api: FakeApi, waiting: Queue) -> None:
    """Its pod was lost, or it took longer to resolve."""
    waiting.enter(waiting.place("2026-11-22T10:01:00Z", "newer"), {"token": "token"}, awake="")
    assert launch()["namespace"] == NAMESPACE


def test_a_pod_that_is_there_already_is_adopted_whoever_waits(api: FakeApi, waiting: Queue) -> None:
    """The function was killed when it had launched it: asleep, its file would hold the room that it waits for."""
    launched = launch()
    waiting.enter(waiting.place("2026-11-22T09:59:00Z", "older"), {"token": "token"}, awake="")
    assert launch() == launched


@pytest.mark.parametrize(("called", "error"), [({}, NoRoom), ({"wait_seconds": 5, "freed": {"pods": 1}}, NoRoomYet)])
def test_a_full_namespace_tells_what_is_lacking(
    api: FakeApi, waiting: Queue, called: dict[str, Any], error: type[Exception]
) -> None:
    api.refusals[f"POST {PODS}"] = REFUSED
    with pytest.raises(error) as raised:
        launch(called=called)
    assert raised.value.details == {"lacks": {"pods": 1.0, "requests.cpu": 1.0}}  # type: ignore[attr-defined]


def test_where_a_kueue_queues_the_pods_nobody_asks_for_another_queue(api: FakeApi) -> None:
    """Without a client of AWS."""
    settings = request()["cluster_settings"] | {"queue": "risk"}
    launch(request=request(cluster_settings=settings))
    api.refusals[f"POST {PODS}"] = REFUSED
    with pytest.raises(QuotaExceeded):
        launch(request=request(cluster_settings=settings))


def test_an_execution_that_began_before_a_file_could_queue_tries_again_as_ever(api: FakeApi, waiting: Queue) -> None:
    """It keeps its definition, which retries QuotaExceeded and knows nothing of NoRoom."""
    waiting.enter(waiting.place("2026-11-22T09:59:00Z", "older"), {"token": "token"}, awake="")
    api.refusals[f"POST {PODS}"] = REFUSED
    with pytest.raises(QuotaExceeded):
        called_by({})
    api.refusals.clear()
    assert called_by({})["namespace"] == NAMESPACE


def test_whoever_has_room_gives_up_its_place_and_passes_on_what_it_does_not_need(
    api: FakeApi, waiting: Queue, calls: list[Any]
) -> None:
    waiting.enter(waiting.place("2026-11-22T10:00:00Z", envelope({})["attempt_id"]), {"token": "token"}, awake="")
    launch(full={"Error": "NoRoom"}, called={"wait_seconds": 5, "freed": {"pods": 1, "requests.cpu": 4}})
    assert (waiting.first(), calls) == ("", [{"requests.cpu": 3.5}])
