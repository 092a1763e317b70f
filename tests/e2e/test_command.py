"""The command `dropscore`, as people run it: its output and its exit codes, against the deployed stack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dropscore import ended, main, output, runs
from dropscore.cache import Cache
from dropscore.stack import Stack
from tests.e2e.pipeline import Pipeline, wait_for

MODELS = Path(__file__).parents[2] / "models"
PEOPLE = MODELS / "sas-anomaly/sample.csv"
SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """What a command has ended with, and what it has said."""

    code: object
    out: str
    err: str


Dropscore = Callable[..., Done]


@pytest.fixture
def environment(pipeline: Pipeline, tmp_path: Path) -> Mapping[str, str]:
    """Of a user of the folder, who may do what the policy for users says and nothing else."""
    return pipeline.stack.environment() | pipeline.stack.user | {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def dropscore(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Dropscore:
    """Runs the command in an empty folder. In this process: another one costs half a second each."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output.console, "_width", 250)

    def run(*given: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["dropscore", *given])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return Done(ended.value.code, *capsys.readouterr())

    return run


Listed = Callable[[str], list[str]]


@pytest.fixture
def listed(dropscore: Dropscore, monkeypatch: pytest.MonkeyPatch) -> Listed:
    """The words of the lines of `ls` of files whose names begin so: by the index, which has to be what Step Functions tells."""
    moment, by_arn, told = runs.now(), ended.by_arn, dict[str, runs.Run]()
    monkeypatch.setattr(runs, "now", lambda: moment)
    # `score` may have seen the end of one, and kept what it was told.
    monkeypatch.setattr(Cache, "find", lambda *_: {})

    def by_index(stack: Stack, wanted: Sequence[runs.Run]) -> dict[str, runs.Run]:
        told.update(found := by_arn(stack, wanted))
        return found

    def lines(name: str) -> list[str]:
        listed = dropscore("ls", "--since", "1h", "--limit", "1000").out.splitlines()
        return sorted(" ".join(line.split()) for line in listed if line.startswith(name))

    def look(name: str) -> list[str]:
        monkeypatch.setattr(ended, "_WORTH", 0)
        monkeypatch.setattr(ended, "by_arn", by_index)
        found = lines(name)
        assert len([run for run in told.values() if run.key.startswith(f"incoming/{name}")]) == len(found)
        monkeypatch.setattr(ended, "by_arn", lambda *_: {})
        assert lines(name) == found
        return found

    return look


def test_files_are_dropped_side_by_side_and_come_back(
    dropscore: Dropscore, well: dict[str, str], listed: Listed, tmp_path: Path
) -> None:
    for name in ("people-1.csv", "people-2.csv"):
        (tmp_path / name).write_bytes(PEOPLE.read_bytes())
    tags = (
        "--model",
        well["model_image"],
        "--protocol",
        well["protocol"],
        "--tag",
        "max_errors=1",
        "--folder",
        "command",
    )
    done = dropscore("score", "people-1.csv", "people-2.csv", *tags, "--out", "scored")
    assert done.code == 0, done.out + done.err
    lines = PEOPLE.read_bytes().count(b"\n")
    for name in ("people-1.csv", "people-2.csv"):
        assert (tmp_path / f"scored/{name}.scoreout").read_bytes().count(b"\n") == lines
        assert f"✓ command/{name}: {lines - 1} rows scored" in done.out

    assert len(listed("command/people-")) == 2
    told = [json.loads(line) for line in dropscore("ls", "--json", "--since", "1h", "--limit", "1000").out.splitlines()]
    mine = {each["key"]: each for each in told if each["key"].startswith("incoming/command/people-")}
    assert {(each["state"], each["rows"], each["cluster"]) for each in mine.values()} == {
        ("scored", lines - 1, "dropscore-local")
    }

    shown = dropscore("show", "command/people-1.csv")
    assert shown.code == 0
    for step in ("resolve_request", "launch_pod", "stream_file", "persist_output", "tear_down"):
        assert step in shown.out
    assert "s3://dropscore-output/scored/command/people-1.csv.scoreout" in shown.out


