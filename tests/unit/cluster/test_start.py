"""One clock from the pod's admission to the model's first good ping; who it is that answers meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from scoring.cluster import start
from scoring.errors import ClusterAccessDenied, InvalidTags, PodCrashed, PodNotReady, RouteNotReady
from scoring.protocols import detection
from scoring.settings import ClusterSettings
from tests.builders import (
    CLUSTER,
    POD_NAME,
    FakeApi,
    crashed,
    path,
    pending,
    pod,
    pod_state,
    recorded_pod,
    request,
    running,
)
from tests.unit.servers import HangUp, Reply, Request, Server

PONG, NOT_ROUTED = Reply(200, b"pong"), Reply(404, b"no route")
LOADING = Reply(503, b"loading the weights")
PING = f"GET /{POD_NAME}/"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_FIRST_PINGS_SECONDS", 0.0)
    monkeypatch.setattr(start, "_FURTHER_PINGS_SECONDS", 0.0)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def await_endpoint(
    url: str,
    api: FakeApi,
    before: dict[str, Any] | None = None,
    age: float = 0,
    route: str = "gateway",
    seconds: float = 0,
    **changes: Any,
) -> dict[str, Any]:
    """With 100 s to start and 30 s for a route to come; `age` is the pod's in seconds."""
    asked = request(deadlines={"start_seconds": 100, "route_seconds": 30, "scoring_seconds": 1}, **changes)
    cluster = ClusterSettings(CLUSTER, ("dropscore",), route, url)
    created = pod_state(created=ago(age))
    return start.Start(api, created, asked, cluster, {"pod": "uid-1", **(before or {})}).await_endpoint(seconds)


def first_look(url: str, api: FakeApi, before: dict[str, Any] | None = None, seconds: float = 0) -> dict[str, Any]:
    asked = request(deadlines={"start_seconds": 100, "route_seconds": 30, "scoring_seconds": 1})
    cluster = ClusterSettings(CLUSTER, ("dropscore",), "gateway", url)
    return start.Start(api, pod_state(created=ago(1)), asked, cluster, before or {}).first_look(seconds)


