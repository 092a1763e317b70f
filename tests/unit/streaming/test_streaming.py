"""The whole of stream_file: S3 by moto, a model behind real HTTP, and steps that end whenever they have to."""

import csv
import hashlib
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import streaming
from scoring.errors import (
    AwsThrottled,
    EmptyFile,
    ModelFailed,
    ModelTimeout,
    RowCountMismatch,
    ScoringFailed,
    SourceChanged,
)
from scoring.files import objects
from scoring.intake.identity import Source
from scoring.outcome import files as outcome
from scoring.protocols import RowProtocol
from scoring.protocols.model import Model, NoAnswer
from scoring.streaming import batches, progress, scorer, whole_file
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, request, source
from tests.unit.servers import HangUp, Reply, Request, Server, Silence

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
NASTY = b'\xef\xbb\xbfid,"te,xt"\r\n1,"a\r\nb"\r\n\r\n2,"say ""x"""\r\n3,\xc3\xbc\r\n4,last'
MANY = b"id,text\n" + b"".join(b'%d,"line\n%d ""quoted"""\n' % (n, n * 7) for n in range(2_000))


def drop(s3: Any, body: bytes) -> Source:
    answer = s3.put_object(Bucket=INPUT_BUCKET, Key="incoming/2026/loans.csv", Body=body)
    return source(etag=answer["ETag"].strip('"'), size=len(body))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and parts so small that a small file has many of them."""
    monkeypatch.setattr(RowProtocol, "most_bytes", 1_024)
    monkeypatch.setattr(objects, "_PART_BYTES", 8_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


def begun(s3: Any, found: Source, asked: dict[str, Any]) -> dict[str, Any]:
    """The `scoring` of a new attempt."""
    progress.forget(s3, asked["output"])
    return streaming.open_upload(s3, found, asked, {"execution": "execution", "sequencer": "1"}, NOW)


def opened(s3: Any, found: Source, **changes: Any) -> dict[str, Any]:
    progress.forget(s3, request()["output"])
    tags = outcome.scored_tags(found, request(), "execution")
    return streaming.open_upload(s3, found, request(), tags, NOW) | changes


def job(s3: Any, server: Server, found: Source, scoring: dict[str, Any], **changes: Any) -> streaming.Job:
    whole = {
        "s3": s3,
        "model": Model(server.url),
        "source": found,
        "request": request(protocol="sagemaker"),
        "pod_uid": "uid-1",
        "scoring": scoring,
        "seconds_left": lambda: 900.0,
        "now": lambda: NOW,
    }
    return streaming.Job(**whole | changes)


def published(s3: Any, scoring: dict[str, Any]) -> bytes:
    output = request()["output"]
    outcome.publish(s3, output, scoring, {"execution": "execution", "sequencer": source().sequencer})
    body: bytes = s3.get_object(Bucket=OUTPUT_BUCKET, Key=output["key"])["Body"].read()
    return body


def predicted(fields: list[str]) -> str:
    """A prediction that depends on all of a record, and has a comma: whatever is mixed up shows."""
    return hashlib.sha256("|".join(fields).encode()).hexdigest()[:8] + f",{len(fields)}"


def rows_of(body: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")) if row]


def sagemaker(asked: Request) -> Reply:
    return Reply(body="".join(f"{predicted(row)}\n" for row in rows_of(asked.body)).encode())


def scored_by_hand(document: bytes) -> list[list[str]]:
    header, *rows = rows_of(document)
    return [[*header, "prediction_0", "prediction_1"], *([*row, *predicted(row).split(",")] for row in rows)]


def test_each_record_gets_its_own_prediction_and_keeps_its_bytes(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, NASTY)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found)))
    assert (scoring["status"], scoring["rows"], scoring["parts"]) == ("DONE", 4, 1)
    body = published(s3, scoring)
    assert len(body) == scoring["bytes"]
    assert rows_of(body) == scored_by_hand(NASTY)
    assert body.startswith(b'\xef\xbb\xbfid,"te,xt",prediction_0,prediction_1\r\n1,"a\r\nb",')
    assert body.endswith(b"\r\n")


def test_columns_of_mlflow_never_take_the_name_of_one_of_the_file(s3: Any, server: Server) -> None:
    predictions = b'{"predictions": [{"id": 1, "p": 0.50}, {"id": 2, "p": 0.25}]}'
    server.answers["POST /invocations"] = Reply(body=predictions)
    found = drop(s3, b"id,x\n7,8\n9,10\n")
    asked = request(protocol="mlflow")
    scoring = streaming.advance(job(s3, server, found, opened(s3, found), request=asked))
    assert published(s3, scoring) == b"id,x,id_model,p\n7,8,1,0.50\n9,10,2,0.25\n"


def time_for(server: Server, batches: int) -> Callable[[], float]:
    """The time of a function that runs out once the model has answered so many batches more."""
    end = len(server.requests) + batches
    return lambda: 900.0 if len(server.requests) < end else 30.0


@pytest.mark.parametrize("batches", [8, 13])
def test_a_file_scored_in_many_steps_is_the_same_byte_for_byte(
    s3: Any, server: Server, small: None, batches: int
) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY)
    whole = published(s3, streaming.advance(job(s3, server, found, opened(s3, found))))
    scoring, steps = opened(s3, found), 0
    while scoring.get("status") != "DONE":
        scoring = streaming.advance(job(s3, server, found, scoring, seconds_left=time_for(server, batches)))
        steps += 1
    assert steps > 2
    assert (scoring["rows"], scoring["bytes"]) == (2_000, len(whole))
    assert rows_of(whole) == scored_by_hand(MANY)
    assert published(s3, scoring) == whole


def test_a_step_that_was_killed_and_is_repeated_leaves_no_row_twice(
    s3: Any, server: Server, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks, and so its parts, may end elsewhere than those of the one that was killed."""
    found = drop(s3, MANY)
    scoring, answered = opened(s3, found), [0]

    def killed(asked: Request) -> Reply:
        answered[0] += 1
        if answered[0] > 40:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = killed
    with pytest.raises(NoAnswer), pytest.MonkeyPatch.context() as patch:
        # As if it were killed each time just before.
        patch.setattr(streaming.Progress, "save", lambda *_: None)
        streaming.advance(job(s3, server, found, scoring))
    left_behind = s3.list_parts(**request_output(), UploadId=scoring["upload_id"])["Parts"]
    server.answers["POST /invocations"] = sagemaker
    monkeypatch.setattr(objects, "_PART_BYTES", 60_000)
    done = streaming.advance(job(s3, server, found, scoring))
    assert len(left_behind) > done["parts"], "or this test shows nothing"
    assert rows_of(published(s3, done)) == scored_by_hand(MANY)


