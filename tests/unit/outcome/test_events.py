"""What EventBridge is told of each file: enough to go by, nothing secret, once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from scoring import aws, settings
from scoring.errors import Failure
from scoring.intake import identity
from scoring.outcome import events, history
from tests.builders import ATTEMPT_ID, DIGEST, EXECUTION, OUTPUT_BUCKET, request, source, state

STARTED = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
FINISHED = STARTED + timedelta(seconds=61.5)
PARENT = EXECUTION.replace(":attempt:", ":score_file:")
ERROR = {"bucket": OUTPUT_BUCKET, "key": "scored/2026/loans.csv.error"}
# What EventBridge takes.
MOST_BYTES = 256 << 10


def scored(superseded: bool = False, **scoring: Any) -> dict[str, Any]:
    secret = {"port": 8080, "env": {"PASSWORD": "hidden"}}
    whole = state(
        request=request(pod=secret), scoring={"rows": 3, "bytes": 20} | scoring, **{history.STARTED_BY: PARENT}
    )
    return events.scored(whole, EXECUTION, STARTED, FINISHED, "dropscore", superseded)


def failed(summary: str = "It crashed.") -> dict[str, Any]:
    failure = Failure("PodCrashed", summary, "Repair it.", {"record": "hidden"})
    return events.failed(
        state(), EXECUTION, STARTED, FINISHED, "dropscore", failure, "await_pod", ERROR, superseded=False
    )


def test_a_scored_file_is_told_with_what_it_was_scored_by() -> None:
    detail = scored(rejected=1)
    assert {
        name: detail[name] for name in ("id", "attempt", "execution", "file_execution", "rows", "rejected", "bytes")
    } == {
        "id": f"{ATTEMPT_ID}/scored",
        "attempt": ATTEMPT_ID,
        "execution": EXECUTION,
        "file_execution": PARENT,
        "rows": 3,
        "rejected": 1,
        "bytes": 20,
    }
    assert detail["source"] == source().to_json()
    assert detail["output"] == {
        "bucket": OUTPUT_BUCKET,
        "key": "scored/2026/loans.csv.scoreout",
        "rejected_key": "scored/2026/loans.csv.rejected",
    }
    assert (detail["model_digest"], detail["protocol"], detail["duration_seconds"]) == (DIGEST, "sas", 61.5)
    assert "superseded" not in detail
    assert "hidden" not in json.dumps(detail), "a profile's env is no matter of those who listen"


def test_a_file_whose_newer_version_was_faster_is_told_as_such() -> None:
    detail = scored(superseded=True)
    assert detail["superseded"] is True
    assert "newer version" in detail["message"]


def test_a_failed_file_is_told_with_what_to_do() -> None:
    detail = failed()
    assert (detail["error"], detail["stage"], detail["summary"], detail["remedy"]) == (
        "PodCrashed",
        "await_pod",
        "It crashed.",
        "Repair it.",
    )
    assert detail["output"] == ERROR
    # It had no attempt that another execution would have started.
    assert detail["file_execution"] == EXECUTION
    assert "hidden" not in json.dumps(detail), "the .error holds the records, for those who may read it"


@pytest.mark.parametrize("letter", ["x", "\U0001f600", "\x00", "\ud800", '"', "\\"])
def test_whatever_a_model_says_the_event_is_one_that_eventbridge_takes(letter: str) -> None:
    detail = failed(letter * 1_000_000)
    text = json.dumps(detail)
    assert len(text) + 1_000 < MOST_BYTES
    json.dumps(detail, ensure_ascii=False).encode()


def test_the_message_may_stand_between_the_quotes_of_an_input_transformer() -> None:
    message = failed('He said "no\\n";\n\tthen\x07 it "ended".')["message"]
    assert message == (
        "s3://dropscore-input/incoming/2026/loans.csv is not scored (PodCrashed): He said 'no/n'; then? it 'ended'. Repair it."
    )
    assert json.loads(f'"{message}"') == message


class Events:
    """EventBridge: each answer is what it refuses with, or None; all others are taken."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.calls = list(answers), 0
        self.taken: list[dict[str, Any]] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  (EventBridge's name)
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": answer, "ErrorMessage": "as AWS says"}]}
        self.taken += Entries
        return {"FailedEntryCount": 0}


REFUSED = "InternalException"


@pytest.fixture
def bridge(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Events:
    found = Events()
    monkeypatch.setattr(aws, "client", {"s3": s3, "events": found}.__getitem__)
    monkeypatch.setattr(events, "_PAUSE_SECONDS", 0)
    return found


def tell() -> None:
    events.tell(settings.current(), events.SCORED, scored())


def test_an_event_is_put_once(bridge: Events) -> None:
    tell()
    tell()
    (entry,) = bridge.taken
    assert (entry["Source"], entry["DetailType"], entry["Resources"]) == ("dropscore", "File Scored", [EXECUTION])


def test_what_eventbridge_does_not_take_at_first_is_put_again(bridge: Events) -> None:
    bridge.answers = [REFUSED, REFUSED]
    tell()
    assert (len(bridge.taken), bridge.calls) == (1, 3)


@pytest.mark.parametrize("answers", [[REFUSED] * 3, [EndpointConnectionError(endpoint_url="https://events")]])
def test_what_cannot_be_told_is_counted_and_told_by_the_next_call(
    bridge: Events, answers: list[Any], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bridge.answers = answers
    tell()
    assert not bridge.taken
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(line.get("EventsNotPut") == [1.0] for line in lines)
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "event not put")]
    tell()
    assert len(bridge.taken) == 1


def test_another_outcome_of_the_same_attempt_is_told_as_well(bridge: Events) -> None:
    """A publication that was under way when its execution was stopped."""
    events.tell(settings.current(), events.FAILED, failed())
    tell()
    assert [entry["DetailType"] for entry in bridge.taken] == ["File Failed", "File Scored"]


def test_without_a_record_an_event_is_put_all_the_same(
    bridge: Events, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_BUCKET", "no-such-bucket")
    settings.current.cache_clear()
    tell()
    assert len(bridge.taken) == 1


def test_the_record_lies_where_no_outcome_and_no_progress_does() -> None:
    key = identity.told_key(ATTEMPT_ID, settings.current())
    assert key == f"scored/.progress/.told/{ATTEMPT_ID}"
    assert not key.startswith(identity.progress_key(ATTEMPT_ID, settings.current()))
