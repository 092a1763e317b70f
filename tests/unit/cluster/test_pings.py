"""Who it was that answered: the model, or what stands between."""

from typing import Any

import pytest

from scoring.cluster import pings
from scoring.cluster.pings import Pings
from scoring.errors import ModelFailed, RouteNotReady
from scoring.settings import ClusterSettings
from tests.builders import CLUSTER, POD_NAME, FakeApi, pod_state, request
from tests.unit.servers import Reply, Server

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