def request_output() -> dict[str, str]:
    output = request()["output"]
    return {"Bucket": output["bucket"], "Key": output["key"]}


@pytest.mark.parametrize("body", [b"", b"\r\n\r\n", b"id,x", b"id,x\n", b"id,x\r\n\r\n"])
def test_a_file_without_a_record_is_empty(s3: Any, server: Server, body: bytes) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, body)
    with pytest.raises(EmptyFile):
        streaming.advance(job(s3, server, found, opened(s3, found)))
    assert not server.posted, "a model is not asked about nothing"


def test_a_file_of_no_byte_is_refused_before_anything_is_begun(s3: Any) -> None:
    with pytest.raises(EmptyFile, match="is empty"):
        streaming.open_upload(s3, source(size=0), request(), {}, NOW)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=OUTPUT_BUCKET)


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (Reply(body=b"1,2\n"), RowCountMismatch, "one line of 2 values to 2 records.* for rows 1 to 2 together"),
        (Reply(400, b"could not convert string"), ModelFailed, "answered 400, for row 1 alone, and for row 4 as well"),
        (Reply(500, b"could not convert string"), NoAnswer, "answered 500 to rows 1 and 4, each alone"),
        (Reply(500), NoAnswer, "answered 500 to POST /invocations without a word"),
        (HangUp(), NoAnswer, "closed the connection"),
        (Reply(503), NoAnswer, "The route answered 503"),
    ],
)
def test_a_model_that_does_not_do_its_work_ends_the_job(
    s3: Any, server: Server, answer: Reply | HangUp, error: type[Exception], sentence: str
) -> None:
    server.answers["POST /invocations"] = answer
    found = drop(s3, NASTY)
    with pytest.raises(error, match=sentence):
        streaming.advance(job(s3, server, found, opened(s3, found)))


def test_a_model_whose_columns_change_ends_the_job(s3: Any, server: Server, small: None) -> None:
    """Even if they do so steps later: the header is written long since."""
    columns = [2]

    def changing(asked: Request) -> Reply:
        return Reply(body=b"".join(b",".join([b"1"] * columns[0]) + b"\n" for _ in rows_of(asked.body)))

    server.answers["POST /invocations"] = changing
    found = drop(s3, MANY)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found), seconds_left=time_for(server, 20)))
    assert (scoring["status"], scoring["wait_seconds"]) == ("RUNNING", 1), "only the function's time was up"
    columns[0] = 3
    with pytest.raises(ModelFailed, match="have other columns than those before") as failed:
        streaming.advance(job(s3, server, found, scoring))
    assert failed.value.details["columns"] == ["prediction_0", "prediction_1", "prediction_2"]


