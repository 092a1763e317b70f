"""Waiting for a pod and its route, and who is to blame when a model falls silent."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scoring.cluster import readiness
from scoring.cluster.refusals import Expired, NotFound
from scoring.errors import (
    ClusterUnreachable,
    DropscoreError,
    ImagePullFailed,
    ModelFailed,
    PodCrashed,
    PodLost,
    PodNotReady,
    PodRefused,
)
from tests.builders import POD_NAME, FakeApi, crashed, path, pending, pod_state, recorded_pod, running


def await_ready(api: FakeApi, seconds: float = 5.0, age: float = 0) -> dict[str, Any] | readiness.Waiting:
    deadline = datetime.now(UTC) + timedelta(seconds=900 - age)
    return readiness.await_ready(api, pod_state(), deadline, 900, seconds)


def change(found: dict[str, Any], kind: str = "MODIFIED") -> dict[str, Any]:
    return {"type": kind, "object": found}


def test_a_pod_that_is_ready_is_not_waited_for() -> None:
    api = FakeApi(pods=running())
    assert await_ready(api) == running()
    assert api.calls == [f"GET {path('pods')}"]


def test_a_pod_is_watched_from_the_version_that_was_read_until_it_is_ready() -> None:
    queries: list[Any] = []

    class Recording(FakeApi):
        def watch(self, path: str, query: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
            queries.append(query)
            return super().watch(path, query, seconds)

    api = Recording(pods=pending())
    ready = running(resourceVersion="3")
    api.watches = [[change(pending(resourceVersion="2"))], [{"type": "BOOKMARK", "object": {}}, change(ready)]]
    assert await_ready(api) == ready
    assert [query["resourceVersion"] for query in queries] == ["1", "2"]
    assert {query["fieldSelector"] for query in queries} == {f"metadata.name={POD_NAME}"}


def test_a_watch_that_ends_is_begun_anew_with_the_pod_as_it_is() -> None:
    api = FakeApi(pods=pending())

    def ends() -> Iterator[dict[str, Any]]:
        api.put("pods", running())
        return
        yield

    api.watches = [ends()]
    assert await_ready(api) == running()


def test_a_watch_that_has_expired_is_begun_anew_with_the_pod_as_it_is() -> None:
    api = FakeApi(pods=pending())

    def expires() -> Iterator[dict[str, Any]]:
        api.put("pods", running())
        raise Expired("too old resource version")
        yield

    api.watches = [expires()]
    assert await_ready(api) == running()


@pytest.mark.parametrize(
    ("event", "error"),
    [(change(crashed()), PodCrashed), (change(pending(), "DELETED"), PodLost)],
)
def test_a_pod_that_ends_while_it_is_watched_is_told_at_once(
    event: dict[str, Any], error: type[DropscoreError]
) -> None:
    api = FakeApi(pods=pending())
    api.watches = [[event]]
    with pytest.raises(error):
        await_ready(api)


def test_a_pod_that_needs_longer_than_a_function_is_left_to_the_state_machine() -> None:
    """A waiting Lambda is paid for, a Wait state is not."""
    assert await_ready(FakeApi(pods=pending()), seconds=0) == readiness.Waiting("the container: ContainerCreating")


def test_a_pod_that_is_not_ready_by_its_deadline_is_told_with_its_last_event() -> None:
    found, events = recorded_pod("never-ready.Unhealthy")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    api = FakeApi(pods=found)
    api.events = events
    assert "not ready yet" in str(await_ready(api, seconds=0, age=890))
    with pytest.raises(PodNotReady, match="not ready after 900 s: Readiness probe failed"):
        await_ready(api, seconds=0, age=901)


def test_a_pull_that_fails_for_too_long_is_noticed_without_any_further_event() -> None:
    """The grace ends by the clock; no watch tells of it."""
    found, events = recorded_pod("image-registry-down.ImagePullBackOff")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    failures = [event for event in events if event["reason"] in ("Failed", "Pulling")]

    def failed(seconds_ago: float) -> None:
        for event in failures:
            event["firstTimestamp"] = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()

    class GraceEnds(FakeApi):
        def watch(self, path: str, query: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
            assert seconds < 25, "no longer than what is left of the grace"
            failed(60)
            return iter(())

    failed(40)
    api = GraceEnds(pods=found)
    api.events = events
    with pytest.raises(ImagePullFailed, match="could not be pulled"):
        await_ready(api, seconds=40)


def test_a_pod_that_is_gone_or_another_one_is_lost() -> None:
    with pytest.raises(PodLost, match="The pod is gone: its node was lost or somebody deleted it"):
        await_ready(FakeApi())
    with pytest.raises(PodLost, match="another one bears its name"):
        await_ready(FakeApi(pods=running(uid="another")))


def event_at(message: str, version: str, **times: str | None) -> dict[str, Any]:
    return {"message": message, "metadata": {"resourceVersion": version}, **times}


def test_events_come_oldest_first_whoever_wrote_them() -> None:
    """The scheduler tells microseconds, the kubelet does not: within a second the version decides."""
    api = FakeApi()
    api.events = [
        event_at("fourth", "10", lastTimestamp="2026-11-22T10:00:02Z"),
        event_at("third", "9", lastTimestamp="2026-11-22T10:00:02Z"),
        event_at("second", "8", lastTimestamp=None, eventTime="2026-11-22T10:00:02.900000Z"),
        event_at("first", "99", lastTimestamp="2026-11-22T10:00:01Z"),
    ]
    ordered = [event["message"] for event in readiness.events(api, pod_state())]
    assert ordered == ["first", "second", "third", "fourth"]


def blame(api: FakeApi) -> DropscoreError | None:
    return readiness.blame(api, pod_state())


def test_a_silent_model_whose_container_ended_has_crashed() -> None:
    assert isinstance(blame(FakeApi(pods=crashed())), PodCrashed)


def test_a_kubelet_is_given_a_moment_to_notice_what_the_connection_told_already() -> None:
    api = FakeApi(pods=running())
    api.watches = [[change(running(resourceVersion="2"))], [change(crashed(resourceVersion="3"))]]
    assert isinstance(blame(api), PodCrashed)


def test_a_container_that_ended_is_told_with_what_its_log_betrays() -> None:
    api = FakeApi(pods=crashed())
    blamed = blame(api)
    assert blamed is not None
    assert blamed.summary == "The model's container ended with exit code 1. The log ends: ready"
    api.log = "starting\nexec /usr/local/bin/python: exec format error\n"
    blamed = blame(api)
    assert blamed is not None
    assert "another processor architecture" in blamed.summary
    assert "--platform" in blamed.remedy
    api.log = "nginx: [emerg] setgid(101) failed (1: Operation not permitted)\n"
    blamed = blame(api)
    assert blamed is not None
    assert "setgid(101) failed" in blamed.summary
    assert "`capabilities`" in blamed.remedy
    api.refusals["GET " + path("pods") + "/log"] = PodRefused("the container never ran")
    assert isinstance(blame(api), PodCrashed), "a log that cannot be read hides nothing"


def test_a_sidecar_that_ended_as_the_model_fell_silent_is_what_silenced_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a mesh's sidecar everything comes to the model; a fresh pod has a fresh one."""
    monkeypatch.setattr(readiness, "_BLAME_SECONDS", 0.0)
    found, _ = recorded_pod("sidecar-ended-1")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    assert blame(FakeApi(pods=found)) is None, "it ended long before"
    readiness.check_alive(FakeApi(pods=found), pod_state())
    (beside,) = [one for one in found["status"]["containerStatuses"] if one["name"] == "istio-proxy"]
    beside["state"]["terminated"]["finishedAt"] = datetime.now(UTC).isoformat()
    blamed = blame(FakeApi(pods=found))
    assert isinstance(blamed, PodLost)
    assert "istio-proxy (exit code 1)" in blamed.summary
    readiness.check_alive(FakeApi(pods=found), pod_state())


