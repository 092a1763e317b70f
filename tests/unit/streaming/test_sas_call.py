"""A SAS container that is called by its model's name, as SAS's notebook calls it."""

from __future__ import annotations

import csv
import io
import json
from email import message_from_bytes
from typing import Any

import pytest

from scoring import streaming
from scoring.errors import ModelFailed, RowCountMismatch
from scoring.protocols import RowProtocol
from tests.builders import request
from tests.unit.servers import Reply, Request, Server
from tests.unit.streaming.test_streaming import begun, drop, job, published

DOCUMENT = b'id,amount,note\r\n1,10,"a, b"\r\n2,20,"two\nlines"\r\n3,30,\r\n4,40,x\r\n5,50,y\r\n'
ASKED = {"protocol": "sas", "split": "rows", "model_name": "HMEQ_Logistic"}


def records_of(asked: Request) -> list[dict[str, str]]:
    """The CSV in the part `file` of a form, as any server's own parser finds it."""
    form = message_from_bytes(b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body)
    (part,) = form.get_payload()
    assert isinstance(part, type(form))
    assert (part.get_param("name", header="content-disposition"), part.get_filename()) == ("file", "input.csv")
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def score(s3: Any, server: Server, answer: Any) -> bytes:
    server.answers["POST /HMEQ_Logistic"] = answer
    wanted, found = request(**ASKED), drop(s3, DOCUMENT)
    return published(s3, streaming.advance(job(s3, server, found, begun(s3, found, wanted), request=wanted)))


def test_each_batch_is_one_call_and_the_files_own_columns_come_back_with_what_it_answers(
    s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", 30)

    def model(asked: Request) -> Reply:
        assert asked.headers["accept"] == "application/json"
        rows = [{"EM_CLASS": "good", "P_BAD1": int(record["amount"]) / 100} for record in records_of(asked)]
        return Reply(200, json.dumps(rows).encode(), headers={"Content-Type": "application/json"})

    lines = score(s3, server, model).split(b"\r\n")
    assert lines[:3] == [
        b"id,amount,note,EM_CLASS,P_BAD1",
        b'1,10,"a, b",good,0.1',
        b'2,20,"two\nlines",good,0.2',
    ]
    assert len(lines) == 5 + 2
    assert len(server.requests) > 2
    assert {asked.path for asked in server.requests} == {"/HMEQ_Logistic"}


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ({"id": "1.2", "status": 201}, ModelFailed, "a JSON document without predictions"),
        ([{"P_BAD1": 0.5}], RowCountMismatch, "1 prediction"),
    ],
)
def test_what_an_answer_does_not_tell_is_not_guessed(
    s3: Any, server: Server, answer: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        score(s3, server, Reply(200, json.dumps(answer).encode()))
