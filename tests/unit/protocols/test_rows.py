"""The protocols that answer one prediction for each record: what is sent, and what is made of any answer."""

import json
import re
from typing import Any

import pytest

from scoring.errors import ModelFailed
from scoring.files.blocks import Blocks
from scoring.files.formats import Batch, Format, Spec
from scoring.files.inspection import format_of
from scoring.protocols import PROTOCOLS, MLflow, SageMaker
from scoring.protocols.model import Answer, Model, NoAnswer, TookTooLong, TooMany, TooMuch
from tests.unit.servers import Reply, Server

HEADER, BLOCK = b"\xef\xbb\xbfa,b\r\n", b'1,"x\ny"\r\n2,z\r\n'
SAGEMAKER, MLFLOW = SageMaker(Model("")), MLflow(Model(""))


def opened(document: bytes, **changes: Any) -> tuple[Format, Batch]:
    """A file and all its records."""
    spec = Spec(**changes)
    file, blocks = format_of(spec), Blocks([document], 1 << 20, spec.dialect)
    file.open(blocks)
    return file, file.batch(next(iter(blocks)), blocks.position, 1)


FILE, BATCH = opened(HEADER + BLOCK, preamble="\ufeff")
DELIMITED = {delimiter: opened(b"a\n1\n", delimiter=delimiter.decode())[0] for delimiter in (b",", b";", b"\t", b"|")}


def submit(protocol: SageMaker | MLflow) -> Answer:
    return protocol.submit(FILE, BATCH, BATCH.good, 5.0)


@pytest.mark.parametrize("name", ["sagemaker", "mlflow"])
def test_a_model_is_ready_when_its_ping_says_so(server: Server, name: str) -> None:
    protocol = PROTOCOLS[name](Model(server.url))
    assert protocol.ready() == "404 "
    server.answers["GET /ping"] = Reply(200, b"whatever")
    assert protocol.ready() is None
    server.answers["GET /ping"] = Reply(500, b"loading")
    assert protocol.ready() == "500 loading"


@pytest.mark.parametrize(
    ("protocol", "accept", "body"),
    [(SageMaker, "text/csv", BLOCK), (MLflow, "application/json", b"a,b\r\n" + BLOCK)],
)
def test_a_batch_is_sent_as_the_protocol_wants_it(
    server: Server, protocol: type[SageMaker] | type[MLflow], accept: str, body: bytes
) -> None:
    """Without the header to SageMaker's, with it and without a byte order mark to MLflow's."""
    server.answers["POST /invocations"] = Reply(200, b"answer")
    assert submit(protocol(Model(server.url))).body == b"answer"
    (request,) = server.requests
    assert request.body == body
    assert (request.headers["content-type"], request.headers["accept"]) == ("text/csv", accept)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_is_one(server: Server, status: int) -> None:
    server.answers["POST /invocations"] = Reply(status, b"" if status == 204 else b"1\n2\n")
    answer = submit(SageMaker(Model(server.url)))
    assert (answer.status, answer.body) == (status, b"" if status == 204 else b"1\n2\n")


@pytest.mark.parametrize("status", [302, 400, 500])
def test_any_other_status_is_a_failure_of_the_model_with_its_answer(server: Server, status: int) -> None:
    server.answers["POST /invocations"] = Reply(status, b"could not convert string to float")
    with pytest.raises(ModelFailed) as failed:
        submit(SageMaker(Model(server.url)))
    assert failed.value.summary == f"The model answered {status}"
    assert failed.value.details == {"status": status, "answer": "could not convert string to float"}


def test_the_message_of_a_json_error_is_in_the_summary_from_both_ends(server: Server) -> None:
    server.answers["POST /invocations"] = Reply(
        400, json.dumps({"message": "Failed. " + "." * 2_500 + "No column a"}).encode()
    )
    with pytest.raises(ModelFailed) as failed:
        submit(MLflow(Model(server.url)))
    assert re.fullmatch(r"The model answered 400: Failed\. \.+ … \.+No column a", failed.value.summary)


def test_what_comes_before_an_answer_is_never_taken_for_one_nor_the_answer_for_the_next(server: Server) -> None:
    """http.client takes 103 for the answer, and would read the real one as that to the next request."""
    server.answers["POST /invocations"] = Reply(103, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n8\n9\n")
    protocol = SageMaker(Model(server.url))
    with pytest.raises(NoAnswer, match="answered 103"):
        submit(protocol)
    server.answers["POST /invocations"] = Reply(200, b"1\n2\n")
    assert submit(protocol).body == b"1\n2\n"


@pytest.mark.parametrize(("status", "error"), [(413, TooMuch), (408, TookTooLong), (504, TookTooLong), (429, TooMany)])
def test_a_batch_that_is_too_much_is_told_from_one_that_is_wrong(
    server: Server, status: int, error: type[Exception]
) -> None:
    """Of the model or of a proxy in between: less at a time may do."""
    server.answers["POST /invocations"] = Reply(status, b"too large")
    with pytest.raises(error, match=f"answered {status}: too large"):
        submit(SageMaker(Model(server.url)))


def test_a_batch_whose_answer_is_cut_short_is_silence(server: Server) -> None:
    server.answers["POST /invocations"] = Reply(200, b"1\n2", promised=10)
    with pytest.raises(NoAnswer):
        submit(SageMaker(Model(server.url)))


LINES, LINES_BATCH = opened(b'{"a": 1.0}\n\n{"a": null} \n', kind="jsonl", header=False)


@pytest.mark.parametrize(
    ("protocol", "media_type", "body"),
    [
        (SAGEMAKER, "application/jsonlines", b'{"a": 1.0}\n{"a": null}\n'),
        (MLFLOW, "application/json", b'{"dataframe_records": [{"a": 1.0}, {"a": null}]}'),
    ],
)
def test_lines_of_json_are_sent_as_the_protocol_wants_them(
    protocol: SageMaker | MLflow, media_type: str, body: bytes
) -> None:
    assert protocol.body(LINES, LINES_BATCH, LINES_BATCH.good) == (body, media_type)
