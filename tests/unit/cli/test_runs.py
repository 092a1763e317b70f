"""Which files there are, what became of them, and which a redrive of a time takes up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError, NoCredentialsError, UnauthorizedSSOTokenError

from dropscore.cache import Cache
from dropscore.main import main
from dropscore.runs import Run, described, find, of_description, span, to_redrive
from dropscore.stack import Stack, Unusable, in_words
from tests.unit.cli.stand_ins import ARN, NOW, refused, stack_of


def run(key: str, status: str = "FAILED", started: int = 30, stopped: int | None = 20) -> Run:
    """A run that started and stopped so many minutes ago."""
    ago = [NOW - timedelta(minutes=minutes) if minutes is not None else None for minutes in (started, stopped)]
    assert ago[0]
    return Run(f"{ARN}{key}-{started}", status, ago[0], ago[1], bucket="bucket", key=key)


def test_failed_and_timed_out_ones_of_the_window_are_redriven_oldest_first() -> None:
    young, old = run("b", started=25), run("a", "TIMED_OUT", started=40)
    others = [
        run("c", "SUCCEEDED"),
        run("d", "ABORTED"),
        run("e", "RUNNING", stopped=None),
        run("f", started=200, stopped=90),
    ]
    assert to_redrive([young, *others, old], NOW - timedelta(hours=1)) == ([old, young], [])


@pytest.mark.parametrize("later", ["SUCCEEDED", "RUNNING", "FAILED"])
def test_a_file_that_was_dropped_again_is_not_overwritten_by_the_older_one(later: str) -> None:
    first = run("a", started=50)
    second = run("a", later, started=40, stopped=30)
    redriven, superseded = to_redrive([first, second], NOW - timedelta(hours=1))
    assert first in superseded
    assert redriven == ([second] if later == "FAILED" else [])


def test_spans_are_read_and_nonsense_is_refused() -> None:
    assert span("90m") == timedelta(minutes=90)
    assert span("14d") == timedelta(days=14)
    for text in ("1w", "-1h", "h", ""):
        with pytest.raises(ValueError, match="write 30m, 2h or 1d"):
            span(text)


SOURCE = json.dumps({"source": {"bucket": "in", "key": "incoming/a.csv", "version_id": "v1", "etag": "e", "size": 7}})


def test_a_scored_run_tells_its_rows() -> None:
    output = {"attempt": "arn:attempt", "cluster": "prod", "output": {"uri": "s3://out/x", "rows": 5, "rejected": 1}}
    found = of_description(run("a", "SUCCEEDED"), {"input": SOURCE, "output": json.dumps(output)})
    assert (found.key, found.size, found.rows, found.rejected) == ("incoming/a.csv", 7, 5, 1)
    assert (found.attempt, found.cluster, found.state) == ("arn:attempt", "prod", "scored")


@pytest.mark.parametrize(
    ("status", "said", "error", "cause"),
    [
        # A failed child's description is the cause.
        (
            "FAILED",
            {
                "error": "States.TaskFailed",
                "cause": json.dumps({"Error": "PodCrashed", "Cause": "It died.", "ExecutionArn": "arn:attempt"}),
            },
            "PodCrashed",
            "It died.",
        ),
        (
            "FAILED",
            {"error": "States.TaskFailed", "cause": json.dumps({"Status": "ABORTED", "ExecutionArn": "arn:attempt"})},
            "Aborted",
            "",
        ),
        ("FAILED", {"error": "States.Runtime", "cause": "no JSON"}, "States.Runtime", "no JSON"),
        ("ABORTED", {}, "Aborted", ""),
        ("TIMED_OUT", {}, "States.Timeout", ""),
    ],
)
def test_a_failed_run_tells_the_words_of_its_attempt(status: str, said: dict[str, Any], error: str, cause: str) -> None:
    found = of_description(run("a", status), {"input": SOURCE, **said})
    assert (found.error, found.cause) == (error, cause)
    assert found.is_redrivable(NOW)
    assert not replace(found, stopped=NOW - timedelta(days=15)).is_redrivable(NOW)


def test_what_has_ended_is_asked_for_once(tmp_path: Path) -> None:
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv", "b-csv-2": "incoming/b.csv"})
    runs = [Run(ARN + name, "SUCCEEDED", NOW, NOW) for name in stepfunctions.keys]
    cache = Cache(tmp_path / "c" / "cache.sqlite")
    assert [each.key for each in described(stack, runs, cache)] == ["incoming/a.csv", "incoming/b.csv"]
    assert sorted(stepfunctions.described) == ["a-csv-1", "b-csv-2"]
    # A redrive ends anew.
    again = [replace(runs[0], stopped=NOW + timedelta(minutes=1)), runs[1]]
    described(stack, again, Cache(tmp_path / "c" / "cache.sqlite"))
    assert sorted(stepfunctions.described) == ["a-csv-1", "a-csv-1", "b-csv-2"]
    assert (tmp_path / "c").stat().st_mode & 0o77 == 0


@pytest.fixture
def found_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keys = {
        "a-csv-1": "incoming/x/a.csv",
        "a-csv-2": "incoming/A.csv",
        "b-csv-3": "incoming/y/b.csv",
        "a-csv-4": "incoming/z/a.csv",
    }
    return stack_of(keys)[0]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("x/a.csv", "incoming/x/a.csv"),
        ("incoming/z/a.csv", "incoming/z/a.csv"),
        ("s3://in/incoming/A.csv", "incoming/A.csv"),
        ("A.csv", "incoming/A.csv"),
        ("some/where/b.csv", "incoming/y/b.csv"),
        ("a-csv-4", "incoming/z/a.csv"),
    ],
)
def test_a_file_is_found_by_what_people_call_it(found_in: Stack, given: str, key: str) -> None:
    assert find(found_in, given).key == key


def test_a_name_that_may_be_two_files_is_no_guess(found_in: Stack) -> None:
    with pytest.raises(Unusable, match=r"x/a\.csv, z/a\.csv"):
        find(found_in, "a.csv")
    with pytest.raises(Unusable, match=r"No file c\.csv"):
        find(found_in, "c.csv")


@pytest.mark.parametrize("code", ["ExecutionDoesNotExist", "InvalidArn"])
def test_an_execution_that_there_is_not_is_told_so(code: str) -> None:
    stack, stepfunctions = stack_of({})
    stepfunctions.refusals["a"] = [refused(code)]
    with pytest.raises(Unusable, match=f"There is no execution {ARN}a"):
        find(stack, ARN + "a")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "your credentials do not allow it"),
        ("ThrottlingException", "AWS has too many requests just now"),
        ("ExpiredTokenException", "your credentials have expired"),
        ("UnrecognizedClientException", "AWS does not know your credentials"),
    ],
)
def test_any_other_refusal_says_what_it_means(
    code: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, stepfunctions = stack_of({})
    stepfunctions.refusals["a"] = [refused(code)]
    monkeypatch.setattr(Stack, "find", lambda *_: stack)
    monkeypatch.setattr("sys.argv", ["dropscore", "show", ARN + "a"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert "There is no execution" not in said


class Expired:
    """A session, and its only client, whose credentials have expired."""

    def client(self, *_: object, **__: object) -> Expired:
        return self

    def describe_stacks(self, **_: object) -> None:
        raise refused("ExpiredToken", "DescribeStacks")


def test_who_has_to_log_in_again_is_told_so_before_anything_else() -> None:
    with pytest.raises(Unusable, match="There is no reaching the stack s: your credentials have expired") as told:
        Stack.find("s", Expired())
    assert "aws sso login" in told.value.remedy


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "there are no credentials"),
        (UnauthorizedSSOTokenError(), "there are no credentials"),
        (EndpointConnectionError(endpoint_url="http://nowhere"), "AWS cannot be reached"),
    ],
)
def test_what_does_not_come_from_aws_is_told_in_words_too(error: BotoCoreError, words: str) -> None:
    told = in_words(error, "It failed")
    assert told.summary.startswith(f"It failed: {words}")
    assert told.remedy
