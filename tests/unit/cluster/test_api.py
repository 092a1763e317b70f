"""Calls to an API server: a real one on loopback, with TLS and a certificate authority of its own."""

import json
import ssl
from collections.abc import Iterator

import pytest
import trustme

from scoring.cluster import api as clusters
from scoring.cluster.api import Api, Endpoint
from scoring.cluster.refusals import Expired
from scoring.errors import ClusterAccessDenied, ClusterUnreachable, QuotaExceeded
from tests.builders import CLUSTER, ROOT
from tests.unit.servers import HangUp, Reply, Server, Silence

PODS = "/api/v1/namespaces/dropscore/pods"
REFUSALS = json.loads((ROOT / "tests/unit/data/refusals.json").read_text())
QUOTA, UNAUTHORIZED = REFUSALS["quota-pods-exceeded"]["body"], REFUSALS["unauthorized-401"]["body"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api_server(authority: trustme.CA) -> Iterator[Server]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with Server(tls) as running:
        yield running


@pytest.fixture
def api(api_server: Server, authority: trustme.CA) -> Api:
    return Api(Endpoint(CLUSTER, api_server.url, authority.cert_pem.bytes()))


def as_json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def test_a_call_carries_the_token_and_its_json_both_ways(api: Api, api_server: Server) -> None:
    api_server.answers["POST"] = as_json({"metadata": {"uid": "1"}}, 201)
    assert api.call("POST", PODS, query={"dryRun": "All"}, body={"kind": "Pod"}) == {"metadata": {"uid": "1"}}
    (request,) = api_server.requests
    assert request.path == f"{PODS}?dryRun=All"
    assert json.loads(request.body) == {"kind": "Pod"}
    assert request.headers["authorization"].startswith("Bearer k8s-aws-v1.")
    assert request.headers["content-type"] == "application/json"


def test_a_token_is_made_once_and_again_before_it_ends(
    api: Api, api_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, made = [0.0], iter(["first", "second"])
    monkeypatch.setattr(clusters.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(clusters, "token", lambda name: next(made))
    api._token_until = -1.0
    api_server.answers["GET"] = as_json({})
    for seconds in (0.0, 14 * 60 - 1, 14 * 60 + 1):
        now[0] = seconds
        api.call("GET", PODS)
    assert [request.headers["authorization"] for request in api_server.requests] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("renewed", ["fresh", "refused too"])
def test_a_refused_token_is_renewed_once(
    api: Api, api_server: Server, monkeypatch: pytest.MonkeyPatch, renewed: str
) -> None:
    made = iter(["expired", renewed])
    monkeypatch.setattr(clusters, "token", lambda name: next(made))
    api_server.answers["GET"] = lambda request: (
        as_json({}) if request.headers["authorization"] == "Bearer fresh" else as_json(UNAUTHORIZED, 401)
    )
    if renewed == "fresh":
        assert api.call("GET", PODS) == {}
    else:
        with pytest.raises(ClusterAccessDenied):
            api.call("GET", PODS)
    assert [request.headers["authorization"] for request in api_server.requests] == [
        "Bearer expired",
        f"Bearer {renewed}",
    ]


def test_a_refusal_is_raised_by_its_name(api: Api, api_server: Server) -> None:
    api_server.answers["POST"] = as_json(QUOTA, 403)
    with pytest.raises(QuotaExceeded, match=f"the cluster {CLUSTER} answered 403 to POST {PODS}"):
        api.call("POST", PODS, body={})


def test_a_server_of_another_authority_is_not_spoken_to(api_server: Server) -> None:
    stranger = Api(Endpoint(CLUSTER, api_server.url, trustme.CA().cert_pem.bytes()))
    with pytest.raises(ClusterUnreachable, match="certificate verify failed"):
        stranger.call("GET", PODS)
    assert not api_server.requests


def test_a_server_that_is_not_there_is_unreachable(authority: trustme.CA) -> None:
    gone = Api(Endpoint(CLUSTER, "https://127.0.0.1:1", authority.cert_pem.bytes()))
    with pytest.raises(ClusterUnreachable, match="does not answer"):
        gone.call("GET", PODS)


@pytest.mark.parametrize("answer", [HangUp(), Reply(body=b'{"items": [', promised=100), Reply(body=b"<html>")])
def test_an_answer_that_is_none_is_unreachable(api: Api, api_server: Server, answer: Reply | HangUp) -> None:
    api_server.answers["GET"] = answer
    with pytest.raises(ClusterUnreachable):
        api.call("GET", PODS)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(
    api: Api, api_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_READ_SECONDS", 0.1)
    api_server.answers["GET"] = Silence()
    with pytest.raises(ClusterUnreachable, match="timed out"):
        api.call("GET", PODS)
    assert len(api_server.requests) == 1, "a call must not be repeated unseen"


def test_a_log_is_text_whatever_the_model_wrote(api: Api, api_server: Server) -> None:
    api_server.answers[f"GET {PODS}/x/log?tailLines=2"] = Reply(body=b"one\n\xfftwo\n")
    assert api.text(f"{PODS}/x/log", {"tailLines": 2}) == "one\n\N{REPLACEMENT CHARACTER}two\n"


def events(*kinds: str) -> bytes:
    return b"".join(json.dumps({"type": kind, "object": {"message": "gone"}}).encode() + b"\n" for kind in kinds)


def test_a_watch_brings_event_after_event_and_ends_with_the_server(api: Api, api_server: Server) -> None:
    api_server.answers["GET"] = Reply(chunks=(events("ADDED")[:9], events("ADDED")[9:] + events("MODIFIED")))
    found = [event["type"] for event in api.watch(PODS, {"fieldSelector": "metadata.name=x"}, 7.9)]
    assert found == ["ADDED", "MODIFIED"]
    assert api_server.requests[0].path == f"{PODS}?fieldSelector=metadata.name%3Dx&watch=true&timeoutSeconds=7"


def test_a_watch_that_breaks_off_simply_ends(api: Api, api_server: Server) -> None:
    api_server.answers["GET"] = Reply(chunks=(events("ADDED"), b'{"type": "MOD'), broken=True)
    assert [event["type"] for event in api.watch(PODS, {}, 5)] == ["ADDED"]


def test_a_watch_of_too_old_a_version_has_expired(api: Api, api_server: Server) -> None:
    api_server.answers["GET"] = Reply(chunks=(events("ADDED", "ERROR"),))
    watch = api.watch(PODS, {}, 5)
    assert next(watch)["type"] == "ADDED"
    with pytest.raises(Expired, match="gone"):
        next(watch)


def test_a_cluster_is_described_once_for_many_calls(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    described: list[str] = []
    now = [1000.0]

    def describe(name: str, eks: object) -> Endpoint:
        described.append(name)
        return Endpoint(name, "https://127.0.0.1:1", authority.cert_pem.bytes())

    monkeypatch.setattr(clusters, "describe", describe)
    monkeypatch.setattr(clusters.time, "monotonic", lambda: now[0])
    first = clusters.connect(CLUSTER)
    assert clusters.connect(CLUSTER) is first
    now[0] += 601
    assert clusters.connect(CLUSTER) is not first
    assert described == [CLUSTER, CLUSTER]