def test_a_batch_that_is_not_answered_in_time_is_the_models_time_out(s3: Any, server: Server) -> None:
    server.answers["POST /invocations"] = Silence()
    found = drop(s3, NASTY)
    soon_late = NOW + timedelta(seconds=86_399)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found), now=lambda: soon_late))
    assert scoring["status"] == "RUNNING"
    with pytest.raises(ModelTimeout, match="was not done with the file after 86400 s"):
        streaming.advance(job(s3, server, found, scoring, now=lambda: soon_late + timedelta(seconds=1)))


def test_a_batch_that_the_time_of_the_function_is_too_short_for_comes_again_smaller(
    s3: Any, server: Server, small: None
) -> None:
    """A step at a time; the model is told to be too slow only for one record alone, with time enough."""
    server.answers["POST /invocations"] = Silence()
    found = drop(s3, MANY)
    scoring, sizes = opened(s3, found), []
    for _ in range(3):
        scoring = streaming.advance(job(s3, server, found, scoring, seconds_left=ends_when_asked(server)))
        assert scoring["status"] == "RUNNING"
        sizes.append(len(server.requests[-1].body))
    assert sizes[0] > 1.5 * sizes[1] > 2.5 * sizes[2] > 0


def ends_when_asked(server: Server) -> Callable[[], float]:
    """The time of a function that is over for the first batch that is sent."""
    asked = iter([900.0])
    return lambda: next(asked, 21.0)


def test_a_record_that_a_model_does_not_answer_in_minutes_is_its_time_out(
    s3: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "_PATIENCE_FOR_ONE_RECORD_SECONDS", 1.0)
    server.answers["POST /invocations"] = Silence()
    found = drop(s3, b"id\n1\n")
    with pytest.raises(ModelTimeout, match="did not answer record 1 alone in 1 s"):
        streaming.advance(job(s3, server, found, opened(s3, found), seconds_left=ends_when_asked(server)))
    two = drop(s3, b"id\n1\n2\n")
    scoring = streaming.advance(job(s3, server, two, opened(s3, two), seconds_left=ends_when_asked(server)))
    assert scoring["status"] == "RUNNING"


def test_what_a_slow_model_has_done_is_kept_though_it_fills_no_part(s3: Any, server: Server) -> None:
    """A step that does not end well, too: the work of a minute is lost at most."""
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowProtocol, "most_bytes", 1_024)
        scoring = streaming.advance(job(s3, server, found, opened(s3, found), seconds_left=time_for(server, 2)))
    kept = streaming.Progress.load(s3, request()["output"])
    assert (scoring["status"], kept.part) == ("RUNNING", 0)
    assert len(kept.tail) == kept.written > 0
    assert rows_of(kept.tail) == scored_by_hand(MANY)[: kept.rows + 1]

    end = len(server.requests) + 5

    def dies(asked: Request) -> Reply:
        if len(server.requests) > end:
            raise HangUp
        return sagemaker(asked)

    server.answers["POST /invocations"] = dies
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowProtocol, "most_bytes", 1_024)
        patch.setattr(batches, "_SAVE_SECONDS", 0.0)
        with pytest.raises(NoAnswer):
            streaming.advance(job(s3, server, found, scoring))
    more = streaming.Progress.load(s3, request()["output"])
    assert (more.part, more.rows > kept.rows) == (0, True)
    server.answers["POST /invocations"] = sagemaker
    done = streaming.advance(job(s3, server, found, scoring))
    assert rows_of(published(s3, done)) == scored_by_hand(MANY)


