"""The Open Inference Protocol over real HTTP: which model is asked, what it is sent, what comes back."""

import json
from typing import Any

import pytest

from scoring.errors import DropscoreError, InvalidFile, InvalidTags, ModelFailed, RowCountMismatch
from scoring.files.blocks import Blocks
from scoring.files.formats import Batch, Format, Spec
from scoring.files.inspection import format_of
from scoring.protocols import OpenInference
from scoring.protocols.model import Answer, Model, NoAnswer, StillBusy
from tests.unit.servers import Reply, Server

INPUTS = [{"name": "a", "datatype": "INT64", "shape": [-1, 1]}, {"name": "t", "datatype": "BYTES", "shape": [-1]}]
INDEX, MODELS, READY = "POST /v2/repository/index", "GET /v2/models", "GET /v2/health/ready"


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


@pytest.fixture
def serving(server: Server) -> Server:
    """A server with one model, wine, as MLServer has it."""
    server.answers = {
        READY: Reply(200),
        INDEX: reply([{"name": "wine", "version": "2", "state": "READY"}, {"name": "wine", "version": "1"}]),
        "GET /v2/models/wine/ready": Reply(200),
        "GET /v2/models/wine": reply({"name": "wine", "inputs": INPUTS}),
    }
    return server


def oip(server: Server, model_name: str = "") -> OpenInference:
    return OpenInference(Model(server.url), model_name)


def read(document: bytes, **changes: Any) -> tuple[Format, Batch]:
    spec = Spec(**changes)
    file, blocks = format_of(spec), Blocks([document], 1 << 20, spec.dialect)
    file.open(blocks)
    return file, file.batch(next(iter(blocks)), blocks.position, 1)


def opened(server: Server, document: bytes, **changes: Any) -> tuple[OpenInference, Format, Batch]:
    file, batch = read(document, **changes)
    protocol = oip(server)
    protocol.open(file, lambda: batch)
    return protocol, file, protocol.fitted(file, batch)


def test_a_model_is_ready_when_it_is_and_its_server(serving: Server) -> None:
    assert oip(serving).ready() is None
    serving.answers["GET /v2/models/wine/ready"] = reply({"name": "wine", "ready": False})
    assert oip(serving).ready() == '200 {"name": "wine", "ready": false}'
    serving.answers["GET /v2/models/wine/ready"] = Reply(404, b"loading")
    assert oip(serving).ready() == "404 loading"
    serving.answers[READY] = Reply(400, b"starting")
    assert oip(serving).ready() == "400 starting"
    serving.answers |= {READY: Reply(200), INDEX: reply([])}
    assert oip(serving).ready() == "The server lists no model."
    serving.answers[INDEX] = Reply(503)
    with pytest.raises(NoAnswer):
        oip(serving).ready()


@pytest.mark.parametrize(
    "listing",
    [
        {INDEX: reply({"models": ["wine"]})},
        {INDEX: Reply(404), MODELS: reply({"models": ["wine"]})},
        {INDEX: Reply(200, b"<html>"), MODELS: reply([{"name": "wine"}])},
    ],
)
def test_the_only_model_is_meant_whoever_lists_it(serving: Server, listing: dict[str, Any]) -> None:
    serving.answers |= listing
    assert oip(serving).ready() is None
    protocol, *_ = opened(serving, b"a,t\n1,x\n")
    assert protocol.path == "/v2/models/wine/infer"


def test_of_several_models_the_tag_says_which(serving: Server) -> None:
    serving.answers |= {INDEX: reply([{"name": "beer"}, {"name": "wine"}])}
    assert oip(serving, "wine").ready() is None
    with pytest.raises(InvalidTags, match="several models: beer, wine") as refused:
        oip(serving).ready()
    assert "model_name" in refused.value.remedy
    with pytest.raises(InvalidTags, match="model_name is 'gin', but the server has beer, wine"):
        oip(serving, "gin").ready()


def test_without_a_list_the_tag_is_asked_for(serving: Server) -> None:
    del serving.answers[INDEX]
    assert oip(serving, "wine").ready() is None
    assert oip(serving).ready() is None, "whether it is one or several is not for the route to say"
    with pytest.raises(InvalidTags, match="does not tell which models it has"):
        opened(serving, b"a,t\n1,x\n")


def test_a_name_from_the_servers_list_stays_one_part_of_the_path(serving: Server) -> None:
    serving.answers |= {INDEX: reply([{"name": "../a b?"}]), "GET": reply({"inputs": INPUTS})}
    protocol, *_ = opened(serving, b"a,t\n1,x\n")
    assert protocol.path == "/v2/models/..%2Fa%20b%3F/infer"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(404, b"no such model"), ModelFailed),
        (Reply(200, b"<html>"), ModelFailed),
        (reply([]), ModelFailed),
        (reply({"inputs": [{"name": "a"}]}), ModelFailed),
        (reply({"inputs": [{"name": "z", "datatype": "FP64", "shape": [-1]}, *INPUTS]}), InvalidFile),
        (Reply(429), StillBusy),
        (Reply(504), StillBusy),
    ],
)
def test_inputs_that_are_not_told_or_not_in_the_file_end_it_before_a_record_is_sent(
    serving: Server, answer: Reply, error: type[DropscoreError]
) -> None:
    serving.answers["GET /v2/models/wine"] = answer
    with pytest.raises(error):
        opened(serving, b"a,t\n1,x\n")


