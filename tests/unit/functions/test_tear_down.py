"""tear_down: nothing is left of an attempt that is over, whoever says so."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import api as clusters
from scoring.cluster import room
from scoring.cluster.queue import Queue
from scoring.errors import AccessDenied, AwsThrottled, ClusterUnreachable
from scoring.files import objects
from scoring.intake import shard
from scoring.intake.shard import Shard
from scoring.outcome import history
from scoring.streaming.progress import Progress
from tests.builders import (
    ATTEMPT_ID,
    CLUSTER,
    EXECUTION,
    NAMESPACE,
    OUTPUT_BUCKET,
    POD_NAME,
    Context,
    FakeApi,
    envelope,
    function,
    path,
    pod_state,
    request,
    running,
    state,
)
from tests.unit.cluster.test_queue import FREED, Sleepers

app = function("tear_down")
LABELS = {"app.kubernetes.io/managed-by": "dropscore", "dropscore.io/attempt": ATTEMPT_ID}


def tear_down(event: dict[str, Any]) -> list[str]:
    answer: dict[str, list[str]] = app.handler(event, Context())
    return answer["deleted"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """The attempt's cluster; another one is not asked."""
    found = FakeApi(pods=running(labels=LABELS))
    monkeypatch.setattr(clusters, "connect", {found.name: found}.__getitem__)
    return found


@pytest.fixture
def histories(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The last state of executions, by ARN."""
    states: dict[str, Any] = {}
    monkeypatch.setattr(history, "last_state", lambda stepfunctions, arn: states[arn])
    return states


# EventBridge's event of an attempt that somebody stopped.
STOPPED = {"detail": {"name": ATTEMPT_ID, "executionArn": EXECUTION, "status": "ABORTED", "startDate": 1795341600123}}


def uploads(s3: Any) -> list[str]:
    return [found["UploadId"] for found in s3.list_multipart_uploads(Bucket=OUTPUT_BUCKET).get("Uploads", [])]


@pytest.fixture
def scoring(s3: Any) -> dict[str, Any]:
    """The `scoring` of a state whose upload is under way."""
    output = request()["output"]
    return {"status": "RUNNING", "upload_id": objects.Upload.create(s3, output["bucket"], output["key"], {})}


def test_an_attempt_that_launched_nothing_has_nothing_to_tear_down(api: FakeApi) -> None:
    assert tear_down(envelope(state(error={"Error": "InvalidTags", "Cause": ""}))) == []
    assert not api.calls


def test_pod_and_unfinished_upload_go_and_the_call_may_be_repeated(
    s3: Any, api: FakeApi, scoring: dict[str, Any]
) -> None:
    event = envelope(state(request=request(), scoring=scoring))
    assert tear_down(event) == [f"upload/{scoring['upload_id']}", f"pods/{POD_NAME}"]
    assert (api.objects, uploads(s3)) == ({}, [])
    assert f"pods/{POD_NAME}" not in tear_down(event)


def test_the_upload_of_a_scored_file_is_left_alone(s3: Any, api: FakeApi, scoring: dict[str, Any]) -> None:
    event = envelope(state(request=request(), scoring=scoring, output={"uri": "s3://…"}))
    assert tear_down(event) == [f"pods/{POD_NAME}"]
    assert uploads(s3) == [scoring["upload_id"]]


def test_the_upload_of_a_lost_pod_is_left_to_the_next_one(s3: Any, api: FakeApi, scoring: dict[str, Any]) -> None:
    event = envelope(state(request=request(), scoring=scoring)) | {"keep_upload": True}
    assert tear_down(event) == [f"pods/{POD_NAME}"]
    assert uploads(s3) == [scoring["upload_id"]]


def test_an_attempt_that_was_stopped_is_torn_down_as_far_as_it_had_come(
    s3: Any, api: FakeApi, scoring: dict[str, Any], histories: dict[str, Any]
) -> None:
    """A stopped execution runs no further state; EventBridge tells of it."""
    histories[EXECUTION] = state(request=request(), scoring=scoring)
    assert tear_down(STOPPED) == [f"upload/{scoring['upload_id']}", f"pods/{POD_NAME}"]
    assert uploads(s3) == []


def test_an_attempt_that_was_stopped_while_it_opened_its_upload_leaves_neither_that_nor_a_record(
    s3: Any, api: FakeApi, histories: dict[str, Any]
) -> None:
    """The function's answer with the id of the upload has reached no state any more."""
    output = request()["output"]
    upload_id = objects.Upload.create(s3, output["bucket"], output["key"], {})
    Progress(upload_id=upload_id).save(s3, output)
    histories[EXECUTION] = state(request=request(), endpoint={"status": "READY"})
    assert tear_down(STOPPED) == [f"upload/{upload_id}", f"pods/{POD_NAME}"]
    assert uploads(s3) == []
    assert "Contents" not in s3.list_objects_v2(Bucket=output["bucket"])
    assert tear_down(STOPPED) == [], "once more, as EventBridge may"


PART = Shard(2, 2, 9, 15, 2, 1, 2).to_json()
OF_PART = shard.request(request(), PART)
COMPLETED: dict[str, Any] = {"request": OF_PART, "shard": PART, "scoring": {"status": "DONE", "upload_id": "gone"}}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (envelope(state(**COMPLETED, output={"uri": "s3://…"})), {".scoreout", ".rejected", ".error"}),
        (envelope(state(**COMPLETED, error={"Error": "AwsThrottled", "Cause": ""})), {".error"}),
        (STOPPED, {".error"}),
    ],
    ids=["scored", "failed", "stopped"],
)
def test_what_a_shards_attempt_has_completed_goes_if_that_does_not_succeed_but_not_its_error(
    s3: Any, api: FakeApi, histories: dict[str, Any], given: dict[str, Any], left: set[str]
) -> None:
    """The attempt of the file reads that; one that is stopped is not waited for, and may be torn down before its shards."""
    histories[EXECUTION] = state(**COMPLETED, output={"uri": "s3://…"})
    place = OF_PART["output"]["key"].removesuffix(".scoreout")
    for kind in (".scoreout", ".rejected", ".error"):
        s3.put_object(Bucket=OUTPUT_BUCKET, Key=place + kind, Body=b"x")
    tear_down(given)
    found = s3.list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]
    assert {each["Key"].removeprefix(place) for each in found} == left