def test_a_pod_that_is_ready_soon_needs_no_other_look(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_FIRST_PINGS_SECONDS", 20.0)
    server.answers = {"GET": NOT_ROUTED, PING: PONG}
    found = first_look(server.url, FakeApi(pods=running()), seconds=20)
    assert found == {"status": "READY", "url": f"{server.url}/{POD_NAME}", "protocol": "sas", "pod": "uid-1"}


@pytest.mark.parametrize("what", ["crashed", "forbidden"])
def test_what_a_first_look_finds_wrong_is_await_pods_to_say_at_once(server: Server, what: str) -> None:
    """It has the pod in its state by then, and may read the log."""
    api = FakeApi(pods=crashed())
    if what == "forbidden":
        api.refusals["GET"] = ClusterAccessDenied("pods is forbidden", "Apply cluster/ again.")
    found = first_look(server.url, api, {"pod": "uid-0", "protocol": "mlflow"})
    assert (found["status"], found["wait_seconds"], found["pod"], found["protocol"]) == (
        "PENDING",
        0,
        "uid-1",
        "mlflow",
    )
    assert not any("/log" in call for call in api.calls)
    with pytest.raises(ClusterAccessDenied if what == "forbidden" else PodCrashed):
        await_endpoint(server.url, api, found)


def opened(seconds_ago: float) -> dict[str, Any]:
    return {"opened": ago(seconds_ago)}


def later(found: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The `endpoint` of the state as it is when so much time has passed."""
    clock = {key: datetime.fromisoformat(found[key]) for key in ("admitted", "opened") if key in found}
    return found | {key: (at - timedelta(seconds=seconds)).isoformat() for key, at in clock.items()}


def answers(*replies: Reply | Exception, then: Reply) -> Callable[[Request], Reply]:
    script = chain(replies, repeat(then))

    def answer(_: Request) -> Reply:
        reply = next(script)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return answer


def test_a_route_is_there_when_several_pings_in_a_row_came_through(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas of a data plane learn of a route one after the other."""
    monkeypatch.setattr(start, "_FIRST_PINGS_SECONDS", 20.0)
    server.answers["GET"] = NOT_ROUTED
    server.answers[PING] = answers(
        NOT_ROUTED, Reply(503), PONG, PONG, HangUp(), Reply(200, b"welcome to nginx"), then=PONG
    )
    found = await_endpoint(server.url, FakeApi(pods=running()), seconds=20)
    assert found == {"status": "READY", "url": f"{server.url}/{POD_NAME}", "protocol": "sas", "pod": "uid-1"}
    assert len([asked for asked in server.requests if asked.path == f"/{POD_NAME}/"]) == 9


NOT_TOLD = {"protocol": "auto", "model_name": "", "split": "file", "rows": "same", "max_errors": ["0"]}


def test_a_protocol_that_is_not_told_is_found_by_what_the_model_answers_several_times_in_a_row(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One replica of the data plane knows the route when it is asked for /ping, and another does not for /version."""
    monkeypatch.setattr(start, "_FIRST_PINGS_SECONDS", 20.0)
    server.answers = {
        "GET": NOT_ROUTED,
        f"GET /{POD_NAME}/ping": Reply(200),
        f"GET /{POD_NAME}/version": answers(Reply(200, b"3.1.0"), NOT_ROUTED, then=Reply(200, b"3.1.0")),
    }
    found = await_endpoint(server.url, FakeApi(pods=running()), seconds=20, **NOT_TOLD)
    assert (found["status"], found["protocol"]) == ("READY", "mlflow")
    assert sum(asked.path == f"/{POD_NAME}/version" for asked in server.requests) == 6


def test_a_model_that_answers_as_two_do_is_not_ready(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_FIRST_PINGS_SECONDS", 20.0)
    server.answers = {
        "GET": NOT_ROUTED,
        f"GET /{POD_NAME}/ping": Reply(200),
        f"GET /{POD_NAME}/version": answers(NOT_ROUTED, then=Reply(200, b"3.17.2")),
    }
    assert await_endpoint(server.url, FakeApi(pods=running()), seconds=20, **NOT_TOLD)["protocol"] == "mlflow"
    assert sum(asked.path == f"/{POD_NAME}/version" for asked in server.requests) == 1 + 1 + 3


def test_a_pod_in_a_lost_ones_place_goes_on_by_the_protocol_that_was_found_first(server: Server) -> None:
    """What the lost one has left of the file is half an upload; MLflow's server answers /ping before it knows its version."""
    lost = {"status": "READY", "url": server.url, "protocol": "mlflow", "pod": "uid-0"}
    server.answers |= {"GET": NOT_ROUTED, f"GET /{POD_NAME}/ping": Reply(200)}
    starts = await_endpoint(server.url, FakeApi(pods=pending()), lost, **NOT_TOLD)
    waits = await_endpoint(server.url, FakeApi(pods=running()), starts, **NOT_TOLD)
    assert (waits["status"], waits["protocol"]) == ("PENDING", "mlflow")
    assert "answers as sagemaker does, but an earlier pod of this file answered as mlflow" in waits["waiting_for"]
    with pytest.raises(PodNotReady, match=r"as sagemaker does, but an earlier pod .* as mlflow") as late:
        await_endpoint(server.url, FakeApi(pods=running()), later(waits, 101), **NOT_TOLD)
    assert "tag the file with protocol" in late.value.remedy
    server.answers[f"GET /{POD_NAME}/version"] = Reply(200, b"3.17.2")
    found = await_endpoint(server.url, FakeApi(pods=running()), waits, **NOT_TOLD)
    assert (found["status"], found["protocol"]) == ("READY", "mlflow")


def test_a_model_that_nothing_fits_is_told_by_what_each_probe_was_answered(server: Server) -> None:
    server.answers["GET"] = NOT_ROUTED
    server.answers |= {f"GET /{POD_NAME}{probe}": Reply(404, b"no such page") for probe in detection.PROBES}
    with pytest.raises(PodNotReady) as late:
        await_endpoint(server.url, FakeApi(pods=running()), opened(60), age=101, **NOT_TOLD)
    for probe in detection.PROBES:
        assert f"GET {probe}: 404 no such page" in late.value.summary
    assert "tag the file with protocol" in late.value.remedy


def test_a_route_that_is_missing_is_told_from_a_model_that_nothing_fits(server: Server) -> None:
    server.answers["GET"] = NOT_ROUTED
    for url in (server.url, "http://127.0.0.1:9"):
        with pytest.raises(RouteNotReady):
            await_endpoint(url, FakeApi(pods=running()), opened(31), **NOT_TOLD)


def test_what_the_protocol_that_was_found_cannot_do_ends_the_file_before_it_is_sent(server: Server) -> None:
    server.answers |= {"GET": NOT_ROUTED, PING: PONG}
    assert await_endpoint(server.url, FakeApi(pods=running()), **NOT_TOLD)["protocol"] == "sas"
    with pytest.raises(InvalidTags, match="max_errors cannot be honoured: a sas container gets the file whole"):
        await_endpoint(server.url, FakeApi(pods=running()), **NOT_TOLD | {"max_errors": ["5"]})


LOADS = [LOADING, Reply(500, b"no weights"), Reply(404, b"no such model"), HangUp()]


@pytest.mark.parametrize("answer", LOADS)
def test_a_model_that_loads_behind_an_open_port_is_left_to_the_state_machine(server: Server, answer: Any) -> None:
    """Gunicorn without preload listens first. Nobody pays a function for that, and the start deadline is its only one."""
    server.answers |= {"GET": NOT_ROUTED, PING: answer}
    found = await_endpoint(server.url, FakeApi(pods=running()), opened(60), age=90)
    assert found["status"] == "PENDING"
    assert found["waiting_for"].startswith("the model to load: ")
    assert found["wait_seconds"] == 9
    with pytest.raises(
        PodNotReady, match=r"port is open, but its ping was not answered well after 100 s; last: "
    ) as late:
        await_endpoint(server.url, FakeApi(pods=running()), opened(60), age=101)
    assert "start_seconds" in late.value.remedy
    assert "gateway" in late.value.remedy, "what cannot be told apart is told with both remedies"


def test_the_clock_goes_on_from_one_call_to_the_next(server: Server) -> None:
    server.answers |= {"GET": NOT_ROUTED, PING: LOADING}
    first = await_endpoint(server.url, FakeApi(pods=running()), age=50)
    again = await_endpoint(server.url, FakeApi(pods=running()), first, age=50)
    assert again["opened"] == first["opened"]
    assert datetime.fromisoformat(first["admitted"]) < datetime.now(UTC) - timedelta(seconds=49)
    anew = await_endpoint(server.url, FakeApi(pods=running()), first | {"pod": "a lost one"})
    assert anew["opened"] > first["opened"]


def test_a_model_whose_port_opens_late_still_gets_the_time_of_its_route(server: Server) -> None:
    server.answers |= {"GET": NOT_ROUTED, PING: LOADING}
    assert await_endpoint(server.url, FakeApi(pods=running()), opened(29), age=120)["status"] == "PENDING"
    with pytest.raises(PodNotReady):
        await_endpoint(server.url, FakeApi(pods=running()), opened(31), age=120)


def route_object(*conditions: dict[str, str]) -> dict[str, Any]:
    parents = [{"conditions": list(conditions)}] if conditions else []
    return {"kind": "HTTPRoute", "metadata": {"name": POD_NAME}, "status": {"parents": parents}}


REFUSED = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "not from here"}


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (route_object(REFUSED), "Accepted is False (NotAllowedByListeners: not from here)"),
        (route_object({"type": "Accepted", "status": "True"}), "says of the HTTPRoute: accepted"),
        (route_object(), "No gateway has taken up the HTTPRoute"),
        (None, "somebody has deleted it"),
    ],
)
def test_a_route_that_never_comes_is_told_with_what_the_gateway_says_of_it(
    server: Server, route: dict[str, Any] | None, said: str
) -> None:
    server.answers["GET"] = NOT_ROUTED
    api = FakeApi(pods=running())
    if route:
        api.put("httproutes", route)
    waits = await_endpoint(server.url, api, opened(29))
    assert waits["waiting_for"] == "its route: 404 no route"
    with pytest.raises(RouteNotReady, match=r"did not come through .* within 30 s; last: 404 no route\.") as missing:
        await_endpoint(server.url, api, opened(31))
    assert said in missing.value.summary
    assert missing.value.summary.endswith("The log ends: ready")


