"""persist_output and persist_error: how each file gets its outcome."""

import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import api as clusters
from scoring.errors import AccessDenied, PodCrashed, ScoringFailed
from scoring.files import objects
from scoring.intake import identity
from scoring.outcome import evidence, history, index
from scoring.outcome import files as outcome
from tests.builders import (
    ATTEMPT_ID,
    CLUSTER,
    EXECUTION,
    FILE_ID,
    OUTPUT_BUCKET,
    Context,
    FakeApi,
    crashed,
    envelope,
    error_of,
    event,
    function,
    pod_state,
    request,
    source,
    state,
)
from tests.unit.outcome.test_files import tags_of

persist_output, persist_error = function("persist_output"), function("persist_error")
OUTPUT, ERROR = "scored/2026/loans.csv.scoreout", "scored/2026/loans.csv.error"
RECEIPT = "scored/2026/loans.csv.receipt.json"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What EventBridge was told: the details of the events."""
    details: list[dict[str, Any]] = []

    class Events:
        def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  (EventBridge's name)
            details.extend(json.loads(entry["Detail"]) for entry in Entries)
            return {"FailedEntryCount": 0}

    real, events = aws.client, Events()
    monkeypatch.setattr(aws, "client", lambda service: events if service == "events" else real(service))
    return details


def scored(s3: Any) -> dict[str, Any]:
    """What the function gets once all parts are uploaded."""
    upload_id = objects.Upload.create(s3, OUTPUT_BUCKET, OUTPUT, {"execution": outcome.tag_value(EXECUTION)})
    upload = objects.Upload(s3, OUTPUT_BUCKET, OUTPUT, upload_id)
    upload.write(b"a,p\n1,2\n")
    upload.finish()
    upload.wait()
    scoring = {"status": "DONE", "upload_id": upload_id, "rows": 1, "bytes": 8, "parts": 1}
    return envelope(state(request=request(), scoring=scoring))


def test_a_scored_file_is_published_with_what_is_known_at_the_end(s3: Any) -> None:
    given = scored(s3)
    assert persist_output.handler(given, Context()) == {"uri": f"s3://{OUTPUT_BUCKET}/{OUTPUT}", "rows": 1}
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT)["Body"].read() == b"a,p\n1,2\n"
    tags = tags_of(s3, OUTPUT)
    assert (tags["rows"], tags["execution"]) == ("1", EXECUTION)
    assert float(tags["duration_seconds"]) != 0


def test_its_receipt_has_its_sha256_as_far_as_the_functions_time_goes(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a history to be had, which is no reason to fail."""
    monkeypatch.setenv("RECEIPTS", "true")
    given = scored(s3)
    for seconds, sha256 in ((900, hashlib.sha256(b"a,p\n1,2\n").hexdigest()), (30, None)):
        assert persist_output.handler(given, Context(seconds))["rows"] == 1
        receipt = json.loads(s3.get_object(Bucket=OUTPUT_BUCKET, Key=RECEIPT)["Body"].read())
        assert receipt["output"]["sha256"] == sha256
        assert receipt["steps"] is None
        assert "GetExecutionHistory" in receipt["missing"]["steps"]


def test_publishing_may_be_repeated(s3: Any) -> None:
    given = scored(s3)
    assert persist_output.handler(given, Context()) == persist_output.handler(given, Context())


def test_an_upload_that_somebody_aborted_is_an_error(s3: Any) -> None:
    given = scored(s3)
    s3.abort_multipart_upload(Bucket=OUTPUT_BUCKET, Key=OUTPUT, UploadId=given["state"]["scoring"]["upload_id"])
    with pytest.raises(ScoringFailed):
        persist_output.handler(given, Context())


def failed(**held: Any) -> dict[str, Any]:
    return envelope(state(**held, error=error_of(PodCrashed("It crashed.", "Repair it.", exit_code=1))))


def written(s3: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(s3.get_object(Bucket=OUTPUT_BUCKET, Key=ERROR)["Body"].read())
    return document


def test_an_error_is_written_where_the_user_looks_and_told_to_the_state_machine(s3: Any) -> None:
    uri = f"s3://{OUTPUT_BUCKET}/{ERROR}"
    assert persist_error.handler(failed(), Context()) == {
        "error": "PodCrashed",
        "cause": f"It crashed. Repair it. See {uri}",
        "uri": uri,
    }
    document = written(s3)
    assert (document["summary"], document["stage"], document["attempt"]) == (
        "It crashed.",
        "resolve_request",
        ATTEMPT_ID,
    )
    assert document["details"] == {"exit_code": 1}
    assert document["execution"]["arn"] == EXECUTION
    assert tags_of(s3, ERROR) == {
        "error": "PodCrashed",
        "stage": "resolve_request",
        "sequencer": state()["source"]["sequencer"],
    }


def test_an_error_does_not_hide_the_result_of_a_newer_version(s3: Any) -> None:
    s3.put_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT, Body=b"newer", Tagging="sequencer=FF")
    persist_error.handler(failed(), Context())
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT)["Body"].read() == b"newer"
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=OUTPUT_BUCKET, Key=ERROR)


