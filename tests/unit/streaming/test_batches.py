"""Batches of records on their way: several at once, in order, halved when they are too much, in any of the delimiters."""

from __future__ import annotations

import csv
import io
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dropscore.check.memory_s3 import MemoryS3
from scoring import streaming
from scoring.errors import ClusterUnreachable, ModelFailed, ModelTimeout, PodLost, RowCountMismatch
from scoring.files.dialect import RFC4180
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import Model, NoAnswer
from scoring.streaming import Progress, scorer
from tests.builders import OUTPUT_BUCKET, request
from tests.unit.servers import HangUp, Reply, Request, Server, Silence
from tests.unit.stand_ins import SasContainer, mlflow, prediction, sagemaker, sas_result
from tests.unit.streaming.test_streaming import begun, drop, job, opened, published

MANY = b"id,text\n" + b"".join(b'%d,"line\n%d"\n' % (n, n * 7) for n in range(400))


@pytest.fixture
def s3() -> MemoryS3:
    """What is between the engine and the model is asked here, in many steps."""
    return MemoryS3()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", 256)
    monkeypatch.setattr(SasRows, "most_bytes", 256)


@pytest.fixture
def whole(s3: Any, server: Server) -> bytes:
    """MANY, scored in one batch."""
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY)
    return published(s3, streaming.advance(job(s3, server, found, opened(s3, found))))


def begun_at(s3: Any, **pace: int) -> None:
    """As if an earlier step had found out how many batches the model serves at once."""
    output = request()["output"]
    begun = Progress.find(s3, output) or Progress()
    begun.pace = pace
    begun.save(s3, output)