def test_a_status_that_may_not_be_read_hides_nothing(server: Server) -> None:
    """The cluster may have an older cluster/."""
    server.answers["GET"] = NOT_ROUTED
    api = FakeApi(pods=running())
    api.refusals["GET " + path("httproutes")] = ClusterAccessDenied("may not get httproutes")
    with pytest.raises(RouteNotReady, match="cannot be read: may not get httproutes"):
        await_endpoint(server.url, api, opened(31))


def test_an_ingress_without_an_address_is_told(server: Server) -> None:
    server.answers["GET"] = NOT_ROUTED
    api = FakeApi(pods=running())
    api.put("ingresses", {"kind": "Ingress", "metadata": {"name": POD_NAME}, "status": {"loadBalancer": {}}})
    with pytest.raises(RouteNotReady, match=r"status\.loadBalancer is empty"):
        await_endpoint(server.url, api, opened(31), route="ingress")


def test_a_gateway_that_names_the_path_in_its_page_is_seen_through(server: Server) -> None:
    server.answers["GET"] = lambda asked: Reply(404, f"Cannot GET {asked.path}".encode())
    with pytest.raises(RouteNotReady):
        await_endpoint(server.url, FakeApi(pods=running()), opened(31))


def test_a_gateway_that_takes_no_connection_is_no_model_that_loads() -> None:
    with pytest.raises(RouteNotReady, match="took no connection"):
        await_endpoint("http://127.0.0.1:9", FakeApi(pods=running()), opened(31))


