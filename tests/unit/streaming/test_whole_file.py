"""The whole of stream_file with a container that takes the whole file."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scoring import streaming
from scoring.errors import AwsThrottled, EmptyFile, InvalidFile, ModelFailed, ModelTimeout, RowCountMismatch
from scoring.files import objects
from scoring.protocols import model as model_module
from scoring.protocols.model import NoAnswer
from scoring.streaming import progress, whole_file
from tests.builders import request
from tests.unit.servers import HangUp, Reply, Request, Server, Silence
from tests.unit.stand_ins import SasContainer, sas_result
from tests.unit.streaming.test_streaming import drop, job, opened, published

FILE = b'id,text\n1,"a\nb"\n2,c\n'
SCORED = b'id,text,p\n1,"a\nb",0.5\n2,c,0.25\n'
WELL = Reply(200, b"Scoring...\nCompleted!\n")
WORKING = Reply(200, b"Scoring...\n")


@pytest.fixture
def container(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A container that has scored as soon as it has answered."""
    monkeypatch.setattr(whole_file, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(whole_file, "_POLL_PAUSE_SECONDS", 0.0)
    server.answers["POST /executions"] = Reply(201, b'{"id": "7.1"}')
    server.answers["GET /query/7.1/log"] = WELL
    server.answers["GET /query/7.1"] = Reply(200, SCORED)
    return server


def sas(s3: Any, container: Server, scoring: dict[str, Any] | None = None, **changes: Any) -> streaming.Job:
    found = drop(s3, FILE)
    asked = request(protocol="sas")
    return job(s3, container, found, scoring or opened(s3, found), **{"request": asked} | changes)


def posts(container: Server) -> list[Request]:
    return [request for request in container.requests if request.method == "POST"]


def test_a_file_goes_in_whole_and_comes_out_whole(s3: Any, container: Server) -> None:
    scoring = streaming.advance(sas(s3, container))
    assert (scoring["status"], scoring["rows"], scoring["bytes"]) == ("DONE", 2, len(SCORED))
    assert FILE in posts(container)[0].body
    assert published(s3, scoring) == SCORED


@pytest.mark.parametrize("wrong", [b"id,text\n1,\xe9\n", b"id,text\n1,a\xc3"])
def test_a_file_that_is_not_utf_8_is_told_from_which_byte_on(
    s3: Any, container: Server, monkeypatch: pytest.MonkeyPatch, wrong: bytes
) -> None:
    """Also where a character is cut off by the end of the file."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 4)
    found = drop(s3, wrong)
    place = wrong.index(max(wrong))
    with pytest.raises(InvalidFile, match=f"not UTF-8: byte {place}, in or after row 1"):
        streaming.advance(job(s3, container, found, opened(s3, found), request=request(protocol="sas")))


def test_whoever_looks_learns_that_the_model_works_on_the_file(
    s3: Any, container: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script may take minutes, for which the request is held open."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 10)
    monkeypatch.setattr(whole_file, "_SAVE_SECONDS", 0.0)
    sent, write = list[int](), streaming.Progress.write

    def written(progress: streaming.Progress, *where: Any) -> bool:
        sent.append(progress.sent)
        return write(progress, *where)

    def works(asked: Request) -> Reply:
        wait_for(lambda: streaming.Progress.load(s3, request()["output"]).sent == len(FILE))
        return Reply(201, b'{"id": "7.1"}')

    container.answers["POST /executions"] = works
    scoring = opened(s3, found := drop(s3, FILE))
    monkeypatch.setattr(streaming.Progress, "write", written)
    done = streaming.advance(job(s3, container, found, scoring, request=request(protocol="sas")))
    assert sent[:2] == [10, len(FILE)]
    assert published(s3, done) == SCORED


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is sent is written down after each chunk."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 10)
    monkeypatch.setattr(whole_file, "_SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("noted")
def test_a_file_goes_on_to_the_model_while_s3_takes_its_time_or_no_record_at_all(
    s3: Any, container: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each would cost the model's work so far, and the next function would have to send it all again."""
    arrived, in_time, write = threading.Event(), list[bool](), streaming.Progress.write

    def works(asked: Request) -> Reply:
        arrived.set()
        return Reply(201, b'{"id": "7.1"}')

    def slow(progress: streaming.Progress, *where: Any) -> bool:
        if progress.execution:
            return write(progress, *where)
        in_time.append(arrived.wait(5))
        raise AwsThrottled("Please reduce your request rate.")

    container.answers["POST /executions"] = works
    given = sas(s3, container)
    monkeypatch.setattr(streaming.Progress, "write", slow)
    assert published(s3, streaming.advance(given)) == SCORED
    assert in_time
    assert all(in_time)
    assert len(posts(container)) == 1


@pytest.mark.usefixtures("noted")
def test_whoever_finds_another_function_at_work_on_its_attempt_stops(
    s3: Any, container: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, read = request()["output"], objects.read

    def while_another_begins(*which: Any) -> Iterator[bytes]:
        other = streaming.Progress.load(s3, output)
        other.execution = {"id": "another's"}
        other.save(s3, output)
        yield from read(*which)

    monkeypatch.setattr(objects, "read", while_another_begins)
    with pytest.raises(AwsThrottled, match="Another function is at work"):
        streaming.advance(sas(s3, container))
    assert streaming.Progress.load(s3, output).execution == {"id": "another's"}


def test_whoever_finds_its_attempt_torn_down_is_told_so_at_the_next_note(s3: Any) -> None:
    output, record = request()["output"], streaming.Progress(sent=1)
    record.save(s3, output)
    progress.forget(s3, output)
    with progress.Notes(s3, output, record) as notes:
        notes.save()
        with pytest.raises(AwsThrottled, match="or it was torn down"):
            notes.settle()
        with pytest.raises(AwsThrottled, match="or it was torn down"):
            notes.save()
    assert progress.Progress.find(s3, output) is None


def test_a_record_whose_answer_came_too_late_is_no_other_functions(s3: Any) -> None:
    """The client has written it a second time, and S3 refuses that."""
    output = request()["output"]
    first = streaming.Progress(sent=1)
    first.save(s3, output)
    before = first.etag
    first.sent = 2
    first.save(s3, output)
    assert streaming.Progress(sent=2, etag=before).write(s3, output) is True
    assert streaming.Progress(sent=3, etag=before).write(s3, output) is False


def test_a_container_that_works_on_is_asked_again_and_not_sent_the_file_again(s3: Any, container: Server) -> None:
    container.answers["GET /query/7.1/log"] = WORKING
    running = streaming.advance(sas(s3, container))
    assert (running["status"], running["wait_seconds"]) == ("RUNNING", 5)
    assert streaming.advance(sas(s3, container, running))["status"] == "RUNNING"
    container.answers["GET /query/7.1/log"] = WELL
    done = streaming.advance(sas(s3, container, running))
    assert len(posts(container)) == 1
    assert published(s3, done) == SCORED


def test_a_fresh_pod_is_sent_the_file_again(s3: Any, container: Server) -> None:
    """The execution lived in the memory of the pod that was lost."""
    container.answers["GET /query/7.1/log"] = WORKING
    running = streaming.advance(sas(s3, container))
    container.answers["POST /executions"] = Reply(201, b'{"id": "8.2"}')
    container.answers["GET /query/8.2/log"], container.answers["GET /query/8.2"] = WELL, Reply(200, SCORED)
    done = streaming.advance(sas(s3, container, running, pod_uid="uid-2"))
    assert len(posts(container)) == 2
    assert published(s3, done) == SCORED


@pytest.mark.parametrize("result", [SCORED[:-9], SCORED + b"3,d,1\n", b"id,text,p\n", b""])
def test_a_result_of_more_or_fewer_rows_is_never_published(s3: Any, container: Server, result: bytes) -> None:
    """A script that ends half way leaves a truncated result that answers 200."""
    container.answers["GET /query/7.1"] = Reply(200, result)
    with pytest.raises(RowCountMismatch, match=r"The model answered \d rows to 2 records"):
        streaming.advance(sas(s3, container))


def test_a_script_that_raised_is_a_failure_at_once(s3: Any, container: Server) -> None:
    log = b"Scoring...\nTraceback (most recent call last):\nKeyError: 'rate'\nCompleted!\n"
    container.answers["GET /query/7.1/log"] = Reply(200, log)
    with pytest.raises(ModelFailed, match="KeyError: 'rate'"):
        streaming.advance(sas(s3, container))
    assert len(container.requests) == 2, "asked once, not for ever"


def test_a_container_that_holds_the_request_open_too_long_is_told_as_that(s3: Any, container: Server) -> None:
    container.answers["POST /executions"] = Silence()
    with pytest.raises(ModelTimeout, match="held the request open for 1 s"):
        streaming.advance(sas(s3, container, seconds_left=lambda: 21.0))


def test_a_container_that_has_enough_requests_is_asked_again_later(s3: Any, container: Server) -> None:
    """At any of its paths; a file that it did not take is sent again, one that it took is not."""
    well = dict(container.answers)
    container.answers["POST /executions"] = Reply(429, headers={"Retry-After": "60"})
    scoring = streaming.advance(sas(s3, container))
    assert (scoring["status"], scoring["wait_seconds"]) == ("RUNNING", 60)
    container.answers["POST /executions"] = well["POST /executions"]
    for path in ("GET /query/7.1/log", "GET /query/7.1"):
        container.answers[path] = Reply(429)
        scoring = streaming.advance(sas(s3, container, scoring))
        assert (scoring["status"], scoring["wait_seconds"]) == ("RUNNING", 5)
        container.answers[path] = well[path]
    assert published(s3, streaming.advance(sas(s3, container, scoring))) == SCORED
    assert len(posts(container)) == 2


@pytest.mark.parametrize("body", [b"id,text\n", b"\n"])
def test_a_file_without_a_record_is_empty(s3: Any, container: Server, body: bytes) -> None:
    found = drop(s3, body)
    empty = job(s3, container, found, opened(s3, found), request=request(protocol="sas"))
    with pytest.raises(EmptyFile, match="holds no record below its header"):
        streaming.advance(empty)


MANY = b"id,text\n" + b"".join(b'%d,"a\n%d"\n' % (n, n) for n in range(300))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and parts so small that a small result has many of them."""
    monkeypatch.setattr(model_module, "CHUNK_BYTES", 500)
    monkeypatch.setattr(objects, "_PART_BYTES", 1_200)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_result_is_fetched_on_from_where_the_last_step_stopped(
    s3: Any, server: Server, small: None, ranges: bool
) -> None:
    """Also from a container that knows no Range and sends it all again."""
    SasContainer(server, ranges)
    found = drop(s3, MANY)
    scoring, offsets = opened(s3, found), list[int]()
    while scoring.get("status") != "DONE":
        # Asked before the file is sent, before the result is fetched, and after each chunk: three of them a step.
        left = iter([900.0] * (5 if not offsets else 4))
        step = job(
            s3, server, found, scoring, request=request(protocol="sas"), seconds_left=lambda left=left: next(left, 30.0)
        )
        scoring = streaming.advance(step)
        offsets.append(streaming.Progress.load(s3, request()["output"]).written)
    results = [asked for asked in server.requests if asked.method == "GET" and not asked.path.endswith("/log")]
    asked_from = [asked.headers.get("range") for asked in results]
    assert asked_from == [None, *(f"bytes={offset}-" for offset in offsets[: len(results) - 1])]
    assert len(results) > 3
    assert len(posts(server)) == 1
    assert published(s3, scoring) == sas_result(MANY)


def test_a_result_that_was_fetched_to_its_end_is_not_taken_for_a_missing_one(s3: Any, server: Server) -> None:
    """The step's time was up with the last byte; a container answers 416 to a range of nothing."""
    SasContainer(server)
    found, asked = drop(s3, FILE), request(protocol="sas")
    left = iter([900.0] * 3)
    scoring = streaming.advance(
        job(s3, server, found, opened(s3, found), request=asked, seconds_left=lambda: next(left, 30.0))
    )
    kept = streaming.Progress.load(s3, request()["output"])
    assert (scoring["status"], kept.written) == ("RUNNING", len(sas_result(FILE)))
    scoring = streaming.advance(job(s3, server, found, scoring, request=asked))
    assert published(s3, scoring) == sas_result(FILE)


def test_a_file_that_is_too_large_is_told_how_it_may_go_in(s3: Any, container: Server) -> None:
    container.answers["POST /executions"] = Reply(413, b"request entity too large")
    with pytest.raises(ModelFailed, match="too large for the model or for the route to it: it answered 413") as failed:
        streaming.advance(sas(s3, container))
    assert "split=rows" in failed.value.remedy
    assert len(posts(container)) == 1, "a whole file has no halves"


def test_a_container_that_breaks_off_while_it_is_sent_the_file_is_not_sent_it_twice(s3: Any, container: Server) -> None:
    """Whether it works on under an id that nobody knows is for its pod to tell."""
    container.answers["POST /executions"] = HangUp()
    with pytest.raises(NoAnswer):
        streaming.advance(sas(s3, container))
    assert len(posts(container)) == 1
