"""Whatever file people drop comes back right, or says what is wrong with it: all of tests/cases side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import cases, models_of_cases
from tests.cases import CASES, Case
from tests.e2e import models
from tests.e2e.pipeline import Outcome, Pipeline

# Small, so that all pods have room at once.
SIZE = {"cpu": "20m", "memory": "128Mi"}
# All at once, each step would start as many environments of its function anew: slower by far than using some again.
SIDE_BY_SIDE = 8


def test_each_file_is_in_a_case() -> None:
    there = {path.name for path in cases.FILES.iterdir()} - {"README.md"}
    assert {case.file for case in CASES} == there


def test_each_file_comes_back_right_or_says_what_is_wrong_with_it(pipeline: Pipeline) -> None:
    """One test, so that they are side by side; it tells of all cases that fail."""
    names = {case.model for case in CASES}
    images = {name: models.push(pipeline, name, app=Path(models_of_cases.__file__)) for name in names}

    def play(case: Case) -> str:
        """What is wrong with what came back; nothing at best."""
        tags = {"model_image": images[case.model], "protocol": case.protocol, **SIZE, **case.tags}
        try:
            judge(pipeline, case, pipeline.drop(path(case), case.body, **tags))
        except Exception as error:  # noqa: BLE001  (one case does not hide the others)
            return f"{case.name}: {type(error).__name__}: {error}"
        return ""

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        failures = list(filter(None, pool.map(play, CASES)))
    assert not failures, f"{len(failures)} of {len(CASES)} cases:\n\n" + "\n\n".join(failures)


def path(case: Case) -> str:
    """Where a case is dropped: a folder of its own, since several drop the same file."""
    return f"cases/{case.name.removeprefix(case.file).strip()}/{case.file}"


def judge(pipeline: Pipeline, case: Case, execution: str) -> None:
    """Hold what came back against the case, to the byte."""
    outcome = pipeline.outcome(execution)
    base = f"{pipeline.stack.output_prefix}{path(case)}"
    wanted = {".error": bool(case.error), ".scoreout": not case.error, ".rejected": bool(case.rejected)}
    assert outcome.key == base + (".error" if case.error else ".scoreout"), outcome.body.decode(errors="replace")
    assert {suffix: pipeline.read(base + suffix) is not None for suffix in wanted} == wanted
    if case.error:
        judge_error(case, outcome)
    else:
        assert outcome.body == case.scored, outcome.body
        assert case.tags_out.items() <= outcome.tags.items(), outcome.tags
        assert outcome.tags.keys().isdisjoint({"padded", "rejected"} - case.tags_out.keys()), outcome.tags
    if case.rejected:
        rejected = pipeline.read_outcome(base + ".rejected")
        assert rejected.body == case.rejected, rejected.body
        assert rejected.tags == outcome.tags
    assert launched(pipeline, execution) != case.is_refused_early


def judge_error(case: Case, outcome: Outcome) -> None:
    error, text = outcome.error, outcome.body.decode()
    assert error["error"] == outcome.tags["error"] == case.error, text
    assert all(words in error["summary"] for words in case.summary), error["summary"]
    assert all(words in error["remedy"] for words in case.remedy), error["remedy"]
    # The record, and the model's own words.
    assert all(words in map(str, error["details"].values()) for words in case.details), text


def launched(pipeline: Pipeline, execution: str) -> bool:
    """Whether the newest attempt has come as far as to launch a pod."""
    events = pipeline.history(pipeline.attempt(execution))
    return any(event.get("stateEnteredEventDetails", {}).get("name") == "launch_pod" for event in events)
