"""Receipts: what a file was scored by, how long it took and what it cost, beside its outcome."""

import base64
import hashlib
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws, settings
from scoring.errors import Failure
from scoring.files import objects
from scoring.outcome import costs, events, readback, receipts
from scoring.outcome import files as outcome
from tests.builders import DIGEST, EXECUTION, OUTPUT_BUCKET, pod_state, request, source, state

STARTED = datetime(2026, 11, 22, 9, 59, 50, tzinfo=UTC)
POD_CREATED, SCORING, FINISHED = (STARTED + timedelta(seconds=after) for after in (10, 40, 100))
OUTPUT, RECEIPT = "scored/2026/loans.csv.scoreout", "scored/2026/loans.csv.receipt.json"
TAGS = {"execution": EXECUTION}
BODY = b"a,p\n1,2\n"
PRICES = {
    "date": "then",
    "region": "there",
    "prices": {
        "state_transition": {"usd": 1, "per": 1},
        "lambda_gb_second": {"usd": 100, "per": 1},
        "lambda_request": {"usd": 0, "per": 1},
        "s3_write": {"usd": 10_000, "per": 1},
        "s3_read": {"usd": 0, "per": 1},
        "node_hour": {"usd": 3600, "per": 1},
    },
}


def scored_state(**more: Any) -> dict[str, Any]:
    scoring = {
        "started": SCORING.isoformat(),
        "rows": 1,
        "bytes": len(BODY),
        "parts": 1,
        "checksum": {"CRC32": "/WM/Ow=="},
        "batches": {"bytes": 65_536, "in_flight": 2},
    }
    return state(request=request(), pod=pod_state(created=POD_CREATED.isoformat()), scoring=scoring) | more


def detail_of(whole: dict[str, Any], superseded: bool = False) -> dict[str, Any]:
    return events.scored(whole, EXECUTION, STARTED, FINISHED, "dropscore", superseded)


def failed_detail(whole: dict[str, Any]) -> dict[str, Any]:
    failure = Failure("PodCrashed", "It crashed.", "Repair it.")
    output = {"bucket": OUTPUT_BUCKET, "key": "scored/2026/loans.csv.error"}
    return events.failed(
        whole, EXECUTION, STARTED, FINISHED, "dropscore", failure, "await_pod", output, superseded=False
    )


class History:
    """Step Functions, which has the history of the attempt, or refuses to give it."""

    def __init__(self, code: str = "") -> None:
        self.code = code

    def get_paginator(self, _: str) -> "History":
        return self

    def paginate(self, executionArn: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803
        assert executionArn == EXECUTION
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "Rate exceeded"}}, "GetExecutionHistory")
        events = [
            {"type": kind, "timestamp": moment, details: {"name": "resolve_request"}}
            for kind, moment, details in (
                ("TaskStateEntered", STARTED, "stateEnteredEventDetails"),
                ("TaskStateExited", STARTED + timedelta(seconds=2), "stateExitedEventDetails"),
            )
        ]
        return [{"events": events}]


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> History:
    real, found = aws.client, History()
    monkeypatch.setattr(aws, "client", lambda service: found if service == "stepfunctions" else real(service))
    return found


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.setenv("RECEIPTS", "true")
    return settings.current()


def published(s3: Any) -> None:
    upload_id = objects.Upload.create(s3, OUTPUT_BUCKET, OUTPUT, TAGS)
    upload = objects.Upload(s3, OUTPUT_BUCKET, OUTPUT, upload_id)
    upload.write(BODY)
    upload.finish()
    upload.wait()
    outcome.complete(s3, request()["output"], {"upload_id": upload_id, "parts": 1, "bytes": len(BODY)}, TAGS)


def written(s3: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(s3.get_object(Bucket=OUTPUT_BUCKET, Key=RECEIPT)["Body"].read())
    return found


def test_the_receipt_of_a_scored_file_says_what_it_is_and_how_it_came_about(
    s3: Any, configured: settings.Settings, states: History
) -> None:
    published(s3)
    whole = scored_state(lost_pods={"count": 1})
    detail = detail_of(whole)
    receipts.write(configured, detail, whole, FINISHED, lambda: 900)
    receipt = written(s3)
    assert receipt["source"] == source().to_json() | {"checksum": {"CRC32": "/WM/Ow=="}}
    crc = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    assert receipt["output"].pop("etag").endswith("-1")
    known = {"bucket": OUTPUT_BUCKET, "key": OUTPUT, "size": len(BODY), "checksum": {"CRC32": crc}}
    assert receipt["output"] == known | {"sha256": hashlib.sha256(BODY).hexdigest()}
    assert receipt["steps"] == {"resolve_request": 2}
    assert "missing" not in receipt
    assert receipt["seconds"] == {"prepare": 10, "start": 30, "score": 60, "total": 100}
    assert (receipt["rows_in"], receipt["rows"], receipt["lost_pods"]) == (1, 1, 1)
    assert receipt["batches"] == {"bytes": 65_536, "in_flight": 2}
    assert receipt["model_digest"] == DIGEST
    assert receipt["cost"]["usd"] > 0
    assert detail["output"]["receipt_key"] == RECEIPT, "the event tells where it is"


def test_what_cannot_be_found_out_is_null_and_why(s3: Any, configured: settings.Settings, states: History) -> None:
    """A throttled Step Functions, and a function whose time is up."""
    published(s3)
    states.code = "ThrottlingException"
    receipts.write(configured, detail_of(scored_state()), scored_state(), FINISHED, lambda: 10)
    receipt = written(s3)
    assert (receipt["output"]["sha256"], receipt["steps"]) == (None, None)
    assert receipt["missing"] == {
        "output.sha256": f"There was no time left to read {len(BODY)} bytes back.",
        "steps": f"AWS asked to slow down: states:GetExecutionHistory of {EXECUTION}: Rate exceeded",
    }
    assert receipt["rows"] == 1


@pytest.mark.parametrize("while_it_is_read", [False, True])
def test_the_receipt_of_a_newer_version_stays(
    s3: Any, configured: settings.Settings, states: History, monkeypatch: pytest.MonkeyPatch, while_it_is_read: bool
) -> None:
    """That was published in between, and has written its receipt."""
    published(s3)

    def replace(*_: Any) -> str:
        s3.put_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT, Body=b"newer", Tagging="execution=another")
        s3.put_object(Bucket=OUTPUT_BUCKET, Key=RECEIPT, Body=b'"newer"')
        return "its hash"

    if while_it_is_read:
        monkeypatch.setattr(readback, "sha256", replace)
    else:
        replace()
    detail = detail_of(scored_state())
    receipts.write(configured, detail, scored_state(), FINISHED, lambda: 900)
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=RECEIPT)["Body"].read() == b'"newer"'
    assert "receipt_key" not in detail["output"]