def test_an_error_comes_back_is_shown_and_retried(
    dropscore: Dropscore, pipeline: Pipeline, well: dict[str, str], listed: Listed, tmp_path: Path
) -> None:
    (tmp_path / "lost.csv").write_bytes(PEOPLE.read_bytes())
    done = dropscore("score", "lost.csv", "--folder", "command", "--model", "tests/no-such-model")
    assert done.code == 3, done.out + done.err
    assert "ECR has no repository tests/no-such-model" in done.out
    assert json.loads((tmp_path / "lost.csv.error").read_text())["error"] == "ImageNotFound"

    assert any("ImageNotFound: ECR has no repository" in line for line in listed("command/lost.csv"))
    failed = dropscore("ls", "--failed", "--limit", "1000")
    assert "command/lost.csv" in failed.out
    assert "ImageNotFound" in failed.out
    shown = dropscore("show", "command/lost.csv")
    assert shown.code == 3
    assert "Push the model image to ECR" in shown.out

    key = pipeline.stack.input_prefix + "command/lost.csv"
    tagging = {"TagSet": [{"Key": name, "Value": value} for name, value in well.items()]}
    pipeline.s3.put_object_tagging(Bucket=pipeline.stack.input_bucket, Key=key, Tagging=tagging)
    retried = dropscore("retry", "command/lost.csv")
    assert retried.code == 0
    assert "command/lost.csv is scored again" in retried.out
    shown = _scored(pipeline, dropscore, "command/lost.csv")
    assert "attempt 2" in shown
    again = dropscore("retry", "command/lost.csv")
    assert again.code == 1
    assert "command/lost.csv is scored" in again.out
    tags = [each for name, value in well.items() for each in ("--tag", f"{name}={value}")]
    assert dropscore("score", "lost.csv", "--folder", "command", *tags).code == 0
    assert (tmp_path / "lost.csv.scoreout").exists()
    assert not (tmp_path / "lost.csv.error").exists(), "it is of the first drop"


def test_an_older_run_is_not_told_with_the_error_of_a_newer_one(dropscore: Dropscore, pipeline: Pipeline) -> None:
    older = pipeline.drop("command/twice.csv", b"a\n1\n", protocol="soap")
    assert pipeline.outcome(older).error["error"] == "InvalidTags"
    newer = pipeline.drop("command/twice.csv", b"a\n2\n", model_image="tests/no-such-model")
    assert pipeline.outcome(newer).error["error"] == "ImageNotFound"
    for run, error, other in ((older, "InvalidTags", "ImageNotFound"), (newer, "ImageNotFound", "InvalidTags")):
        shown = dropscore("show", run)
        assert shown.code == 3
        assert error in shown.out
        assert other not in shown.out
    assert "Push the model image to ECR" in dropscore("show", newer).out, "with what its own .error says beside that"


def test_wrong_use_is_told_before_anything_is_dropped(dropscore: Dropscore, tmp_path: Path) -> None:
    (tmp_path / "_hidden.csv").write_text("a\n1\n")
    (tmp_path / "good.csv").write_text("a\n1\n")
    for given, said in (
        (["missing.csv"], "There is no file missing.csv"),
        (["_hidden.csv"], "matches _* of the stack's parameter IgnoredFiles"),
        (["good.csv", "./good.csv"], "would lie in the same place"),
        (["good.csv", "--tag", "nonsense"], "is no name=value"),
        (["good.csv", *[each for n in range(11) for each in ("--tag", f"t{n}=1")]], "at most 10 tags"),
    ):
        done = dropscore("score", *given)
        assert done.code == 2, done.out
        assert said in done.err
    assert "good.csv" not in dropscore("ls", "--json", "--limit", "1000").out


def test_a_stack_that_is_not_there_is_no_traceback(dropscore: Dropscore, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("a\n1\n")
    done = dropscore("score", "good.csv", "--stack", "another")
    assert done.code == 1
    assert "There is no reaching the stack another" in done.err
    assert "Traceback" not in done.err


def test_ctrl_c_leaves_a_file_to_go_on(
    pipeline: Pipeline,
    misbehaving: Callable[[str], str],
    dropscore: Dropscore,
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    (tmp_path / "going.csv").write_bytes(PEOPLE.read_bytes())
    command = [sys.executable, "-m", "dropscore", "score", "going.csv", "--folder", "command"]
    command += ["--model", misbehaving("slow"), "--protocol", "sagemaker"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own = kept | environment | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=own, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        # Its first line but the one that it was dropped.
        assert any("dropped" not in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Come back with `dropscore show command/going.csv`" in rest
    assert "scored/command/going.csv.scoreout" in _scored(pipeline, dropscore, "command/going.csv")


def _scored(pipeline: Pipeline, dropscore: Dropscore, name: str) -> str:
    """What `show` says of a file once it is scored."""
    (told,) = dropscore("show", name, "--json").out.splitlines()
    arn = json.loads(told)["arn"]
    wait_for(name, lambda: pipeline.sfn.describe_execution(executionArn=arn)["status"] == "SUCCEEDED")
    return dropscore("show", name).out