@pytest.mark.parametrize("event", [change(running(), "DELETED"), None])
def test_a_silent_model_whose_pod_is_gone_is_lost(event: dict[str, Any] | None) -> None:
    api = FakeApi(pods=running()) if event else FakeApi()
    api.watches = [[event]] if event else []
    assert isinstance(blame(api), PodLost)


def test_a_silent_model_whose_container_runs_may_speak_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_BLAME_SECONDS", 0.0)
    assert blame(FakeApi(pods=running())) is None


def test_a_model_that_closed_its_port_will_not_speak_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_BLAME_SECONDS", 0.0)
    deaf = running()
    deaf["status"]["containerStatuses"] = [{"name": "model", "ready": False, "state": {"running": {}}}]
    blamed = blame(FakeApi(pods=deaf))
    assert isinstance(blamed, ModelFailed)
    assert blamed.summary == "The model has closed its port. Its container is running still."
    gone = running()
    gone["status"] |= {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "model", "ready": True, "state": {"running": {}}}],
    }
    assert blame(FakeApi(pods=gone)) is None, "a node that is gone: its kubelet has said nothing"


def test_nobody_is_blamed_while_the_cluster_cannot_be_asked() -> None:
    api = FakeApi()
    api.refusals["GET"] = ClusterUnreachable("down")
    with pytest.raises(ClusterUnreachable):
        blame(api)


def test_a_slow_model_is_told_from_a_dead_one() -> None:
    readiness.check_alive(FakeApi(pods=running()), pod_state())
    with pytest.raises(PodCrashed):
        readiness.check_alive(FakeApi(pods=crashed()), pod_state())
    api = FakeApi()
    api.refusals["GET"] = NotFound("gone")
    with pytest.raises(PodLost):
        readiness.check_alive(api, pod_state())
