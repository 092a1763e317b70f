"""What came of a file is told of the run that it is of: not of an older attempt, nor of a newer version of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dropscore import dropping, score
from dropscore.dropping import Drop, Dropped
from dropscore.main import cli
from dropscore.output import BROKEN, ERROR_FILE, console
from dropscore.stack import Stack, Unusable
from tests.unit.cli.stand_ins import ARN, NOW, StepFunctions, failed, refused, stack_of, started

FIRST, SECOND = "arn:aws:states:us-east-1:000000000000:execution:attempt:1", "arn:attempt:2"
ERROR = "scored/a.csv.error"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    """A file that has failed, in the stack that the command finds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(console, "_width", 250)
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv"})
    stepfunctions.told["a-csv-1"] = failed(FIRST)
    stepfunctions.histories[ARN + "a-csv-1"] = [started(FIRST)]
    monkeypatch.setattr(Stack, "find", lambda *_: stack)
    return stack


@pytest.fixture
def stepfunctions(stack: Stack) -> StepFunctions:
    found: StepFunctions = stack.stepfunctions
    return found


def put_error(stack: Stack, attempt: str) -> None:
    document = {"error": "ModelFailed", "summary": "Of its own.", "remedy": "Do it.", "attempt": attempt}
    stack.s3.put_object(Bucket="out", Key=ERROR, Body=json.dumps(document).encode())


def run(*given: str) -> tuple[int, str]:
    with console.capture() as said:
        done = CliRunner().invoke(cli, given, standalone_mode=False, catch_exceptions=False)
    return done.return_value, said.get() + done.output


def test_the_error_of_its_own_attempt_is_shown(stack: Stack) -> None:
    put_error(stack, "1")
    code, said = run("show", "a.csv")
    assert code == ERROR_FILE
    assert "ModelFailed: Of its own." in said


@pytest.mark.parametrize("attempt", ["another", ""])
def test_an_error_of_another_run_is_not(stack: Stack, attempt: str) -> None:
    put_error(stack, attempt)
    _, said = run("show", "a.csv")
    assert "Of its own" not in said
    assert "PodCrashed: It died. Repair it." in said


def test_after_a_redrive_the_error_of_the_attempt_before_is_old(stack: Stack, stepfunctions: StepFunctions) -> None:
    put_error(stack, "1")
    stepfunctions.histories[ARN + "a-csv-1"].append(started(SECOND, 2))
    _, said = run("show", "a.csv")
    assert "Of its own" not in said


def test_a_run_that_was_stopped_before_its_first_attempt_names_itself(
    stack: Stack, stepfunctions: StepFunctions
) -> None:
    put_error(stack, "a-csv-1")
    stepfunctions.histories.clear()
    stepfunctions.told["a-csv-1"] = {"status": "ABORTED", "stopDate": NOW}
    assert "Of its own" in run("show", "a.csv")[1]


SUPERSEDED = "superseded: the outcome there is of a newer version of the file"


@pytest.mark.parametrize("suffix", [".scoreout", ".error"])
def test_a_failed_run_that_a_newer_version_came_before_is_told_so(stack: Stack, suffix: str) -> None:
    stack.s3.put_object(Bucket="out", Key=f"scored/a.csv{suffix}", Body=b"{}", Tagging="sequencer=06")
    for command in (("show", "a.csv"), ("ls",), ("ls", "--failed")):
        assert SUPERSEDED in run(*command)[1], command
    assert json.loads(run("show", "--json", "a.csv")[1])["superseded"] is True


def test_one_that_came_after_an_older_version_is_not(stack: Stack) -> None:
    stack.s3.put_object(Bucket="out", Key="scored/a.csv.scoreout", Body=b"x", Tagging="sequencer=04")
    for command in (("show", "a.csv"), ("ls",)):
        assert "superseded" not in run(*command)[1], command


def test_a_scored_run_whose_outcome_was_not_written_is_told_so(stepfunctions: StepFunctions) -> None:
    output = {"output": json.dumps({"attempt": FIRST, "output": {"rows": 1, "superseded": True}})}
    stepfunctions.told["a-csv-1"] = {"status": "SUCCEEDED", "stopDate": NOW, **output}
    for command in (("show", "a.csv"), ("ls",)):
        assert SUPERSEDED in run(*command)[1], command


# Several files at once.


