"""Models that stumble, limit or change in mid-file: no healthy record is blamed, no row gets another's, no work is repeated."""

from __future__ import annotations

import json
import threading
from itertools import count
from typing import Any

import pytest

from dropscore.check.memory_s3 import MemoryS3
from scoring import streaming
from scoring.errors import ModelFailed
from scoring.files.dialect import RFC4180
from scoring.files.formats import Batch, Format
from scoring.protocols import RowProtocol, SasRows
from scoring.protocols.model import Answer, NoAnswer, TooMuch
from scoring.streaming import scorer
from scoring.streaming.concurrency import Concurrency
from tests.builders import request
from tests.unit.servers import HangUp, Reply, Request, Server
from tests.unit.stand_ins import prediction, sagemaker
from tests.unit.streaming.test_streaming import begun, drop, job, published


def scored(s3: Any, server: Server, document: bytes, **asked: Any) -> tuple[bytes, dict[str, Any]]:
    """The scored file, and what is known of it."""
    wanted = request(**({"protocol": "sagemaker"} | asked))
    found = drop(s3, document)
    done = begun(s3, found, wanted)
    while done.get("status") != "DONE":
        done = streaming.advance(job(s3, server, found, done, request=wanted))
    return published(s3, done), done


@pytest.fixture
def s3() -> MemoryS3:
    """What is between the engine and the model is asked here, in many steps."""
    return MemoryS3()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "_LEAST_PAUSE_SECONDS", 0.01)


def test_no_batch_is_read_by_other_columns_than_the_first(s3: Any, server: Server) -> None:
    """The first answer is taken apart while the second comes: it, too, is held against the first one's columns."""
    columns, numbers = [f"c{number}" for number in range(30)], count()

    def answer(asked: Request) -> Reply:
        if not next(numbers):
            # Whoever comes second would be the first then.
            return Reply(429, b"busy")
        rows = [row.decode() for row in RFC4180.records(asked.body)[1:]]
        names = columns if rows[0] == "0" else [*columns[1:], "another"]
        return Reply(body=json.dumps({"predictions": [{name: name + row for name in names} for row in rows]}).encode())

    server.answers["POST /invocations"] = answer
    with pytest.raises(ModelFailed, match="other columns than those before"):
        scored(s3, server, b"id\n" + b"".join(b"%d\n" % n for n in range(5_000)), protocol="mlflow")


def test_no_record_comes_before_the_header(s3: Any, server: Server) -> None:
    """Those without a prediction wait for the first one that has one, also behind a block of blank lines."""
    server.answers["POST /invocations"] = sagemaker
    document = b"a,b\n" + b"1,2,3\n" * 3_000 + b"\n" * 40_000 + b"4,5\n6,7\n" * 10
    output, done = scored(s3, server, document, max_errors=["9000"])
    assert output.startswith(b"a,b,prediction_0,prediction_1\n")
    assert (done["rows"], done["rejected"]) == (3_020, 3_000)