def test_the_last_batch_is_no_single_record(s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a step begins, and whatever the size of a batch."""
    server.answers["POST /invocations"] = sagemaker
    document = b"id\n" + b"".join(b"%04d\n" % n for n in range(9))
    for size in range(10, 46, 5):
        monkeypatch.setattr(RowProtocol, "most_bytes", size)
        server.requests.clear()
        found = drop(s3, document)
        done = streaming.advance(job(s3, server, found, opened(s3, found)))
        assert done["rows"] == 9
        (last,) = (asked.body for asked in server.requests if b"0008" in asked.body)
        assert last.count(b"\n") >= 2
        s3.delete_object(Bucket=OUTPUT_BUCKET, Key=request()["output"]["progress"])


def toolkit(asked: Request) -> Reply:
    """SageMaker's own: one record is a vector, and no table."""
    rows = RFC4180.records(asked.body)
    if len(rows) == 1:
        return Reply(500, b"Expected 2D array, got 1D array instead")
    if any(row.startswith(b"bad") for row in rows):
        return Reply(500, b"could not convert string to float: 'bad'")
    return sagemaker(asked)


RECORDS = [[b"1"], [b"1", b"bad", b"3", b"4"], [b"bad", b"2"], [b"1", b"bad", b"3"], [b"bad", b"2", b"3", b"bad"]]


@pytest.mark.parametrize("records", RECORDS)
def test_a_record_that_no_server_takes_alone_is_not_bad_for_that(
    s3: Any, server: Server, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "_LEAST_PAUSE_SECONDS", 0.001)
    server.answers["POST /invocations"] = toolkit
    found, asked = drop(s3, b"a\n" + b"\n".join(records)), request(protocol="sagemaker", max_errors=["9"])
    scoring = begun(s3, found, asked)
    done = streaming.advance(job(s3, server, found, scoring, request=asked))
    assert (done["rows"], done.get("rejected", 0)) == (len(records), records.count(b"bad"))
    lines = published(s3, done).split(b"\n")[1:-1]
    for record, line in zip(records, lines, strict=True):
        assert line == record + (b",," if record == b"bad" else b",%b,%d" % (prediction(record), len(record)))


@pytest.mark.parametrize("times", [1, 3])
def test_a_500_that_passes_costs_no_file(s3: Any, server: Server, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "_LEAST_PAUSE_SECONDS", 0.001)
    left = [Reply(500, b"worker is not up yet")] * times
    server.answers["POST /invocations"] = lambda asked: left.pop() if left else sagemaker(asked)
    found = drop(s3, b"a\n1\n2\n3\n4\n")
    assert streaming.advance(job(s3, server, found, opened(s3, found)))["rows"] == 4


def test_batches_are_under_way_at_once_and_come_out_in_order(
    s3: Any, server: Server, whole: bytes, small: None
) -> None:
    """A model that answers the later of two first, and none before both are there."""
    meeting, order, first_done = threading.Barrier(2, timeout=20), threading.Lock(), threading.Event()
    turns: list[bytes] = []

    def crossed(asked: Request) -> Reply:
        with order:
            turns.append(asked.body)
            turn = len(turns)
        if turn > 6:
            return sagemaker(asked)
        meeting.wait()
        if turn % 2:
            assert first_done.wait(20)
            first_done.clear()
        else:
            first_done.set()
        return sagemaker(asked)

    server.answers["POST /invocations"] = crossed
    found = drop(s3, MANY)
    scoring = opened(s3, found)
    begun_at(s3, size=256, in_flight=2)
    done = streaming.advance(job(s3, server, found, scoring))
    assert len(turns) > 20
    assert published(s3, done) == whole


def test_a_batch_that_is_too_large_is_halved_and_its_size_remembered(
    s3: Any, server: Server, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", 2_048)
    refused: list[int] = []

    def picky(asked: Request) -> Reply:
        if len(asked.body) <= 300:
            return sagemaker(asked)
        refused.append(len(asked.body))
        return Reply(413, b"request entity too large")

    server.answers["POST /invocations"] = picky
    found = drop(s3, MANY)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done) == whole
    assert len(refused) <= 8, "it learns from what was refused"


@pytest.mark.parametrize("status", [408, 413, 504])
def test_a_record_that_is_too_much_alone_is_named_by_its_row(s3: Any, server: Server, small: None, status: int) -> None:
    def picky(asked: Request) -> Reply:
        return Reply(status, b"too large") if b"X" in asked.body else sagemaker(asked)

    server.answers["POST /invocations"] = picky
    rows = [b'%d,"a\nb"\n' % n for n in range(1, 100)]
    rows[76] = b'77,"X"\n'
    found = drop(s3, b"id,text\n" + b"\n".join(rows))
    with pytest.raises(ModelFailed, match=f"Record 77 alone is too much for the model: it answered {status}") as failed:
        streaming.advance(job(s3, server, found, opened(s3, found)))
    assert failed.value.remedy == "Shorten this record, or raise the limit of the model or of the route to it."


def test_the_row_is_that_of_the_file_after_many_steps(s3: Any, server: Server, small: None) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY.replace(b"300,", b"X300,"))
    end = len(server.requests) + 5
    scoring = streaming.advance(
        job(s3, server, found, opened(s3, found), seconds_left=lambda: 900.0 if len(server.requests) < end else 30.0)
    )
    assert scoring["status"] == "RUNNING"
    server.answers["POST /invocations"] = lambda asked: Reply(413) if b"X" in asked.body else sagemaker(asked)
    with pytest.raises(ModelFailed, match="Record 301 alone"):
        streaming.advance(job(s3, server, found, scoring))


def test_a_connection_that_breaks_once_is_made_good(s3: Any, server: Server, whole: bytes) -> None:
    sent: list[bytes] = []

    def breaks(asked: Request) -> Reply:
        sent.append(asked.body)
        if len(sent) == 1:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = breaks
    found = drop(s3, MANY)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done) == whole
    assert sent[0] == sent[1], "once is no matter of size"


@pytest.mark.parametrize("answer", [Reply(503), Reply(502), HangUp()])
def test_a_route_that_is_away_for_a_while_costs_no_file(
    s3: Any, server: Server, whole: bytes, answer: Reply | HangUp
) -> None:
    """A gateway is configured anew, a name is not found for a moment."""
    times = iter(range(8))

    def away(asked: Request) -> Reply:
        if next(times, None) is None:
            return sagemaker(asked)
        if isinstance(answer, HangUp):
            raise answer
        return answer

    server.answers["POST /invocations"] = away
    found = drop(s3, MANY)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done) == whole


def test_what_became_of_the_pod_is_told_without_further_tries(s3: Any, server: Server) -> None:
    def lost() -> None:
        raise PodLost("The node is gone.")

    server.answers["POST /invocations"] = HangUp()
    found = drop(s3, MANY)
    with pytest.raises(PodLost, match="The node is gone"):
        streaming.advance(job(s3, server, found, opened(s3, found), check_pod=lost))
    assert len(server.posted) == 1


