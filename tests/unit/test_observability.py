"""Log lines and metrics: each tells of which file, in a form that CloudWatch reads."""

import io
import json
from typing import Any

import pytest

from scoring.errors import PodCrashed
from scoring.observability import count, gauge_seconds, logger, observed
from tests.builders import ATTEMPT_ID, FILE_ID, Context, envelope, state


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    """What was logged since the last time."""
    text = log.getvalue()
    log.seek(0)
    log.truncate()
    return [json.loads(line) for line in text.splitlines()]


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    logger.info("at work")
    if "raise" in event:
        raise event["raise"]
    return {"answer": "x"}


def test_each_line_names_the_file_and_the_attempt(log: io.StringIO) -> None:
    assert handler(envelope(state()), Context()) == {"answer": "x"}
    at_work, done = lines(log)
    for line in (at_work, done):
        assert (line["file_id"], line["attempt_id"], line["service"]) == (FILE_ID, ATTEMPT_ID, "dropscore")
    assert (done["message"], done["answer"]) == ("done", {"answer": "x"})


def test_a_warm_function_forgets_the_file_before(log: io.StringIO) -> None:
    handler(envelope(state()), Context())
    lines(log)
    handler({}, Context())
    assert all("file_id" not in line for line in lines(log))


def test_an_error_of_ours_is_logged_in_its_own_words_and_raised_on(log: io.StringIO) -> None:
    with pytest.raises(PodCrashed):
        handler({"raise": PodCrashed("It crashed.", "Repair it.")}, Context())
    line = lines(log)[-1]
    assert (line["level"], line["message"], line["error"]) == ("WARNING", "It crashed.", "PodCrashed")
    assert line["remedy"] == "Repair it."


def test_any_other_error_is_logged_with_its_trace_and_raised_on(log: io.StringIO) -> None:
    with pytest.raises(ZeroDivisionError):
        handler({"raise": ZeroDivisionError("x")}, Context())
    line = lines(log)[-1]
    assert (line["level"], line["exception_name"]) == ("ERROR", "ZeroDivisionError")


def test_a_metric_is_one_line_that_cloudwatch_reads(capsys: pytest.CaptureFixture[str]) -> None:
    count("FilesScored")
    gauge_seconds("OldestAttemptAge", 12.5)
    scored, age = map(json.loads, capsys.readouterr().out.splitlines())
    assert (scored["FilesScored"], scored["service"]) == ([1.0], "dropscore")
    assert scored["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "dropscore"
    assert scored["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "FilesScored", "Unit": "Count"}]
    assert age["OldestAttemptAge"] == [12.5]
    assert "FilesScored" not in age
