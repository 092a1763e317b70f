"""stream_file: one step further with the file, and who is to blame when there is none."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from scoring.cluster import api as clusters
from scoring.cluster import readiness
from scoring.errors import InvalidTags, ModelFailed, PodCrashed, PodLost, RouteNotReady
from scoring.protocols import RowProtocol, model
from scoring.streaming import scorer, silence, whole_file
from tests.builders import (
    NAMESPACE,
    POD_NAME,
    Context,
    FakeApi,
    crashed,
    envelope,
    function,
    pod_state,
    request,
    running,
    state,
)
from tests.unit.servers import HangUp, Reply, Request, Server, Silence
from tests.unit.streaming.test_streaming import drop

app = function("stream_file")
FILE = b"a,b\n1,2\n3,4\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_BLAME_SECONDS", 0.0)
    monkeypatch.setattr(whole_file, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(whole_file, "_POLL_PAUSE_SECONDS", 0.0)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    found = FakeApi(pods=running())
    monkeypatch.setattr(clusters, "connect", lambda name: found)
    return found


def given(s3: Any, server: Server, protocol: str) -> dict[str, Any]:
    held = {
        "request": request(protocol=protocol),
        "pod": pod_state(endpoint={"status": "READY", "url": server.url}),
    }
    return envelope(state(**held) | {"source": drop(s3, FILE).to_json()})


def steps(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What each further call gives, as the state machine hands it on."""
    while True:
        event["state"]["scoring"] = app.handler(event, Context(seconds=900))
        yield event["state"]["scoring"]