def test_an_attempt_that_was_stopped_before_it_had_a_request_left_nothing(
    mocked_aws: None, api: FakeApi, histories: dict[str, Any]
) -> None:
    histories[EXECUTION] = state()
    assert tear_down(STOPPED) == []


def test_an_attempt_that_tore_down_itself_and_then_failed_is_no_trouble(
    s3: Any, api: FakeApi, scoring: dict[str, Any], histories: dict[str, Any]
) -> None:
    """EventBridge tells of each FAILED attempt, those that ended in good order too."""
    histories[EXECUTION] = state(request=request(), scoring=scoring, failure={})
    tear_down(STOPPED)
    assert tear_down(STOPPED) == [f"upload/{scoring['upload_id']}"], "aborting what is aborted is success"


def test_what_could_not_be_torn_down_fails_the_call_so_that_it_is_repeated(mocked_aws: None, api: FakeApi) -> None:
    api.refusals[f"DELETE {path('pods')}"] = ClusterUnreachable("down")
    with pytest.raises(ClusterUnreachable):
        tear_down(envelope(state(request=request())))


def test_an_s3_that_refuses_keeps_no_pod_alive_and_fails_the_call(
    s3: Any, api: FakeApi, scoring: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "AbortMultipartUpload")

    event = envelope(state(request=request(), scoring=scoring))
    with monkeypatch.context() as denied:
        denied.setattr(s3, "abort_multipart_upload", refused)
        with pytest.raises(AccessDenied):
            tear_down(event)
    assert api.objects == {}
    assert tear_down(event) == [f"upload/{scoring['upload_id']}"]


