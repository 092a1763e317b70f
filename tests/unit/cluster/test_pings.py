"""Who it was that answered: the model, or what stands between."""

from typing import Any

import pytest

from scoring.cluster import pings
from scoring.cluster.pings import Pings
from scoring.errors import ModelFailed, RouteNotReady
from scoring.settings import ClusterSettings
from tests.builders import CLUSTER, POD_NAME, FakeApi, pod_state, request
from tests.unit.servers import HangUp, Reply, Server

GONE, PING = Reply(404, b"no route"), f"GET /{POD_NAME}/ping"


def ping(server: Server) -> Pings:
    """To a model of SageMaker's behind a gateway that answers 404 where no route leads."""
    server.answers.setdefault("GET", GONE)
    return Pings(request(protocol="sagemaker"), POD_NAME, f"{server.url}/{POD_NAME}", server.url)


@pytest.mark.parametrize(("status", "is_silent"), [(404, True), (500, False), (None, False)])
def test_only_a_404_may_be_the_routes_in_the_models_place(server: Server, status: int | None, is_silent: bool) -> None:
    """Whatever the ping says meanwhile: any other answer is the model's own word, and ends the file."""
    silence = ping(server).silence(ModelFailed("The model refused a batch.", status=status, answer="no route"))
    assert (silence is not None) == is_silent


@pytest.mark.parametrize(
    ("answers", "is_silent"),
    [({}, True), ({PING: Reply(200)}, False), ({PING: Reply(500, b"no weights")}, False)],
)
def test_a_404_in_other_words_is_the_routes_if_the_ping_is_answered_by_the_route(
    server: Server, answers: dict[str, Any], is_silent: bool
) -> None:
    server.answers |= answers
    silence = ping(server).silence(ModelFailed("The model refused a batch.", status=404, answer="no such page"))
    assert (silence is not None) == is_silent


def test_a_404_in_the_gateways_words_is_the_routes_without_another_question_to_the_model(server: Server) -> None:
    server.answers[PING] = Reply(200)
    found = ping(server).silence(ModelFailed("The model refused a batch.", status=404, answer="no route"))
    assert found is not None
    assert found.summary == "The route answered in the model's place: 404 no route."


@pytest.mark.parametrize("answer", [Reply(200), Reply(500, b"no weights")])
def test_a_silence_that_does_not_pass_is_the_models_failure_while_its_ping_is_its_own(
    server: Server, answer: Reply
) -> None:
    server.answers[PING] = answer
    failure, cluster = ModelFailed("The model answered 404."), ClusterSettings(CLUSTER, ("dropscore",), url=server.url)
    assert pings.lasting(FakeApi(), pod_state(), cluster, ping(server), failure) is failure
    del server.answers[PING]
    missing = pings.lasting(FakeApi(), pod_state(), cluster, ping(server), failure)
    assert isinstance(missing, RouteNotReady)
    assert "was lost while it scored; last: 404 no route. The route is gone" in missing.summary
    server.answers["GET"] = Reply(200)
    for_everything = pings.lasting(FakeApi(), pod_state(), cluster, ping(server), failure)
    assert "answer 404 where no route leads" in for_everything.remedy


GO = Reply(404, b"404 page not found")


def through(server: Server, protocol: str) -> Pings:
    return Pings(request(protocol=protocol, model_name=""), POD_NAME, f"{server.url}/{POD_NAME}", server.url)


@pytest.mark.parametrize("protocol", ["sagemaker", "sas", "oip"])
@pytest.mark.parametrize(
    ("other", "is_the_routes"),
    [({}, True), ({f"GET /{POD_NAME}/version": Reply(405)}, False)],
    ids=["nothing-else", "another-path"],
)
def test_a_404_in_the_gateways_words_is_the_models_where_another_path_is_answered_otherwise(
    server: Server, protocol: str, other: dict[str, Reply], is_the_routes: bool
) -> None:
    """What is not there has the same words in a gateway and in a model that are both written in Go."""
    server.answers |= {"GET": GO, **other}
    refusal = through(server, protocol).refused()
    assert refusal is not None
    assert (refusal.text, refusal.is_the_routes) == ("404 404 page not found", is_the_routes)


NOWHERE = "GET /dropscore-no-such-pod"
FAILURES = [HangUp(), Reply(404, b"no rou", promised=9)]


@pytest.mark.parametrize("failure", FAILURES, ids=["no-answer", "half-an-answer"])
@pytest.mark.parametrize("protocol", ["sagemaker", "auto"])
def test_a_gateway_that_fails_once_where_no_route_leads_is_asked_again(
    server: Server, protocol: str, failure: Reply | Exception
) -> None:
    """What it did not say is no difference, neither to a 404 nor to a good ping."""
    server.answers["GET"] = GONE
    failing = dict.fromkeys((f"{NOWHERE}/ping", f"{NOWHERE}/v2"), failure)
    ping = through(server, protocol)
    server.answers |= failing
    unknown = ping.refused()
    assert unknown is not None
    assert not unknown.is_the_routes, "it has the time of a model that loads"
    server.answers = {"GET": GONE}
    missing = ping.refused()
    assert missing is not None
    assert missing.is_the_routes

    ping = through(server, protocol)
    server.answers |= {PING: Reply(200), **failing}
    unproven = ping.refused()
    assert unproven is not None
    assert not unproven.is_the_routes
    assert unproven.text.startswith("The ping is answered well, but where no route leads is no answer: ")
    assert "answer 404 where no route leads" in (unproven.remedy or "")
    server.answers = {"GET": GONE, PING: Reply(200)}
    assert ping.refused() is None


def test_a_gateway_that_has_a_page_for_everything_is_no_proof_after_a_failure(server: Server) -> None:
    server.answers |= {"GET": Reply(200), f"{NOWHERE}/ping": Reply(503, b"restarting")}
    ping = through(server, "sagemaker")
    assert ping.refused() is None, "some gateways answer 503 where no route leads"
    del server.answers[f"{NOWHERE}/ping"]
    page = ping.refused()
    assert page is not None
    assert page.is_the_routes


def test_what_the_gateway_answered_while_it_was_restarted_is_no_difference_later(server: Server) -> None:
    server.answers |= {"GET": GONE, f"{NOWHERE}/ping": Reply(503, b"restarting")}
    ping = through(server, "sagemaker")
    assert ping.is_the_gateways("404 no route") is False
    del server.answers[f"{NOWHERE}/ping"]
    assert ping.is_the_gateways("404 no route") is True


def test_a_404_in_mid_scoring_is_no_failure_of_the_models_while_the_gateway_does_not_answer(server: Server) -> None:
    """Those who come back ask again."""
    server.answers |= {"GET": GONE, PING: Reply(200), f"{NOWHERE}/ping": HangUp()}
    failure = ModelFailed("The model refused a batch.", status=404, answer="no such page")
    found = ping(server)
    unknown = found.silence(failure)
    assert unknown is not None
    assert (unknown.summary, unknown.details) == (failure.summary, failure.details), (
        "its own words, if it comes to that"
    )
    del server.answers[f"{NOWHERE}/ping"]
    assert found.silence(failure) is None