def test_a_function_that_was_given_up_brings_nothing_back(
    s3: Any, server: Server, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its execution was stopped and torn down, but nobody stops a Lambda that is under way."""
    output, one_at_a_time, save = request()["output"], threading.Lock(), streaming.Progress.save

    def saved(progress: streaming.Progress, *where: Any) -> None:
        # Records are saved beside the work, and moto cannot delete what it is writing.
        with one_at_a_time:
            save(progress, *where)

    def torn_down(asked: Request) -> Reply:
        if len(server.requests) == 9:
            with one_at_a_time:
                s3.delete_object(Bucket=output["bucket"], Key=output["progress"])
        return sagemaker(asked)

    monkeypatch.setattr(streaming.Progress, "save", saved)

    server.answers["POST /invocations"] = torn_down
    found = drop(s3, MANY)
    with pytest.raises(AwsThrottled, match="it was torn down"):
        streaming.advance(job(s3, server, found, opened(s3, found)))
    assert "Contents" not in s3.list_objects_v2(Bucket=output["bucket"])


class Puts:
    """S3, but `put` instead of what puts an object; it is given S3 and what is put."""

    def __init__(self, s3: Any, put: Callable[..., Any]) -> None:
        self._s3, self._put = s3, put

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def put_object(self, **call: Any) -> Any:
        return self._put(self._s3, **call)


def uploads(s3: Any) -> set[str]:
    return {each["UploadId"] for each in s3.list_multipart_uploads(Bucket=OUTPUT_BUCKET).get("Uploads", ())}


def test_of_two_first_steps_at_once_one_goes_on_with_the_uploads_that_the_other_has_begun(s3: Any) -> None:
    """As when Step Functions calls a function again that it had taken for lost."""
    found, asked, first = drop(s3, MANY), request(max_errors=["1"]), []

    def meanwhile(s3: Any, **call: Any) -> Any:
        first.append(streaming.open_upload(s3, found, asked, {}, NOW))
        return s3.put_object(**call)

    later = streaming.open_upload(Puts(s3, meanwhile), found, asked, {}, NOW)
    assert later == first[0]
    assert uploads(s3) == {later["upload_id"], later["rejected_upload_id"]}


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_first_record_that_s3_gave_no_answer_to_leaves_no_upload_alone(s3: Any, is_saved: bool) -> None:
    def unanswered(s3: Any, **call: Any) -> None:
        if is_saved:
            s3.put_object(**call)
        raise ClientError({"Error": {"Code": "InternalError", "Message": "try again"}}, "PutObject")

    found = drop(s3, MANY)
    if is_saved:
        scoring = streaming.open_upload(Puts(s3, unanswered), found, request(), {}, NOW)
        assert uploads(s3) == {scoring["upload_id"]}
    else:
        with pytest.raises(AwsThrottled, match="try again"):
            streaming.open_upload(Puts(s3, unanswered), found, request(), {}, NOW)
        assert not uploads(s3)


def test_two_functions_at_once_never_mix_their_rows(s3: Any, server: Server, small: None) -> None:
    """As when Step Functions has given one up that was not gone: it notices with its next record, and its parts are noticed."""
    found = drop(s3, MANY)
    scoring, answers = opened(s3, found), []
    other = request(protocol="sagemaker", limits={"max_batch_bytes": 500})

    def meanwhile(asked: Request) -> Reply:
        if len(server.posted) == 1:
            answers.append(streaming.advance(job(s3, server, found, scoring, request=other)))
        return sagemaker(asked)

    server.answers["POST /invocations"] = meanwhile
    with pytest.raises(AwsThrottled, match="Another function is at work"):
        streaming.advance(job(s3, server, found, scoring))
    (done,) = answers
    with pytest.raises(ScoringFailed, match="a function that was given up wrote on"):
        published(s3, done)


@pytest.mark.parametrize("protocol", ["sagemaker", "sas"])
def test_a_file_that_is_not_done_by_its_deadline_is_the_models_time_out(s3: Any, server: Server, protocol: str) -> None:
    found = drop(s3, NASTY)
    late = {"request": request(protocol=protocol), "now": lambda: NOW + timedelta(seconds=86_401)}
    with pytest.raises(ModelTimeout, match="was not done with the file after 86400 s"):
        streaming.advance(job(s3, server, found, opened(s3, found), **late))
    assert not server.posted


def test_a_file_that_is_replaced_while_it_is_scored_ends_the_job(s3: Any, server: Server, small: None) -> None:
    server.answers["POST /invocations"] = sagemaker
    found = drop(s3, MANY)
    scoring = streaming.advance(job(s3, server, found, opened(s3, found), seconds_left=time_for(server, 20)))
    drop(s3, MANY + b"9,newer\n")
    with pytest.raises(SourceChanged):
        streaming.advance(job(s3, server, found, scoring))


def pause(elapsed: float) -> int:
    """Of a model that has worked for so long."""
    scoring = {"started": NOW.isoformat()}
    now = NOW + timedelta(seconds=elapsed)
    return streaming.Job(None, Model(""), source(), request(), "uid-1", scoring, lambda: 900.0, lambda: now).pause()


@pytest.mark.parametrize(("elapsed", "seconds"), [(0, 5), (300, 30), (3_600, 300), (86_400, 600)])
def test_a_model_is_looked_at_less_often_the_longer_it_has_worked(elapsed: float, seconds: int) -> None:
    assert pause(elapsed) == seconds


def test_a_week_of_looking_fits_into_the_history_of_an_execution() -> None:
    """Step Functions ends an execution of more than 25,000 events, and no Catch sees that."""
    elapsed, looks = 0.0, 0
    while elapsed < 7 * 86_400:
        elapsed, looks = elapsed + whole_file._POLL_SECONDS + pause(elapsed), looks + 1
    assert looks * 9 < 20_000, "nine events a time: task, choice and wait; the rest is for retries"