def test_what_was_scored_before_the_model_fell_silent_is_kept(s3: Any, server: Server, small: None) -> None:
    def dies(asked: Request) -> Reply:
        if asked.body.startswith(b"3"):
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = dies
    found = drop(s3, MANY)
    with pytest.raises(NoAnswer):
        streaming.advance(job(s3, server, found, opened(s3, found)))
    kept = Progress.load(s3, request()["output"])
    assert kept.rows >= 3
    assert len(kept.tail) == kept.written > 0


def test_a_time_out_of_a_moment_leaves_the_batches_as_they_were(s3: Any, server: Server, whole: bytes) -> None:
    gone = iter(range(4))

    def for_a_moment(asked: Request) -> Reply:
        return sagemaker(asked) if next(gone, None) is None else Reply(504)

    server.answers["POST /invocations"] = for_a_moment
    long = b"id,text\n" + b"7,abcdefgh\n" * 200_000
    found = drop(s3, long)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert done["rows"] == 200_000
    largest = max(len(asked.body) for asked in server.requests)
    assert largest > 100_000
    assert len(server.requests) < 200


def until(server: Server, requests: int) -> Callable[[], float]:
    """The time of a function that is over after so many requests more, whatever they were for."""
    end = len(server.requests) + requests
    return lambda: 900.0 if len(server.requests) < end else 0.0


def test_a_step_that_runs_out_of_time_in_trouble_leaves_less_for_the_next_to_try(s3: Any, server: Server) -> None:
    """Or each step would begin with what does not get through, and end before it has found what does."""

    def stuck(asked: Request) -> Reply:
        return sagemaker(asked) if len(asked.body) <= 40 else Reply(504)

    server.answers["POST /invocations"] = stuck
    found = drop(s3, MANY)
    scoring, steps = opened(s3, found), 0
    while scoring.get("status") != "DONE" and steps < 500:
        scoring = streaming.advance(job(s3, server, found, scoring, seconds_left=until(server, 8)))
        steps += 1
    assert scoring["status"] == "DONE"


def test_a_cluster_that_cannot_be_asked_ends_no_step(s3: Any, server: Server, whole: bytes) -> None:
    def away() -> None:
        raise ClusterUnreachable("The API server is away.")

    times = iter(range(3))
    server.answers["POST /invocations"] = lambda asked: sagemaker(asked) if next(times, None) is None else Reply(503)
    found = drop(s3, MANY)
    assert published(s3, streaming.advance(job(s3, server, found, opened(s3, found), check_pod=away))) == whole


def test_a_step_ends_with_its_time_however_many_halves_are_left(s3: Any, server: Server) -> None:
    """Or the function is killed, and forgets what size the model takes."""
    left = iter([900.0, 900.0, *(600.0 - 60 * n for n in range(10))])

    def picky(asked: Request) -> Reply:
        return sagemaker(asked) if asked.body.count(b"\n") <= 2 else Reply(413)

    server.answers["POST /invocations"] = picky
    found = drop(s3, MANY)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found), seconds_left=lambda: next(left, 0.0)))
    assert scoring["status"] == "RUNNING"
    assert len(server.requests) < 20
    assert Progress.load(s3, request()["output"]).pace["size"] < 100


def test_halves_of_a_batch_have_the_same_columns(s3: Any, server: Server) -> None:
    def changing(asked: Request) -> Reply:
        rows = asked.body.count(b"\n")
        return Reply(413) if rows > 2 else Reply(body=(b"1\n" if asked.body.startswith(b"1") else b"1,2\n") * rows)

    server.answers["POST /invocations"] = changing
    found = drop(s3, b"id\n1\n1\n3\n4\n")
    with pytest.raises(ModelFailed, match="other columns than those before, for row 3 alone"):
        streaming.advance(job(s3, server, found, opened(s3, found)))


