"""Which protocol a container speaks, by what real ones answer."""

from typing import Any

import pytest

from scoring.errors import InvalidFile, InvalidTags
from scoring.files.formats import Spec
from scoring.protocols import Auto, detection
from scoring.protocols.model import Answer, Model, NoAnswer, NoConnection
from tests.builders import request
from tests.unit.servers import HangUp, Reply, Server

NOT_FOUND, ERROR_PAGE = (404, b'{"detail":"Not Found"}'), (500, b"<html>")
METADATA = (200, b'{"name":"mlserver","version":"1.7.1","extensions":[]}')


def answers(*told: tuple[int, bytes]) -> dict[str, Answer]:
    return {path: Answer(*each) for path, each in zip(detection.PROBES, told, strict=True)}


@pytest.mark.parametrize(
    ("told", "protocol"),
    [
        pytest.param((METADATA, NOT_FOUND, NOT_FOUND, NOT_FOUND), "oip", id="mlserver"),
        pytest.param((METADATA, NOT_FOUND, (200, b'"\\n"'), (200, b'"3.17.2"')), "oip", id="mlserver-mlflow"),
        pytest.param((METADATA, (200, b'{"status":"alive"}'), NOT_FOUND, NOT_FOUND), "oip", id="kserve"),
        pytest.param((ERROR_PAGE, (200, b"pong"), ERROR_PAGE, ERROR_PAGE), "sas", id="sas"),
        pytest.param((NOT_FOUND, NOT_FOUND, (200, b"\n"), (200, b"3.17.2")), "mlflow", id="mlflow"),
        pytest.param((NOT_FOUND, NOT_FOUND, (200, b""), NOT_FOUND), "sagemaker", id="sagemaker-flask"),
        pytest.param((NOT_FOUND, NOT_FOUND, (200, b'{"status": "Healthy!"}'), (405, b"")), "sagemaker", id="mms"),
        pytest.param(((200, b"ok"), (200, b"ok"), (200, b"ok"), (200, b"ok")), "sagemaker", id="200-to-anything"),
        pytest.param((NOT_FOUND, NOT_FOUND, (503, b"loading"), (200, b"3.17.2")), None, id="not-loaded"),
        pytest.param((NOT_FOUND, NOT_FOUND, NOT_FOUND, (200, b"3.17.2")), None, id="version-alone"),
        pytest.param(((200, b"[" * 100_000), (200, b"pong!"), NOT_FOUND, NOT_FOUND), None, id="something-else"),
        pytest.param(((200, b'{"name":"x"}'), NOT_FOUND, NOT_FOUND, NOT_FOUND), None, id="a-name-alone"),
        pytest.param(((200, b'{"version":"2"}'), NOT_FOUND, NOT_FOUND, NOT_FOUND), None, id="a-version-of-something"),
        pytest.param(((404, METADATA[1]), (404, b"pong"), NOT_FOUND, NOT_FOUND), None, id="of-another-status"),
    ],
)
def test_a_protocol_is_told_by_an_answer_that_no_other_has(
    told: tuple[tuple[int, bytes], ...], protocol: str | None
) -> None:
    assert detection.speaks(answers(*told)) == protocol


def test_a_model_is_asked_no_further_once_it_does_not_answer(server: Server) -> None:
    """Nothing is told then: what it did not say may be what no other protocol has."""
    server.answers |= {"GET /v2": Reply(404, b"no"), "GET /": HangUp(), "GET /ping": Reply()}
    with pytest.raises(NoAnswer, match="GET /v2: 404 no; GET /: The model closed the connection") as silence:
        detection.detect(Model(server.url))
    assert [asked.path for asked in server.requests] == ["/v2", "/"]
    assert "status" not in silence.value.details
    server.answers["GET /"] = Reply(503, b"no such host")
    with pytest.raises(NoAnswer) as unavailable:
        detection.detect(Model(server.url))
    assert unavailable.value.details["status"] == 503, "that is an answer, if not the model's"


def test_who_takes_no_connection_is_not_asked_what_it_speaks() -> None:
    """It is the way to the model that is missing, as with a protocol that is told."""
    with pytest.raises(NoConnection):
        detection.detect(Model("http://127.0.0.1:9"))


def auto(server: Server, **changes: Any) -> Auto:
    asked = {"protocol": "auto", "model_name": "", "split": "file", "rows": "same", "max_errors": ["0"], **changes}
    return Auto(Model(server.url), request(**asked))


def test_what_is_found_has_to_be_ready_by_its_own_word(server: Server) -> None:
    server.answers |= {"GET /v2": Reply(*METADATA), "GET /v2/health/ready": Reply(400, b"loading")}
    found = auto(server)
    assert found.ready() == "400 loading"
    server.answers["GET /v2/health/ready"] = Reply(200)
    assert (found.ready(), found.name) == (None, "oip")


JSON = Spec(kind="jsonl", header=False).to_json()


@pytest.mark.parametrize(
    ("protocol", "changes", "error"),
    [
        ("sas", {"format": Spec(sent=(1,)).to_json()}, InvalidTags),
        ("sas", {"format": Spec(hidden=("id",)).to_json()}, InvalidTags),
        ("sas", {"format": Spec(kept=(1,)).to_json()}, InvalidTags),
        ("sas", {"max_errors": ["1", "5%"]}, InvalidTags),
        ("sas", {"format": JSON}, InvalidFile),
        ("sas", {"model_name": "wine"}, InvalidTags),
        ("sas", {"model_name": "wine", "split": "rows", "rows": "any"}, InvalidTags),
        ("mlflow", {"rows": "any"}, InvalidTags),
        ("sagemaker", {"model_name": "wine"}, InvalidTags),
        ("sas", {"rows": "any"}, None),
        ("sas", {"split": "rows", "max_errors": ["1"], "format": Spec(sent=(1,)).to_json()}, None),
        ("sas", {"model_name": "wine", "split": "rows", "max_errors": ["1"]}, None),
        ("mlflow", {"max_errors": ["1"], "format": JSON}, None),
        ("oip", {"model_name": "wine", "split": "rows", "format": Spec(kept=(1,)).to_json()}, None),
    ],
)
def test_what_was_left_until_the_protocol_is_known_is_refused_then(
    protocol: str, changes: dict[str, Any], error: type[Exception] | None
) -> None:
    asked = request(
        protocol="auto", **{"model_name": "", "split": "file", "rows": "same", "max_errors": ["0"], **changes}
    )
    if not error:
        detection.check(asked, protocol)
        return
    with pytest.raises(error):
        detection.check(asked, protocol)


def test_a_container_that_gets_a_file_whole_scores_no_shard_of_it() -> None:
    """Each would be sent all of it."""
    part = {"number": 1, "count": 2, "start": 0, "stop": 4, "row": 1, "records": 1, "total": 2}
    whole = {"model_name": "", "split": "file", "rows": "same", "max_errors": ["0"]}
    asked = request(protocol="auto", asked_pods="2", shard=part, **whole)
    detection.check(asked, "mlflow")
    detection.check(asked | {"split": "rows"}, "sas")
    with pytest.raises(InvalidTags, match="gets the file whole"):
        detection.check(asked, "sas")