@pytest.mark.parametrize("newer", [True, False])
def test_an_error_does_not_replace_that_of_a_newer_version(
    s3: Any, monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]], newer: bool
) -> None:
    """The older one may fail later."""
    monkeypatch.setenv("RECEIPTS", "true")
    s3.put_object(Bucket=OUTPUT_BUCKET, Key=ERROR, Body=b"{}", Tagging=f"sequencer={'FF' if newer else '00'}")
    persist_error.handler(failed(), Context())
    assert ("summary" not in written(s3)) is newer
    assert told[0].get("superseded", False) is newer
    assert ("receipt_key" not in told[0]["output"]) is newer


def test_an_error_brings_the_pods_last_words(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "connect", lambda name: FakeApi(pods=crashed()))
    persist_error.handler(failed(request=request(), pod=pod_state()), Context())
    document = written(s3)
    assert document["stage"] == "await_pod"
    assert document["pod"]["log_tail"] == ["loading model", "ready"]
    assert document["pod"]["status"]["container"]["state"]["terminated"]["exitCode"] == 1


def test_an_error_is_written_even_if_its_cluster_is_gone(s3: Any) -> None:
    persist_error.handler(failed(request=request(), pod=pod_state()), Context())
    assert written(s3)["pod"]["missing"] == ["EKS has no cluster dropscore-local in this account and region."]


@pytest.mark.parametrize("error", [{"Error": "States.Timeout"}, {"Error": "Lambda.Unknown", "Cause": "[" * 5_000}])
def test_an_error_that_no_function_raised_is_written_too(s3: Any, error: dict[str, str]) -> None:
    told = persist_error.handler(envelope(state(error=error)), Context())
    assert told["error"] == error["Error"]
    assert written(s3)["error"] == error["Error"]


def test_an_error_that_cannot_be_written_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def put_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

        get_object_tagging = put_object

    monkeypatch.setattr(aws, "client", lambda service: Refusing())
    with pytest.raises(AccessDenied, match=r"s3:PutObject of s3://dropscore-output/scored/2026/loans\.csv\.error"):
        persist_error.handler(failed(), Context())


def test_a_file_whose_execution_was_stopped_gets_its_error_too(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    aborted = state(error={"Error": "Aborted", "Cause": None})
    monkeypatch.setattr(evidence, "unreported", lambda detail, stepfunctions: aborted)
    told = persist_error.handler(event("tear_down_eventbridge"), Context())
    assert told["error"] == "Aborted"
    assert written(s3)["summary"] == "Somebody stopped the execution before the file was scored."


def test_a_file_that_was_published_when_its_execution_was_stopped_keeps_its_outcome(
    s3: Any, monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]]
) -> None:
    """persist_output had not answered: the history shows no outcome."""
    stopped = event("tear_down_eventbridge")
    source, execution = json.loads(stopped["detail"]["input"])["source"], stopped["detail"]["executionArn"]
    aborted = state(error={"Error": "Aborted", "Cause": None}, source=source)
    monkeypatch.setattr(evidence, "unreported", lambda detail, stepfunctions: aborted)
    key = "scored/2026/people & march.csv"
    s3.put_object(Bucket=OUTPUT_BUCKET, Key=f"{key}.scoreout", Body=b"x", Tagging=f"execution={execution}")
    assert persist_error.handler(stopped, Context()) == {}
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]] == [f"{key}.scoreout"]
    assert not told


def test_each_outcome_is_told_once_however_often_the_function_is_called(s3: Any, told: list[dict[str, Any]]) -> None:
    given = scored(s3)
    for _ in range(2):
        persist_output.handler(given, Context())
    (detail,) = told
    assert (detail["id"], detail["rows"], detail["output"]["key"]) == (f"{ATTEMPT_ID}/scored", 1, OUTPUT)
    for _ in range(2):
        persist_error.handler(failed(), Context())
    assert (told[1]["id"], told[1]["summary"], told[1]["output"]["key"]) == (
        f"{ATTEMPT_ID}/failed",
        "It crashed.",
        ERROR,
    )
    assert len(told) == 2