PAGE = Reply(200, b"<html>Welcome</html>")


@pytest.mark.parametrize(
    ("protocol", "replies"),
    [
        ("sagemaker", {"GET": PAGE}),
        ("mlflow", {"GET": PAGE, f"GET /{POD_NAME}/ping": Reply(200)}),
        ("oip", {"GET": PAGE, "POST": PAGE}),
        ("sas", {"GET": PONG}),
        ("auto", {"GET": PAGE}),
        ("auto", {"GET": PAGE, f"GET /{POD_NAME}/version": Reply(200, b"3.17.2")}),
    ],
)
def test_a_gateway_that_answers_any_path_proves_no_model_ready(
    server: Server, protocol: str, replies: dict[str, Any]
) -> None:
    """A page for everything answers a ping, and later a batch, in the place of a model that nothing leads to."""
    server.answers |= replies
    asked = NOT_TOLD | {"protocol": protocol}
    waits = await_endpoint(server.url, FakeApi(pods=running()), opened(29), **asked)
    assert waits["waiting_for"].startswith("its route: The gateway answers any path as a model would")
    with pytest.raises(RouteNotReady, match=r"any path as a model would, http://\S+/dropscore-no-such-pod too") as late:
        await_endpoint(server.url, FakeApi(pods=running()), opened(31), **asked)
    assert "answer 404 where no route leads" in late.value.remedy
    assert "pod_ip" in late.value.remedy


@pytest.mark.parametrize("protocol", ["sas", "auto"])
def test_a_page_for_everything_that_is_no_good_ping_leaves_the_model_its_own(server: Server, protocol: str) -> None:
    server.answers |= {"GET": PAGE, PING: PONG}
    found = await_endpoint(server.url, FakeApi(pods=running()), **NOT_TOLD | {"protocol": protocol})
    assert (found["status"], found["protocol"]) == ("READY", "sas")


def test_a_pod_that_takes_no_connection_is_no_model_that_loads() -> None:
    """Where no gateway stands in between, a security group or a network policy does: the kubelet has found the port open."""
    at = running()
    at["status"]["podIP"] = "127.0.0.1"
    with pytest.raises(RouteNotReady, match="took no connection"):
        await_endpoint("", FakeApi(pods=at), opened(31), route="pod_ip", pod={"port": 9})