def test_aws_is_not_asked_for_what_the_state_tells_where_a_kueue_queues_the_pods(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_client(service: str) -> None:
        raise AssertionError(service)

    monkeypatch.setattr(aws, "client", no_client)
    settings = request()["cluster_settings"] | {"queue": "risk"}
    assert tear_down(envelope(state(request=request(cluster_settings=settings)))) == [f"pods/{POD_NAME}"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the files that wait were called for."""
    found: list[Any] = []
    monkeypatch.setattr(Queue, "call", lambda self, freed: found.append((self.folder, freed)))
    return found


def test_whoever_waits_is_called_to_the_room_of_a_pod_that_goes_and_only_once(
    s3: Any, api: FakeApi, calls: list[Any], histories: dict[str, Any]
) -> None:
    """With what its cluster has put beside the model: whoever waits lacks that, too."""
    size = {"pods": 1, "services": 1, "requests.cpu": 0.6}
    whole = state(request=request(), pod=pod_state(size=size), error={"Error": "ModelFailed"})
    tear_down(envelope(whole))
    histories[EXECUTION] = whole | {"failure": {}}
    tear_down(STOPPED)
    assert calls == [(f"scored/.queue/{CLUSTER}/{NAMESPACE}/", size)]


def test_whoever_was_stopped_while_it_waited_gives_up_its_place_and_calls_nobody(
    s3: Any, api: FakeApi, calls: list[Any], histories: dict[str, Any]
) -> None:
    api.objects.clear()
    waiting = Queue.of(CLUSTER, NAMESPACE)
    waiting.enter(waiting.place("2026-11-22T10:00:00.123Z", ATTEMPT_ID), {"token": "token"}, awake="")
    histories[EXECUTION] = state(request=request(), full={"Error": "NoRoom"})
    tear_down(STOPPED)
    assert (waiting.first(), calls) == ("", [])


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch, s3: Any) -> Sleepers:
    found = Sleepers("own", "next", "last")
    monkeypatch.setattr(aws, "client", {"s3": s3, "stepfunctions": found}.__getitem__)
    return found


@pytest.mark.parametrize(
    ("lacks", "freed"),
    [({}, FREED), ({}, None), ({"pods": 2}, {"pods": 1})],
    ids=["called", "awake", "not-all-that-it-lacks"],
)
@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "failed"])
def test_whoever_ends_before_it_has_a_pod_leaves_the_room_that_it_was_to_have_to_the_next(
    api: FakeApi,
    histories: dict[str, Any],
    sleepers: Sleepers,
    lacks: dict[str, float],
    freed: dict[str, float] | None,
    is_stopped: bool,
) -> None:
    """Once, though EventBridge may tell of it twice, or of what the state machine has torn down itself."""
    api.objects.clear()
    waiting = Queue.of(CLUSTER, NAMESPACE)
    for second, token in enumerate(("own", "next", "last")):
        place = waiting.place(f"2026-11-22T10:00:0{second}.123Z", ATTEMPT_ID if token == "own" else token)
        waiting.enter(place, room.sleeper(token, lacks if token == "own" else {}), awake="")
    waiting.call(freed)
    sleepers.asleep.discard("own")
    ended = state(request=request(), full={"Error": "NoRoom"})
    if freed != {"pods": 1}:
        ended["called"] = sleepers.woken["own"]
    histories[EXECUTION] = ended
    tear_down(STOPPED if is_stopped else envelope(ended) | {"started": "2026-11-22T10:00:00.123Z"})
    tear_down(STOPPED)
    assert sleepers.woken["next"]["freed"] == freed
    assert sleepers.asleep == {"last"}


def test_a_call_that_could_not_be_passed_on_is_passed_on_when_the_tear_down_is_repeated(
    api: FakeApi, histories: dict[str, Any], sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.objects.clear()
    waiting = Queue.of(CLUSTER, NAMESPACE)
    waiting.enter(waiting.place("2026-11-22T10:00:00.123Z", ATTEMPT_ID), room.sleeper("own", {}), awake="")
    waiting.call(FREED)
    waiting.enter(waiting.place("2026-11-22T10:00:01Z", "next"), room.sleeper("next", {}), awake="")
    histories[EXECUTION] = state(request=request(), full={"Error": "NoRoom"})

    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "SendTaskSuccess")

    with monkeypatch.context() as busy:
        busy.setattr(sleepers, "send_task_success", throttled)
        with pytest.raises(AwsThrottled):
            tear_down(STOPPED)
    tear_down(STOPPED)
    assert sleepers.woken["next"]["freed"] == FREED