def test_rows_of_a_script_that_gives_any_number_stay_in_their_order(
    s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is too much comes in halves, of which one may have as many rows as it had records."""

    def submit(_: SasRows, file: Format, batch: Batch, places: range, seconds: float) -> Answer:
        if len(places) > 2:
            raise TooMuch("it answered 413")
        rows = [(batch.records()[place] + b",p\n") * (3 if place < 2 else 1) for place in places]
        return Answer(200, b"a,b,p\n" + b"".join(rows), media_type="text/csv")

    monkeypatch.setattr(SasRows, "submit", submit)
    output, _ = scored(s3, server, b"a,b\n0,1\n1,1\n2,1\n3,1\n", protocol="sas", split="rows", rows="any")
    assert output == b"a,b,p\n" + b"0,1,p\n" * 3 + b"1,1,p\n" * 3 + b"2,1,p\n3,1,p\n"


@pytest.mark.parametrize("stumbles", range(1, 9))
def test_a_model_that_stumbles_for_a_moment_costs_no_record(s3: Any, server: Server, stumbles: int) -> None:
    """The record that was sent just then is asked for again, once the model has taken another one."""
    left = iter(range(stumbles))

    def stumbling(asked: Request) -> Reply:
        return sagemaker(asked) if next(left, None) is None else Reply(500, b"a worker is starting")

    server.answers["POST /invocations"] = stumbling
    _, done = scored(s3, server, b"a,b\n" + b"".join(b"%d,5\n" % n for n in range(36, 44)), max_errors=["9"])
    assert "rejected" not in done


def test_a_model_of_single_records_that_stumbles_costs_no_record(s3: Any, server: Server) -> None:
    """It is never asked for two."""
    numbers = count(1)

    def answer(asked: Request) -> Reply:
        rows = RFC4180.records(asked.body)
        if next(numbers) == 3:
            return Reply(500, b"stumbled")
        return Reply(body=prediction(rows[0]) + b"\n") if len(rows) == 1 else Reply(400, b"one record only")

    server.answers["POST /invocations"] = answer
    server.answers["GET /execution-parameters"] = Reply(body=b'{"BatchStrategy": "SINGLE_RECORD"}')
    _, done = scored(s3, server, b"a,b\n" + b"".join(b"%d,5\n" % n for n in range(20)), max_errors=["9"])
    assert "rejected" not in done
    assert {len(RFC4180.records(asked.body)) for asked in server.posted} == {1}


def test_a_record_that_is_too_long_does_not_make_batches_small(s3: Any, server: Server) -> None:
    """As where a model limits the tokens of a text: it is that record's matter."""

    def answer(asked: Request) -> Reply:
        if any(len(record) > 1_000 for record in RFC4180.records(asked.body)):
            return Reply(413, b"too long")
        return sagemaker(asked)

    server.answers["POST /invocations"] = answer
    texts = (b"x" * (3_000 if number == 4_000 else 20) for number in range(9_000))
    document = b"a,b\n" + b"".join(b"%d,%b\n" % pair for pair in enumerate(texts))
    _, done = scored(s3, server, document, max_errors=["9"])
    assert done["rejected"] == 1
    assert len(server.posted) < 250


@pytest.mark.parametrize("limit", [413, 504])
@pytest.mark.parametrize("refusal", [400, 500])
def test_a_record_that_is_refused_alone_and_is_too_much_twice_is_told_by_its_refusal(
    s3: Any, server: Server, refusal: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice it goes for the sake of servers that take no single record: what is wrong with it is said already."""
    monkeypatch.setattr(scorer, "_PATIENCE_FOR_ONE_RECORD_SECONDS", 0.1)

    def answer(asked: Request) -> Reply:
        if len(asked.body) > 1_000:
            return Reply(limit, b"too large")
        return Reply(refusal, b"no such branch") if b"bad" in asked.body else sagemaker(asked)

    server.answers["POST /invocations"] = answer
    document = b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(9)) + b"9," + b"bad" * 200 + b"\n10,x\n"
    with pytest.raises(ModelFailed) as failed:
        scored(s3, server, document)
    assert failed.value.summary == f"The model answered {refusal}, for row 10 alone."
    assert failed.value.details["answer"] == "no such branch"


def test_no_record_is_blamed_where_another_is_refused_alone_and_too_much_twice(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = lambda asked: (
        Reply(413) if len(asked.body) > 6 else Reply(500, b"no such model")
    )
    with pytest.raises(NoAnswer, match="answered 500 to rows 1 and 4, each alone"):
        scored(s3, server, b"a,b\n1,xx\n2,xx\n3,xx\n4,xx\n", max_errors=["9"])


@pytest.mark.parametrize("stumbles", [1, 3])
def test_a_500_that_passes_leaves_the_batches_as_large_as_they_were(
    s3: Any, server: Server, stumbles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All went well in halves, but as a whole it does now as well."""
    monkeypatch.setattr(RowProtocol, "most_bytes", 4_096)
    numbers, small = count(), list[int]()

    def stumbling(asked: Request) -> Reply:
        if len(asked.body) < 3_000:
            small.append(len(asked.body))
        return Reply(500, b"a worker is starting") if 10 <= next(numbers) < 10 + stumbles else sagemaker(asked)

    server.answers["POST /invocations"] = stumbling
    document = b"a,b\n" + b"".join(b"%05d,%b\n" % (n, b"x" * 90) for n in range(4_000))
    output, _ = scored(s3, server, document)
    assert output.count(b"\n") == 4_001
    # A half may stumble, too. Were batches smaller from then on, there would be some 200.
    assert 2 <= len(small) <= 4 * stumbles + 1, "those in halves, and the last of the file"


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_that_refuses_what_is_too_large_as_if_it_were_wrong_gets_as_little_as_it_takes(
    s3: Any, server: Server, status: int
) -> None:
    """However much less than the first batch that is."""
    refused = list[int]()

    def picky(asked: Request) -> Reply:
        if len(asked.body) <= 300:
            return sagemaker(asked)
        refused.append(len(asked.body))
        return Reply(status, b"too many rows")

    server.answers["POST /invocations"] = picky
    document = b"a,b\n" + b"".join(b"%05d,x\n" % n for n in range(20_000))
    output, _ = scored(s3, server, document)
    assert output.count(b"\n") == 20_001
    # The whole of the first batch, its halves and their halves, each once, and then what is tried now and then.
    assert len(refused) < 2 * (16 << 10) / 300 + 20


def test_an_outage_does_not_make_batches_small_for_good(s3: Any, server: Server) -> None:
    down = iter(range(16))
    began = threading.Event()

    def answer(asked: Request) -> Reply:
        if b"8000,x" in asked.body:
            began.set()
        if began.is_set() and next(down, None) is not None:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = answer
    output, _ = scored(s3, server, b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(20_000)))
    assert output.count(b"\n") == 20_001
    assert len(server.posted) < 150


def test_what_is_done_is_kept_when_a_model_fails(s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 after many batches is no loading: who asks finds that records were scored."""
    monkeypatch.setattr(RowProtocol, "most_bytes", 2_000)
    numbers = count()
    server.answers["POST /invocations"] = lambda asked: (
        sagemaker(asked) if next(numbers) < 30 else Reply(404, b"no such route")
    )
    server.answers["GET /ping"] = Reply()
    wanted = request(protocol="sagemaker")
    found = drop(s3, b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(9_000)))
    scoring = begun(s3, found, wanted)
    under_way = job(s3, server, found, scoring, request=wanted)
    with pytest.raises(ModelFailed) as failed:
        streaming.advance(under_way)
    assert streaming.Progress.load(s3, wanted["output"]).rows > 0
    assert streaming.loading(under_way, failed.value) is None


def test_a_thread_that_is_throttled_meanwhile_leaves_one_in_flight() -> None:
    """Or nobody would have a turn any more."""
    concurrency = Concurrency(8)
    concurrency.resume(2)

    class Rate(float):
        def __mul__(self, gain: float) -> float:
            concurrency.throttled()
            concurrency.throttled()
            return float(self) * gain

    concurrency._tried, concurrency._rate = 1, Rate(100)
    concurrency._judge(1.0)
    assert concurrency.in_flight == 1
