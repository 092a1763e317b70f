"""What a SageMaker container says that it takes at most, and what it says nothing of."""

import json
from typing import Any

import pytest

from scoring import streaming
from scoring.protocols import RowProtocol, SageMaker
from scoring.protocols.model import Model
from tests.unit.protocols.test_rows import FILE
from tests.unit.servers import HangUp, Reply, Request, Server
from tests.unit.stand_ins import sagemaker
from tests.unit.streaming.test_streaming import drop, job, opened

ASKED = "GET /execution-parameters"
MOST = (RowProtocol.most_in_flight, RowProtocol.most_bytes, RowProtocol.most_records)


def told(**parameters: Any) -> Reply:
    return Reply(body=json.dumps(parameters).encode())


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        (told(MaxConcurrentTransforms=2, MaxPayloadInMB=6, BatchStrategy="MULTI_RECORD"), (2, *MOST[1:])),
        (told(MaxConcurrentTransforms=1, MaxPayloadInMB=0.25, BatchStrategy="SINGLE_RECORD"), (1, 250_000, 1)),
        (told(BatchStrategy="SingleRecord"), (*MOST[:2], 1)),
        (told(MaxConcurrentTransforms=1_000, MaxPayloadInMB=0), MOST),
        (told(MaxConcurrentTransforms=0, MaxPayloadInMB=-1, BatchStrategy=1), MOST),
        (told(MaxConcurrentTransforms="2", MaxPayloadInMB=None, BatchStrategy=["SINGLE_RECORD"]), MOST),
        (told(MaxConcurrentTransforms=True, MaxPayloadInMB=float("nan")), MOST),
        (told(MaxConcurrentTransforms=float("inf"), MaxPayloadInMB=float("-inf")), MOST),
        (told(error="no such path"), MOST),
        (Reply(body=b"[1]"), MOST),
        (Reply(body=b"<html>"), MOST),
        (Reply(404, b'{"MaxConcurrentTransforms": 1}'), MOST),
        (Reply(500), MOST),
        (Reply(502), MOST),
        (HangUp(), MOST),
    ],
)
def test_limits_that_are_told_are_kept_to_and_whatever_is_none_is_ignored(
    server: Server, answer: Any, most: tuple[int, int, int]
) -> None:
    server.answers[ASKED] = answer
    protocol = SageMaker(Model(server.url))
    protocol.open(FILE, lambda: None)
    assert (protocol.most_in_flight, protocol.most_bytes, protocol.most_records) == most


def test_a_profile_s_limits_that_are_lower_stay(server: Server) -> None:
    server.answers[ASKED] = told(MaxConcurrentTransforms=4, MaxPayloadInMB=6)
    protocol = SageMaker(Model(server.url))
    protocol.most_in_flight, protocol.most_bytes, protocol.most_records = 2, 1_000, 3
    protocol.open(FILE, lambda: None)
    assert (protocol.most_in_flight, protocol.most_bytes, protocol.most_records) == (2, 1_000, 3)


def test_a_container_of_single_records_gets_each_by_itself(s3: Any, server: Server) -> None:
    def one(asked: Request) -> Reply:
        return sagemaker(asked) if asked.body.count(b"\n") == 1 else Reply(400, b"one record, please")

    server.answers |= {"POST /invocations": one, ASKED: told(BatchStrategy="SINGLE_RECORD")}
    found = drop(s3, b"id\n" + b"".join(b"%d\n" % number for number in range(60)))
    assert streaming.advance(job(s3, server, found, opened(s3, found)))["rows"] == 60
    assert [asked.method for asked in server.requests] == ["GET", *["POST"] * 60]