class Uploads:
    """S3 that takes files, but none called as `refuses` says."""

    def __init__(self, stack: Stack, refuses: str = "") -> None:
        self._s3, self._refuses = stack.s3, refuses

    def upload_file(self, path: str, bucket: str, key: str, **_: Any) -> None:
        if self._refuses and self._refuses in key:
            raise refused("AccessDenied", "PutObject")
        self._s3.put_object(Bucket=bucket, Key=key, Body=Path(path).read_bytes())

    def list_objects_v2(self, *, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803
        etag = self._s3.head_object(Bucket=Bucket, Key=Prefix)["ETag"]
        return {"Contents": [{"Key": Prefix, "ETag": etag, "Size": 1, "LastModified": NOW}]}

    def download_file(self, bucket: str, key: str, path: str) -> None:
        Path(path).write_bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


NAMES = ("one.csv", "two.csv", "three.csv")


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stack, StepFunctions, list[Drop]]:
    """Three files that are scored as soon as they are dropped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stack, stepfunctions = stack_of({f"{name[:-4]}-csv-1": f"incoming/{name}" for name in NAMES})
    drops = []
    for name in NAMES:
        path = tmp_path / name
        path.write_text(name)
        drops.append(Drop(path, name))
        etag = stack.s3.put_object(Bucket="in", Key=f"incoming/{name}", Body=name.encode())["ETag"].strip('"')
        source = {"bucket": "in", "key": f"incoming/{name}", "etag": etag, "size": 1, "sequencer": "05"}
        arn = f"{ARN}{name[:-4]}-csv-1"
        stepfunctions.told[arn.removeprefix(ARN)] = {"input": json.dumps({"source": source}), "stopDate": NOW}
        stack.s3.put_object(Bucket="out", Key=f"scored/{name}.scoreout", Body=b"a\n1\n", Tagging="rows=1")
    return stack, stepfunctions, drops


def scored(stack: Stack, drops: list[Drop], out: Path) -> tuple[int, str]:
    with console.capture() as said:
        code = score.score(stack, drops, out, look_seconds=0.001)
    return code, said.get()


def test_a_file_that_cannot_be_fetched_keeps_no_other_from_being(
    three: tuple[Stack, StepFunctions, list[Drop]], tmp_path: Path
) -> None:
    stack, stepfunctions, drops = three
    stack.__dict__["s3"] = Uploads(stack)
    stack.s3.delete_object(Bucket="out", Key="scored/one.csv.scoreout")
    stepfunctions.told["two-csv-1"] |= failed(FIRST)
    stepfunctions.histories[ARN + "two-csv-1"] = [started(FIRST)]
    put_error(stack, "1")
    stack.s3.put_object(
        Bucket="out", Key="scored/two.csv.error", Body=stack.s3.get_object(Bucket="out", Key=ERROR)["Body"].read()
    )
    code, said = scored(stack, drops, tmp_path / "out")
    assert code == BROKEN
    assert "one.csv was scored, but s3://out/scored/one.csv.scoreout cannot be read" in said
    assert "✗ two.csv: Of its own." in said
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["three.csv.scoreout", "two.csv.error"]
    # What is broken is told before an .error, which is told before what was scored.
    assert scored(stack, drops[1:], tmp_path / "out")[0] == ERROR_FILE
    assert scored(stack, drops[2:], tmp_path / "out")[0] == 0


def test_a_refused_upload_does_not_lose_the_others(
    three: tuple[Stack, StepFunctions, list[Drop]], tmp_path: Path
) -> None:
    stack, _, drops = three
    stack.__dict__["s3"] = Uploads(stack, refuses="two")
    code, said = scored(stack, drops, tmp_path / "out")
    assert code == BROKEN
    assert "two.csv could not be dropped" in said
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["one.csv.scoreout", "three.csv.scoreout"]


def test_a_file_that_is_not_started_is_told_when_the_others_are_there(
    three: tuple[Stack, StepFunctions, list[Drop]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, stepfunctions, drops = three
    stack.__dict__["s3"] = Uploads(stack)
    monkeypatch.setattr(dropping, "START_SECONDS", 0.05)
    del stepfunctions.keys["two-csv-1"]
    code, said = scored(stack, drops, tmp_path / "out")
    assert code == BROKEN
    assert "Nothing was started for two.csv" in said
    assert len(list((tmp_path / "out").iterdir())) == 2


class _Clock:
    """A minute is over in no time; a file starts every 40 s of it."""

    def __init__(self, stepfunctions: StepFunctions) -> None:
        self.seconds = 0.0
        self._stepfunctions, self._waiting = stepfunctions, dict(stepfunctions.keys)
        stepfunctions.keys.clear()

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, _: float) -> None:
        self.seconds += 20
        if self.seconds % 40 == 0 and self._waiting:
            name, key = self._waiting.popitem()
            self._stepfunctions.keys[name] = key


def test_a_crowd_of_files_is_waited_for_as_long_as_more_of_them_start(
    three: tuple[Stack, StepFunctions, list[Drop]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, stepfunctions, drops = three
    dropped = [
        Dropped(
            each,
            f"incoming/{each.name}",
            stack.s3.head_object(Bucket="in", Key=f"incoming/{each.name}")["ETag"].strip('"'),
            1,
            NOW,
        )
        for each in drops
    ]
    clock = _Clock(stepfunctions)
    monkeypatch.setattr(dropping, "time", clock)

    class Nobody:
        def show(self, files: Any) -> None:
            return None

    dropping.follow(stack, dropped, Nobody())
    assert all(each.is_over for each in dropped)
    assert clock.seconds == 120 > dropping.START_SECONDS


@pytest.mark.parametrize("suffix", [".scoreout", ".error", ".rejected", ".receipt.json"])
def test_what_is_called_as_an_outcome_is_not_dropped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.touch()
    with pytest.raises(Unusable, match="called as an outcome"):
        dropping.drops_of(stack_of({})[0], [path], "", {})