def test_the_end_of_an_execution_that_is_told_of_twice_is_one_outcome(
    s3: Any, monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]]
) -> None:
    """EventBridge delivers at least once: the file may have been redriven and scored by then."""
    aborted = state(error={"Error": "Aborted", "Cause": None})
    monkeypatch.setattr(evidence, "unreported", lambda detail, stepfunctions: aborted)
    assert persist_error.handler(event("tear_down_eventbridge"), Context())["error"] == "Aborted"
    s3.delete_object(Bucket=OUTPUT_BUCKET, Key=ERROR)
    assert persist_error.handler(event("tear_down_eventbridge"), Context()) == {}
    assert len(told) == 1
    with pytest.raises(s3.exceptions.NoSuchKey):
        written(s3)


def test_of_a_shard_nothing_is_told(s3: Any, told: list[dict[str, Any]]) -> None:
    """Its file's attempt tells of the file."""
    one = {"number": 1, "count": 2, "start": 0, "stop": 8, "row": 1, "records": 1, "total": 2}
    persist_error.handler(failed(request=request(), shard=one), Context())
    assert not told


def recorded(s3: Any) -> list[index.Ended | None]:
    """What the index of ended files tells."""
    listed = s3.list_objects_v2(Bucket=OUTPUT_BUCKET, Prefix=identity.ended_prefix("scored/")).get("Contents", ())
    assert all(index.execution_of(each["Key"], "scored/") == FILE_ID for each in listed)
    return [index.read(each["Key"], "scored/") for each in listed]


STARTED = {history.STARTED_BY: EXECUTION.replace(f":attempt:{ATTEMPT_ID}", f":score_file:{FILE_ID}")}


@pytest.mark.parametrize("superseded", [False, True])
def test_a_scored_file_is_in_the_index(s3: Any, superseded: bool) -> None:
    given = scored(s3)
    given["state"] |= STARTED
    if superseded:
        s3.put_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT, Body=b"newer", Tagging="sequencer=FF")
    persist_output.handler(given, Context())
    told = {"key": source().key, "size": source().size, "cluster": CLUSTER, "rows": 1}
    assert recorded(s3) == [index.Ended(**told, superseded=superseded)]


FAILED = {"key": source().key, "size": source().size, "sequencer": source().sequencer}


def test_a_failed_file_is_in_the_index_with_the_words_of_its_execution(s3: Any) -> None:
    persist_error.handler(failed(**STARTED), Context())
    assert recorded(s3) == [index.Ended(**FAILED, error="PodCrashed", cause="It crashed.")]


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ({"status": "ABORTED", "error": None, "cause": None}, {"error": "Aborted"}),
        ({"status": "ABORTED", "error": "Mine", "cause": "I say so. Go on."}, {"error": "Mine", "cause": "I say so."}),
        # Its .error could not be written at first.
        (
            {"status": "FAILED", "error": "PodLost", "cause": '{"summary": "S"}'},
            {"error": "PodLost", "cause": '{"summary": "S"}'},
        ),
    ],
)
def test_so_is_one_that_eventbridge_tells_of(
    s3: Any, monkeypatch: pytest.MonkeyPatch, detail: dict[str, Any], told: dict[str, Any]
) -> None:
    """In the words of its execution, which are not those of its `.error`."""
    ended = state(error=error_of(PodCrashed("It crashed.", "Repair it.")), **STARTED)
    monkeypatch.setattr(evidence, "unreported", lambda detail, stepfunctions: ended)
    given = event("tear_down_eventbridge")
    given["detail"] |= detail
    persist_error.handler(given, Context())
    assert recorded(s3) == [index.Ended(**FAILED, **told)]


def test_a_shard_is_not_in_the_index(s3: Any) -> None:
    one = {"number": 1, "count": 2, "start": 0, "stop": 8, "row": 1, "records": 1, "total": 2}
    persist_error.handler(failed(request=request(), shard=one, **STARTED), Context())
    assert not recorded(s3)


def test_a_scored_file_does_not_fail_for_want_of_an_event(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = aws.client
    monkeypatch.setattr(aws, "client", lambda service: None if service == "events" else real(service))
    assert persist_output.handler(scored(s3), Context())["rows"] == 1


def test_a_file_that_has_its_outcome_gets_no_other(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "unreported", lambda detail, stepfunctions: None)
    assert persist_error.handler(event("tear_down_eventbridge"), Context()) == {}
    assert "Contents" not in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)