def test_a_sidecar_that_has_ended_is_told_with_the_silence(server: Server) -> None:
    found, _ = recorded_pod("sidecar-ended-1")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    server.answers |= {"GET": NOT_ROUTED, PING: Reply(503)}
    with pytest.raises(PodNotReady, match=r"beside the model has ended: istio-proxy \(exit code 1\)"):
        await_endpoint(server.url, FakeApi(pods=found), opened(31), age=101)


def test_a_model_that_answers_is_ready_whatever_became_of_its_sidecar(server: Server) -> None:
    found, _ = recorded_pod("sidecar-ended-0")
    found["metadata"] |= {"name": POD_NAME, "uid": "uid-1"}
    server.answers[PING] = PONG
    assert await_endpoint(server.url, FakeApi(pods=found))["status"] == "READY"


def test_a_log_that_tells_why_nobody_answers_is_heard(server: Server) -> None:
    """Nginx keeps the port open while its workers die for want of a capability."""
    server.answers |= {"GET": NOT_ROUTED, PING: Reply(502)}
    api = FakeApi(pods=running())
    api.log = "nginx: [emerg] setgid(33) failed (1: Operation not permitted)\n"
    with pytest.raises(PodNotReady, match=r"setgid\(33\) failed") as late:
        await_endpoint(server.url, api, opened(31), age=101)
    assert "`capabilities`" in late.value.remedy


@pytest.mark.parametrize("seconds", [0, 31])
def test_a_pod_that_ends_behind_its_route_is_told_instead_of_the_route(
    server: Server, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(start, "_LOOK_AT_POD_SECONDS", 0.0 if not seconds else 5.0)
    api = FakeApi(pods=running())

    def dies(_: Request) -> Reply:
        api.put("pods", crashed())
        return Reply(503)

    server.answers |= {"GET": NOT_ROUTED, PING: dies}
    with pytest.raises(PodCrashed):
        await_endpoint(server.url, api, opened(seconds), age=101 if seconds else 0)


def gated() -> dict[str, Any]:
    held = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "in the queue"}
    return pod({"phase": "Pending", "conditions": [held]})


def test_a_pod_in_a_queue_has_all_its_time_before_it() -> None:
    """However long it waits, its clock begins when it is admitted; and it costs little meanwhile."""
    api = FakeApi(pods=gated())
    found = await_endpoint("http://gateway", api, age=100_000)
    assert (found["status"], found["waiting_for"], found["wait_seconds"]) == ("PENDING", "admission: in the queue", 900)
    assert not [call for call in api.calls if call.startswith("WATCH")]
    api.put("pods", pending())
    found = await_endpoint("http://gateway", api, found, age=100_000)
    assert (found["waiting_for"], found["wait_seconds"]) == ("the container: ContainerCreating", 5)


def test_a_pod_that_is_found_admitted_late_still_has_all_its_time() -> None:
    """Between two looks at a queue lie 900 s, nine times what this pod has to start."""
    waits = await_endpoint("http://gateway", FakeApi(pods=gated()), age=100_000)
    found = await_endpoint("http://gateway", FakeApi(pods=pending()), later(waits, 900), age=100_000)
    assert (found["status"], found["waiting_for"]) == ("PENDING", "the container: ContainerCreating")
    assert datetime.fromisoformat(found["admitted"]) > datetime.now(UTC) - timedelta(seconds=60)
    with pytest.raises(PodNotReady, match="not ready after 100 s"):
        await_endpoint("http://gateway", FakeApi(pods=pending()), later(found, 101), age=100_000)


def test_without_a_gateway_every_answer_is_the_models(server: Server) -> None:
    server.answers["GET"] = NOT_ROUTED
    at, port = running(), int(server.url.rpartition(":")[2])
    at["status"]["podIP"] = "127.0.0.1"
    found = await_endpoint("", FakeApi(pods=at), opened(60), route="pod_ip", pod={"port": port})
    assert found["waiting_for"] == "the model to load: 404 no route"
    server.answers["GET"] = PONG
    found = await_endpoint("", FakeApi(pods=at), opened(60), route="pod_ip", pod={"port": port})
    assert found["status"] == "READY", "where nothing stands in between, a model may answer any path"
    assert {asked.path for asked in server.requests} == {"/"}