def test_records_are_sent_as_tensors_and_what_fits_none_is_bad(serving: Server) -> None:
    answer = {"outputs": [{"name": "p", "shape": [2], "datatype": "FP64", "data": [0.5, 1]}]}
    serving.answers["POST /v2/models/wine/infer"] = reply(answer)
    protocol, file, batch = opened(serving, b't;more;a\n"say ""x""\ny";z;1\nb;;two\n5" pipe;;3\n', delimiter=";")
    assert batch.bad == {1: 'a is "two", which is no INT64.'}
    answered = protocol.submit(file, batch, batch.good, 5.0)
    sent = serving.requests[-1]
    assert (sent.headers["content-type"], sent.headers["accept"]) == ("application/json", "application/json")
    assert json.loads(sent.body) == {
        "inputs": [
            {"name": "a", "shape": [2, 1], "datatype": "INT64", "data": [1, 3]},
            {"name": "t", "shape": [2], "datatype": "BYTES", "data": ['say "x"\ny', '5" pipe']},
        ]
    }
    assert protocol.collect(file, answered, 2) == (["p"], [b"0.5", b"1"])


@pytest.mark.parametrize(
    ("columns", "shape"),
    [({"sent": (1, 2)}, [1, 2]), ({}, [1, 3])],
)
def test_only_the_columns_that_are_chosen_are_a_row(serving: Server, columns: dict[str, Any], shape: list[int]) -> None:
    serving.answers["GET /v2/models/wine"] = reply({"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, -1]}]})
    protocol, file, batch = opened(serving, b"9,1.50,2\n", header=False, **columns)
    (tensor,) = json.loads(protocol.body(file, batch, batch.good)[0])["inputs"]
    assert (tensor["shape"], tensor["data"][-2:]) == (shape, [1.5, 2])
    assert b"1.50" in protocol.body(file, batch, batch.good)[0], "digit for digit"


def test_lines_of_json_are_tensors_by_their_keys(serving: Server) -> None:
    document = b'{"a": 1, "t": "x", "id": 7}\n{"t": null, "a": 2}\n{"t": "y"}\n'
    protocol, file, batch = opened(serving, document, kind="jsonl", header=False)
    assert batch.bad == {2: "a is empty, and INT64 has no missing values."}
    a, t = json.loads(protocol.body(file, batch, batch.good)[0])["inputs"]
    assert (a["data"], t["data"]) == ([1, 2], ["x", None])


def test_what_a_silent_model_takes_is_told_by_the_first_records(serving: Server) -> None:
    serving.answers["GET /v2/models/wine"] = reply({"name": "wine", "inputs": []})
    protocol, file, batch = opened(serving, b"n,t\n1,a\n2,3\n")
    document = json.loads(protocol.body(file, batch, batch.good)[0])
    assert document["parameters"] == {"content_type": "pd"}
    assert [(one["datatype"], one["data"]) for one in document["inputs"]] == [("FP64", [1, 2]), ("BYTES", ["a", "3"])]


ANSWER = (
    b'{"outputs": [{"name": "predict", "shape": [2, 1], "datatype": "INT64", "data": [0, 12345678901234567890]},'
    b'{"name": "proba", "shape": [2, 2], "datatype": "FP64", "data": [0.10, 0.9, 1e-7, null]},'
    b'{"name": "label", "shape": [2], "datatype": "BYTES", "data": ["a,b", "c"]}]}'
)


def test_outputs_become_columns_digit_for_digit(serving: Server) -> None:
    protocol, file, _ = opened(serving, b"a,t\n1,x\n")
    assert protocol.collect(file, Answer(200, ANSWER), 2) == (
        ["predict", "proba_0", "proba_1", "label"],
        [b'0,0.10,0.9,"a,b"', b"12345678901234567890,1e-7,,c"],
    )


def test_outputs_become_members_of_lines_of_json(serving: Server) -> None:
    protocol, file, _ = opened(serving, b'{"a": 1, "t": "x"}\n', kind="jsonl", header=False)
    assert protocol.collect(file, Answer(200, ANSWER), 2) == (
        ["predict", "proba", "label"],
        [[b"0", b"[0.10, 0.9]", b'"a,b"'], [b"12345678901234567890", b"[1e-7, null]", b'"c"']],
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ModelFailed),
        (b"[]", ModelFailed),
        (b'{"outputs": {}}', ModelFailed),
        (b'{"outputs": [1]}', ModelFailed),
        (b'{"outputs": [{"name": "p", "shape": [2], "datatype": "FP64", "data": "12"}]}', ModelFailed),
        (b'{"outputs": [{"name": "p", "shape": [2], "datatype": "FP64", "data": [1]}]}', ModelFailed),
        (b'{"outputs": [{"name": "p", "shape": [1], "datatype": "FP64", "data": [1]}]}', RowCountMismatch),
        (b'{"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}', RowCountMismatch),
        (b"[" * 100_000, ModelFailed),
    ],
)
def test_an_answer_that_is_no_answer_to_the_records_is_never_joined(
    serving: Server, answer: bytes, error: type[DropscoreError]
) -> None:
    protocol, file, _ = opened(serving, b"a,t\n1,x\n")
    with pytest.raises(error):
        protocol.collect(file, Answer(200, answer), 2)