def test_a_time_out_that_comes_from_a_queue_condemns_no_record(s3: Any, server: Server) -> None:
    """A proxy gives up, but the model works on at what was sent before."""
    busy = iter(range(9))

    def queueing(asked: Request) -> Reply:
        return sagemaker(asked) if next(busy, None) is None else Reply(504)

    server.answers["POST /invocations"] = queueing
    found = drop(s3, b"id\n1\n2\n")
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done).count(b"\n") == 3


def test_a_single_record_whose_connection_breaks_is_tried_once_more(s3: Any, server: Server) -> None:
    answers = iter([HangUp(), None])

    def breaks(asked: Request) -> Reply:
        if error := next(answers):
            raise error
        return sagemaker(asked)

    server.answers["POST /invocations"] = breaks
    found = drop(s3, b"id\n1\n")
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done) == b"id,prediction_0,prediction_1\n1,%b,1\n" % prediction(b"1")


def test_a_model_that_is_gone_is_no_answer_at_once(s3: Any, server: Server) -> None:
    found = drop(s3, MANY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = Model(f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(NoAnswer, match="took no connection") as silence:
        streaming.advance(job(s3, server, found, opened(s3, found), model=gone))
    assert "alone" not in silence.value.summary, "no batch is to blame"


def test_a_route_that_hangs_up_on_what_is_too_large_gets_as_little_as_it_takes(
    s3: Any, server: Server, whole: bytes
) -> None:
    def picky(asked: Request) -> Reply:
        if len(asked.body) > 300:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = picky
    found = drop(s3, MANY)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert published(s3, done) == whole


def test_a_record_that_makes_the_model_hang_up_is_named(s3: Any, server: Server, small: None) -> None:
    def dies(asked: Request) -> Reply:
        if b"\n77," in b"\n" + asked.body:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = dies
    found = drop(s3, MANY)
    with pytest.raises(NoAnswer, match=r"closed the connection .* It was sent record 78 alone\."):
        streaming.advance(job(s3, server, found, opened(s3, found)))


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(429, b"slow down", {"Retry-After": "0"}),
        Reply(429, b"slow down", {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        Reply(503, b"queue is full", {"Retry-After": "0"}),
    ],
)
def test_a_model_that_has_enough_requests_gets_fewer_and_none_of_them_smaller(
    s3: Any, server: Server, whole: bytes, small: None, refusal: Reply
) -> None:
    alone, enough = threading.Lock(), threading.Event()
    refused, taken = list[bytes](), list[bytes]()

    def one_at_a_time(asked: Request) -> Reply:
        if not alone.acquire(blocking=False):
            refused.append(asked.body)
            if len(refused) >= 3:
                enough.set()
            return refusal
        try:
            assert enough.wait(20)
            taken.append(asked.body)
            return sagemaker(asked)
        finally:
            alone.release()

    server.answers["POST /invocations"] = one_at_a_time
    found = drop(s3, MANY)
    scoring = opened(s3, found)
    begun_at(s3, size=256, in_flight=4)
    done = streaming.advance(job(s3, server, found, scoring))
    assert published(s3, done) == whole
    assert set(refused) <= set(taken), "the same batches again, not their halves"
    assert len(refused) < 20 < len(taken), "soon they come one after the other"


def test_a_model_that_wants_a_long_rest_is_not_waited_for_by_a_lambda(s3: Any, server: Server, whole: bytes) -> None:
    server.answers["POST /invocations"] = Reply(429, headers={"Retry-After": "120"})
    found = drop(s3, MANY)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert (scoring["status"], scoring["wait_seconds"]) == ("RUNNING", 120)
    server.answers["POST /invocations"] = Reply(429, headers={"Retry-After": "86400"})
    scoring = streaming.advance(job(s3, server, found, scoring))
    assert (scoring["status"], scoring["wait_seconds"]) == ("RUNNING", 300)
    server.answers["POST /invocations"] = sagemaker
    assert published(s3, streaming.advance(job(s3, server, found, scoring))) == whole


def test_a_batch_that_waits_does_not_hold_up_the_failure_of_another(s3: Any, server: Server, small: None) -> None:
    waiting = threading.Event()

    def answer(asked: Request) -> Reply:
        if asked.body.startswith(b"0,"):
            assert waiting.wait(20)
            return Reply(500, b"no such column")
        waiting.set()
        return Reply(429, headers={"Retry-After": "29"})

    server.answers["POST /invocations"] = answer
    found = drop(s3, MANY)
    scoring = opened(s3, found)
    begun_at(s3, size=256, in_flight=2)
    began = time.monotonic()
    with pytest.raises(ModelFailed, match="answered 500"):
        streaming.advance(job(s3, server, found, scoring))
    assert time.monotonic() - began < 20, "or it has waited for the other's rest"


def test_a_record_larger_than_a_batch_goes_alone_and_whole(s3: Any, server: Server, small: None) -> None:
    server.answers["POST /invocations"] = sagemaker
    long = b'2,"' + b"x\n" * 1_000 + b'"'
    found = drop(s3, b"id,text\n1,a\n" + long + b"\n3,c\n4,d\n")
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert long + b"\n" in [asked.body for asked in server.requests]
    body = published(s3, done)
    assert done["rows"] == 4
    assert long + b",%b,%d\n" % (prediction(long), len(long)) in body


DELIMITED = b'id;"a;b";amount\r\n1;"x;y";1,5\r\n2;"say ""z""";2,5\r\n3;"a\r\nb";3'


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("protocol", ["sagemaker", "mlflow"])
def test_the_delimiter_of_the_file_is_that_of_the_outcome(
    s3: Any, server: Server, small: None, delimiter: str, protocol: str
) -> None:
    """Though the model answers with commas, and with fields that hold the delimiter."""

    def answer(asked: Request) -> Reply:
        return sagemaker(asked) if protocol == "sagemaker" else mlflow(asked)

    server.answers["POST /invocations"] = answer
    document = DELIMITED.replace(b";", delimiter.encode())
    found = drop(s3, document)
    asked = request(protocol=protocol, format={"delimiter": delimiter})
    done = streaming.advance(job(s3, server, found, opened(s3, found), request=asked))
    text = published(s3, done).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    assert header[:3] == ["id", f"a{delimiter}b", "amount"]
    assert [row[:3] for row in rows] == [
        ["1", f"x{delimiter}y", "1,5"],
        ["2", 'say "z"', "2,5"],
        ["3", "a\r\nb", "3"],
    ]
    assert {len(row) for row in rows} == {len(header)} == {5}
    for line in document.split(b"\r\n", 1)[1].replace(b"\r\n2", b"\0002").replace(b"\r\n3", b"\0003").split(b"\0"):
        assert line in text.encode(), "no byte of the file is changed"


def test_a_model_that_answers_with_the_delimiter_in_a_field_is_quoted(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = Reply(body=b'yes; sure,"a,b"\n"no",c\n')
    found = drop(s3, b"id;x\n1;2\n3;4\n")
    asked = request(protocol="sagemaker", format={"delimiter": ";"})
    done = streaming.advance(job(s3, server, found, opened(s3, found), request=asked))
    assert published(s3, done) == b'id;x;prediction_0;prediction_1\n1;2;"yes; sure";"a,b"\n3;4;"no";c\n'


def sas_rows(s3: Any, server: Server, document: bytes, **changes: Any) -> streaming.Job:
    found = drop(s3, document)
    asked = request(protocol="sas", split="rows")
    return job(s3, server, found, opened(s3, found), **{"request": asked} | changes)


def test_a_sas_container_gets_batches_and_its_header_comes_once(s3: Any, server: Server, small: None) -> None:
    SasContainer(server)
    done = streaming.advance(sas_rows(s3, server, MANY))
    assert sum(asked.method == "POST" for asked in server.requests) > 10
    assert published(s3, done) == sas_result(MANY)
    assert done["rows"] == 400


def test_a_sas_container_that_refuses_a_batch_for_its_size_gets_halves(s3: Any, server: Server) -> None:
    container = SasContainer(server)
    execute = server.answers["POST"]
    assert callable(execute)

    def picky(asked: Request) -> Reply:
        return execute(asked) if len(asked.body) < 1_000 else Reply(413)

    server.answers["POST"] = picky
    done = streaming.advance(sas_rows(s3, server, MANY))
    assert len(container.results) > 4
    assert published(s3, done) == sas_result(MANY)


def test_a_sas_script_that_loses_a_row_of_a_batch_is_never_published(s3: Any, server: Server) -> None:
    container = SasContainer(server)
    query = server.answers["GET"]
    assert callable(query)

    def loses(asked: Request) -> Reply:
        container.results = {name: re.sub(rb"\r\n1,[^\r]*", b"", body) for name, body in container.results.items()}
        return query(asked)

    server.answers["GET"] = loses
    with pytest.raises(RowCountMismatch, match=r"The model answered [01] rows to [12] records, for row"):
        streaming.advance(sas_rows(s3, server, b"id,n\n0,0\n1,1\n2,2\n"))


def test_a_sas_container_too_slow_for_one_function_ends_the_step_and_not_the_file(s3: Any, server: Server) -> None:
    server.answers["POST"] = Silence()
    left = iter([900.0])
    scoring = streaming.advance(sas_rows(s3, server, MANY, seconds_left=lambda: next(left, 21.0)))
    assert scoring["status"] == "RUNNING"
    size = Progress.load(s3, request()["output"]).pace["size"]
    assert size < len(MANY)
    server.answers["POST"] = Silence()
    found = drop(s3, MANY)
    with pytest.raises(ModelTimeout, match="held the request open") as out_of_time:
        streaming.advance(
            job(s3, server, found, opened(s3, found), request=request(protocol="sas"), seconds_left=lambda: 21.0)
        )
    assert "split=rows" in out_of_time.value.remedy, "the remedy of a whole file"


def test_a_batch_holds_no_more_records_than_memory_should(
    s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of short records it is their number that counts."""
    monkeypatch.setattr(RowProtocol, "most_records", 100)
    monkeypatch.setattr(RowProtocol, "most_bytes", 10_000)
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, b"n\n" + b"7\n" * 20_000)
    done = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert done["rows"] == 20_000
    counts = sorted(len(asked.body) // 2 for asked in server.posted)
    assert counts[-1] == 100
    assert set(counts[2:]) == {100}, "but the first, whose records might have had a byte each, and the last"


@pytest.mark.parametrize(
    ("limit", "most", "size"),
    [("max_batch_bytes", 200, len), ("max_batch_records", 5, lambda body: len(RFC4180.records(body)))],
)
def test_a_profile_lowers_what_one_request_has_and_changes_no_result(
    s3: Any, server: Server, whole: bytes, limit: str, most: int, size: Callable[[bytes], int]
) -> None:
    server.answers["POST /invocations"] = sagemaker
    found, asked_before = drop(s3, MANY), len(server.requests)
    scoring = opened(s3, found)
    begun_at(s3, size=10_000)
    asked = request(protocol="sagemaker", limits={limit: most})
    assert published(s3, streaming.advance(job(s3, server, found, scoring, request=asked))) == whole
    assert most * 0.8 < max(size(sent.body) for sent in server.requests[asked_before:]) <= most


def test_a_profile_lowers_how_many_batches_are_under_way(s3: Any, server: Server) -> None:
    another, alone = threading.Event(), []

    def first_alone(asked: Request) -> Reply:
        if alone:
            another.set()
        else:
            alone.append(asked)
            # One more would come at once, and not only when this one is answered.
            alone.append(not another.wait(1.0))
        return sagemaker(asked)

    server.answers["POST /invocations"] = first_alone
    found = drop(s3, MANY)
    scoring = opened(s3, found)
    begun_at(s3, size=256, in_flight=8)
    asked = request(protocol="sagemaker", limits={"max_in_flight": 1})
    assert streaming.advance(job(s3, server, found, scoring, request=asked))["rows"] == 400
    assert alone[1] is True
    assert another.is_set()


def test_a_profile_raises_nothing(s3: Any, server: Server, small: None) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY)
    asked = request(protocol="sagemaker", limits={"max_batch_bytes": 1 << 20})
    streaming.advance(job(s3, server, found, opened(s3, found), request=asked))
    assert max(len(sent.body) for sent in server.requests) <= 256


def test_a_model_that_takes_one_record_a_request_gets_no_more(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, b"n\n" + b"7\n" * 300)
    asked = request(protocol="sagemaker", limits={"max_batch_records": 1})
    done = streaming.advance(job(s3, server, found, opened(s3, found), request=asked))
    assert published(s3, done).splitlines()[1:] == [b"7," + prediction(b"7") + b",1"] * 300
    assert {sent.body for sent in server.posted} == {b"7\n"}