def test_a_small_file_is_scored_in_one_step(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = Reply(body=b"0.5\n0.25\n")
    scoring = next(steps(given(s3, server, "sagemaker")))
    assert (scoring["status"], scoring["rows"]) == ("DONE", 2)
    assert datetime.fromisoformat(scoring["started"]) <= datetime.now(UTC)


def test_a_step_that_is_killed_before_it_has_answered_is_gone_on_with(s3: Any, server: Server, api: FakeApi) -> None:
    """With the same uploads, whose ids only the record of progress holds, and since the same moment."""
    event = given(s3, server, "sagemaker")

    begun: list[dict[str, Any]] = []
    for answer in (HangUp(), HangUp(), Reply(body=b"0.5\n0.25\n")):
        server.answers |= {"POST /invocations": answer, "GET /ping": Reply()}
        event["state"].pop("scoring", None)
        begun.append(next(steps(event)))
    assert begun[-1]["status"] == "DONE"
    assert len({(each["upload_id"], each["started"]) for each in begun}) == 1
    uploads = s3.list_multipart_uploads(Bucket=event["state"]["request"]["output"]["bucket"])["Uploads"]
    assert [upload["UploadId"] for upload in uploads] == [begun[0]["upload_id"]]


SILENCES = [HangUp(), Reply(502), Reply(body=b"0.5", promised=100)]


@pytest.mark.parametrize(("found", "error"), [(crashed(), PodCrashed), (running(uid="another"), PodLost)])
@pytest.mark.parametrize("answer", SILENCES)
def test_a_model_that_falls_silent_is_told_by_what_became_of_its_pod(
    s3: Any, server: Server, api: FakeApi, answer: Any, found: dict[str, Any], error: type[Exception]
) -> None:
    server.answers["POST /invocations"] = answer
    api.put("pods", found)
    further = steps(given(s3, server, "sagemaker"))
    with pytest.raises(error) as blamed:
        next(further)
    assert "silence" not in str(blamed.value), "internal names are of no use to the user"


@pytest.mark.parametrize("answer", SILENCES)
def test_a_model_that_answers_its_ping_but_not_this_is_asked_once_more(
    s3: Any, server: Server, api: FakeApi, answer: Any
) -> None:
    server.answers |= {"POST /invocations": answer, "GET /ping": Reply()}
    further = steps(given(s3, server, "sagemaker"))
    assert next(further)["status"] == "RUNNING"
    with pytest.raises(ModelFailed, match=r"record 1 alone\. Its container is running still\.") as failed:
        next(further)
    assert "gunicorn" in failed.value.remedy, "the most frequent cause"


def test_a_node_that_is_gone_without_a_word_is_waited_for_until_the_cluster_knows(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster shows its pods as running for minutes; then they are lost, and the file goes on elsewhere."""
    monkeypatch.setattr(silence, "_MOST_SECONDS", 3_600.0)
    server.answers["POST /invocations"] = HangUp()
    further = steps(given(s3, server, "sagemaker"))
    for _ in range(4):
        running_on = next(further)
        assert (running_on["status"], running_on["wait_seconds"]) == ("RUNNING", 15)
    api.put("pods", running(uid="another"))
    with pytest.raises(PodLost):
        next(further)


def test_a_model_is_not_waited_for_for_ever(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["POST /invocations"] = HangUp()
    further = steps(given(s3, server, "sagemaker"))
    assert next(further)["status"] == "RUNNING"
    monkeypatch.setattr(silence, "_MOST_SECONDS", 0.0)
    with pytest.raises(ModelFailed, match="Its container is running still"):
        next(further)


def test_a_model_that_got_on_meanwhile_has_a_new_start(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", 4)
    monkeypatch.setitem(globals(), "FILE", b"a,b\n1,2\n3,4\n5,6\n")
    server.answers |= {"POST /invocations": HangUp(), "GET /ping": Reply()}
    further = steps(given(s3, server, "sagemaker"))
    assert next(further)["silent"]["times"] == 1

    def first_only(asked: Request) -> Reply:
        if asked.body.startswith(b"1"):
            return Reply(body=b"0.5\n")
        raise HangUp

    server.answers["POST /invocations"] = first_only
    again = next(further)
    assert (again["status"], again["silent"]["times"]) == ("RUNNING", 1)
    server.answers["POST /invocations"] = Reply(body=b"0.25\n0.5\n")
    assert next(further)["status"] == "DONE"


def test_the_silence_of_a_lost_pod_is_not_held_against_the_next(s3: Any, server: Server, api: FakeApi) -> None:
    server.answers["POST /invocations"] = HangUp()
    event = given(s3, server, "sagemaker")
    further = steps(event)
    assert next(further)["status"] == "RUNNING"
    event["state"]["scoring"]["silent"] |= {"since": "2026-01-01T00:00:00+00:00"}
    event["state"]["pod"] |= {"uid": "uid-2"}
    api.put("pods", running(uid="uid-2"))
    assert next(further)["status"] == "RUNNING"
    event["state"]["scoring"]["silent"] |= {"since": "2026-01-01T00:00:00+00:00"}
    with pytest.raises(ModelFailed):
        next(further)


def test_a_result_whose_connection_breaks_is_fetched_on_from_there(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often, and long before it fills a part."""
    monkeypatch.setattr(model, "CHUNK_BYTES", 3)
    rows = b"a,b\n" + b"1,2\n" * 2

    def breaks(asked: Request) -> Reply:
        offset = int(asked.headers.get("range", "bytes=0-")[len("bytes=") : -1])
        return Reply(206 if offset else 200, rows[offset : offset + 3], promised=len(rows) - offset)

    server.answers |= {
        "POST /executions": Reply(201, b'{"id": "7.1"}'),
        "GET /query/7.1/log": Reply(body=b"Completed!\n"),
        "GET /query/7.1": breaks,
        "GET /": Reply(body=b"pong"),
    }
    statuses = [scoring["status"] for scoring, _ in zip(steps(given(s3, server, "sas")), range(4), strict=False)]
    assert statuses == ["RUNNING", "RUNNING", "RUNNING", "DONE"], "12 bytes, three at a time"


def test_a_container_whose_route_is_away_while_it_is_polled_is_polled_again(
    s3: Any, server: Server, api: FakeApi
) -> None:
    server.answers |= {"POST /executions": Reply(201, b'{"id": "7.1"}'), "GET /query/7.1/log": Reply(503)}
    further = steps(given(s3, server, "sas"))
    assert next(further)["status"] == "RUNNING"
    server.answers |= {"GET /query/7.1/log": Reply(body=b"Completed!\n"), "GET /query/7.1": Reply(body=FILE)}
    assert next(further)["status"] == "DONE"
    assert sum(asked.method == "POST" for asked in server.requests) == 1, "the file is not sent again"


@pytest.mark.parametrize(("found", "error"), [(running(uid="another"), PodLost), (running(), ModelFailed)])
def test_a_route_that_answers_in_the_models_place_is_told_by_what_became_of_its_pod(
    s3: Any, server: Server, api: FakeApi, found: dict[str, Any], error: type[Exception]
) -> None:
    """A data plane has taken the route away with the pod already: it answers 404."""
    server.answers["POST /invocations"] = Reply(404, b"no route")
    api.put("pods", found)
    event = given(s3, server, "sagemaker")
    event["state"]["request"]["deadlines"]["start_seconds"] = 0
    further = steps(event)
    with pytest.raises(error):
        next(further)


@pytest.mark.parametrize("answer", [Reply(404, b"no such model"), Reply(503, b"loading")])
def test_a_model_that_has_scored_nothing_yet_may_load_as_long_as_a_start_may_take(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch, answer: Reply
) -> None:
    """Its ping is well already: that of a server in front of it."""
    monkeypatch.setattr(scorer, "_LEAST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(scorer, "_MOST_SILENT_PAUSE_SECONDS", 0.002)
    server.answers |= {"POST /invocations": answer, "GET /ping": Reply()}
    event = given(s3, server, "sagemaker")
    further = steps(event)
    assert [next(further)["status"] for _ in range(4)] == ["RUNNING"] * 4, "longer than one that falls silent"
    event["state"]["request"]["deadlines"]["start_seconds"] = 0
    with pytest.raises(ModelFailed, match=answer.body.decode()) as late:
        next(further)
    assert late.value.details["status"] == answer.status
    event["state"]["request"]["deadlines"]["start_seconds"] = 900
    server.answers["POST /invocations"] = Reply(body=b"0.5\n0.25\n")
    assert next(steps(event))["status"] == "DONE"


GONE = Reply(404, b"404 page not found")


@pytest.fixture
def gateway(server: Server) -> Server:
    """The server is a gateway, which answers for every path without a route; the model is below the pod's name."""
    server.answers |= {"GET": GONE, "POST": GONE}
    return server


def through(gateway: Server, s3: Any, protocol: str) -> dict[str, Any]:
    event = given(s3, gateway, protocol)
    event["state"]["pod"]["endpoint"]["url"] += f"/{POD_NAME}"
    event["state"]["request"]["cluster_settings"] = {"namespaces": [NAMESPACE], "route": "gateway", "url": gateway.url}
    return event


def test_a_route_that_goes_away_for_a_while_costs_no_file(s3: Any, gateway: Server, api: FakeApi) -> None:
    """Its 404 is the one that is answered where there is no route; the model's own is the model's word."""
    further = steps(through(gateway, s3, "sagemaker"))
    away = next(further)
    assert (away["status"], away["silent"]["times"]) == ("RUNNING", 0)
    gateway.answers[f"POST /{POD_NAME}/invocations"] = Reply(body=b"0.5\n0.25\n")
    assert next(further)["status"] == "DONE"


def test_a_route_that_stays_away_is_told(
    s3: Any, gateway: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_MOST_SECONDS", 0.0)
    further = steps(through(gateway, s3, "sagemaker"))
    with pytest.raises(RouteNotReady, match=r"way to the model was lost .* somebody has deleted it"):
        next(further)


@pytest.mark.parametrize(("body", "looks"), [(b"no such model", 0), (GONE.body, 1)])
def test_a_404_of_the_models_own_stays_the_models(
    s3: Any, gateway: Server, api: FakeApi, body: bytes, looks: int
) -> None:
    """One in the gateway's very words is asked about once more: its ping comes through."""
    gateway.answers |= {f"POST /{POD_NAME}/invocations": Reply(404, body), f"GET /{POD_NAME}/ping": Reply()}
    event = through(gateway, s3, "sagemaker")
    event["state"]["request"]["deadlines"]["start_seconds"] = 0
    further = steps(event)
    for _ in range(looks):
        assert next(further)["status"] == "RUNNING"
    with pytest.raises(ModelFailed, match="The model answered 404"):
        next(further)


WINE = {"name": "wine", "inputs": [{"name": "a", "datatype": "FP64", "shape": [-1]}]}


@pytest.mark.parametrize(
    ("answer", "before", "error", "told"),
    [
        (Reply(404, b"model wine is not found"), [], ModelFailed, "The model answered 404"),
        (HangUp(), ["RUNNING"], InvalidTags, "The server has several models: wine, gin"),
    ],
    ids=["404", "silence"],
)
def test_a_server_that_gets_other_models_meanwhile_neither_hides_the_models_answer_nor_is_waited_for(
    s3: Any, server: Server, api: FakeApi, answer: Any, before: list[str], error: type[Exception], told: str
) -> None:
    """Which of them is meant cannot be told any more; a model that is silent is come back to first."""
    listed = [{"name": "wine"}]
    server.answers |= {
        "GET /v2/health/ready": Reply(),
        "POST /v2/repository/index": lambda _: Reply(body=json.dumps(listed).encode()),
        "GET /v2/models/wine": Reply(body=json.dumps(WINE).encode()),
    }

    def infer(asked: Request) -> Reply:
        listed[1:] = [{"name": "gin"}]
        if isinstance(answer, Reply):
            return answer
        raise answer

    server.answers["POST /v2/models/wine/infer"] = infer
    event = given(s3, server, "oip")
    event["state"]["request"]["deadlines"]["start_seconds"] = 0
    event["state"]["request"]["cluster_settings"] = {"namespaces": [NAMESPACE], "route": "pod_ip"}
    further = steps(event)
    assert [next(further)["status"] for _ in before] == before
    with pytest.raises(error, match=told):
        next(further)


def test_a_container_whose_route_is_gone_while_it_is_polled_has_not_forgotten_its_execution(
    s3: Any, gateway: Server, api: FakeApi
) -> None:
    model = f"/{POD_NAME}"
    gateway.answers[f"POST {model}/executions"] = Reply(201, b'{"id": "7.1"}')
    further = steps(through(gateway, s3, "sas"))
    assert next(further)["status"] == "RUNNING"
    gateway.answers |= {f"GET {model}/query/7.1/log": Reply(404, b"{}"), f"GET {model}/": Reply(body=b"pong")}
    with pytest.raises(ModelFailed, match="knows nothing of the execution"):
        next(further)


def test_a_result_that_stops_in_the_middle_is_told_by_what_became_of_its_pod(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.protocols.sas._ANSWER_SECONDS", 0.1)
    server.answers |= {
        "POST /executions": Reply(201, b'{"id": "7.1"}'),
        "GET /query/7.1/log": Reply(body=b"Completed!\n"),
        "GET /query/7.1": Reply(body=b"half", promised=100, stalls=True),
    }
    api.put("pods", crashed())
    further = steps(given(s3, server, "sas"))
    with pytest.raises(PodCrashed):
        next(further)


def test_a_slow_container_is_come_back_to_but_not_a_dead_one(
    s3: Any, server: Server, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead one may look just as slow: packets to it are dropped."""
    monkeypatch.setattr("scoring.protocols.sas._ANSWER_SECONDS", 0.1)
    server.answers |= {"POST /executions": Reply(201, b'{"id": "7.1"}'), "GET /query/7.1/log": Silence()}
    further = steps(given(s3, server, "sas"))
    assert next(further)["status"] == "RUNNING"
    api.put("pods", running(uid="another"))
    with pytest.raises(PodLost):
        next(further)