def test_the_time_in_which_a_file_is_read_back_is_paid_for() -> None:
    whole = scored_state()
    costs_of = [
        receipts.document(detail_of(whole), whole, FINISHED, {}, PRICES, sha256_seconds=seconds)["cost"]["usd"]
        for seconds in (0, 60)
    ]
    assert costs_of[1] > costs_of[0]


def test_a_file_that_failed_has_a_receipt_too(s3: Any, configured: settings.Settings, states: History) -> None:
    whole = scored_state()
    del whole["scoring"]
    receipts.write(configured, failed_detail(whole), whole, FINISHED)
    receipt = written(s3)
    assert receipt["output"] == {"bucket": OUTPUT_BUCKET, "key": "scored/2026/loans.csv.error"}
    assert (receipt["error"], receipt["stage"]) == ("PodCrashed", "await_pod")
    assert receipt["seconds"] == {"prepare": 10, "start": 90, "total": 100}
    assert receipt["steps"] == {"resolve_request": 2}
    assert "rows" not in receipt
    # Its request was refused: no pod, and nothing to estimate by.
    receipts.write(configured, failed_detail(state()), state(), FINISHED)
    assert written(s3)["seconds"] == {"prepare": 100, "total": 100}
    assert "cost" not in written(s3)


def test_a_script_that_may_drop_rows_does_not_say_how_many_it_got() -> None:
    whole = scored_state(request=request(rows="any"))
    assert "rows_in" not in receipts.document(detail_of(whole), whole, FINISHED, {}, PRICES)


def test_a_checksum_of_checksums_is_none_of_the_file() -> None:
    held = {"ETag": '"e-2"', "ContentLength": 8, "ChecksumCRC32": "AAAA-2", "ChecksumType": "COMPOSITE"}
    whole = scored_state()
    assert "checksum" not in receipts.document(detail_of(whole), whole, FINISHED, held, PRICES)["output"]


def test_no_receipt_is_written_where_none_is_wanted_or_a_newer_one_is_there(
    s3: Any, configured: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(s3)
    receipts.write(configured, detail_of(scored_state(), superseded=True), scored_state(), FINISHED)
    monkeypatch.setenv("RECEIPTS", "false")
    settings.current.cache_clear()
    receipts.write(settings.current(), detail_of(scored_state()), scored_state(), FINISHED)
    with pytest.raises(s3.exceptions.NoSuchKey):
        written(s3)


def test_a_file_does_not_fail_for_want_of_a_receipt(
    s3: Any, configured: settings.Settings, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """There is no such output to be looked at."""
    detail = detail_of(scored_state())
    receipts.write(configured, detail, scored_state(), FINISHED)
    assert any(json.loads(line).get("ReceiptsNotWritten") == [1.0] for line in capsys.readouterr().out.splitlines())
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "receipt not written")]
    assert "receipt_key" not in detail["output"]


def test_a_file_costs_what_it_used() -> None:
    half = {"cpu": "500m", "memory": "4Gi"}
    cost = costs.estimate(PRICES, 1, start_seconds=10, score_seconds=20, parts=3, resources=half)
    assert cost["parts"]["states"] == 14
    assert cost["parts"]["lambda"] == pytest.approx(100 * (0.3 + 10 * 0.5 + 20 * 1769 / 1024))
    assert cost["parts"]["s3"] == 10_000 * (7 + 2 * 3)
    # The larger share of a node of 2 cores and 8 GiB.
    assert cost["parts"]["pods"] == pytest.approx(30 * 0.5)
    assert cost["usd"] == pytest.approx(sum(cost["parts"].values()))
    assert cost["prices"] == "then, there"


def test_each_pod_of_a_file_is_paid_for_and_one_with_a_gpu_has_no_price() -> None:
    one, four = (
        costs.estimate(PRICES, pods, start_seconds=0, score_seconds=900, parts=0, resources={"cpu": "2"})
        for pods in (1, 4)
    )
    assert four["parts"]["pods"] == 4 * one["parts"]["pods"]
    # A round more of stream_file each, and an attempt for each shard beside that of the file.
    assert (one["parts"]["states"], four["parts"]["states"]) == (14 + 3, 5 * 14 + 4 * 3)
    assert "pods" not in costs.estimate(PRICES, 1, 0, 900, 0, {"cpu": "2", "gpu": 1})["parts"]


def test_the_price_table_has_what_an_estimate_needs() -> None:
    assert costs.estimate(costs.table(), 1, 30, 60, 1, {"cpu": "500m", "memory": "1Gi"})["usd"] == pytest.approx(
        0.0021, rel=0.3
    )
