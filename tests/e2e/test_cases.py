"""Each file that people drop gets on the deployed stack what it must get: all of them at once, side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local import images
from tests.cases import CASES, Case
from tests.e2e.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
DOCKERFILE = """FROM python:3.13-slim
WORKDIR /app
COPY app.py .
ENV MODEL={model}
EXPOSE 8080
USER 1000
ENTRYPOINT ["python", "app.py"]
"""
SIZE = {"cpu": "20m", "memory": "96Mi"}


def push(pipeline: Pipeline, model: str, folder: Path) -> str:
    """Push an image of a model of tests/models_of_cases.py; its repository."""
    folder.mkdir()
    (folder / "app.py").write_bytes((ROOT / "tests/models_of_cases.py").read_bytes())
    (folder / "Dockerfile").write_text(DOCKERFILE.format(model=model))
    built = images.build(folder, ROOT / ".venv-models/bin/python")
    images.push(pipeline.stack.client("ecr"), built, repository=f"tests/cases-{model}", tag="latest")
    return f"tests/cases-{model}"


def wrong(pipeline: Pipeline, case: Case, execution: str) -> str:
    """What is wrong with the outcome of a case; empty if nothing is."""
    try:
        judge(pipeline, case, execution)
    except AssertionError as error:
        return f"{case.name}: {error}"
    return ""


def judge(pipeline: Pipeline, case: Case, execution: str) -> None:
    outcome = pipeline.outcome(execution)
    rejected = pipeline.read(outcome.key.removesuffix(".scoreout") + ".rejected")
    if case.error:
        error = outcome.error
        assert error["error"] == case.error, error
        assert all(words in error["summary"] for words in case.summary), error["summary"]
        assert all(words in error["remedy"] for words in case.remedy), error["remedy"]
        assert all(words in map(str, error["details"].values()) for words in case.details), error["details"]
        entered = {
            event["stateEnteredEventDetails"]["name"]
            for event in pipeline.history(pipeline.attempt(execution))
            if "stateEnteredEventDetails" in event
        }
        assert ("launch_pod" in entered) != case.is_refused_early, entered
    else:
        assert outcome.key.endswith(".scoreout"), outcome.body.decode()
        assert outcome.body == case.scored, outcome.body[:2_000]
        assert case.tags_out.items() <= outcome.tags.items(), outcome.tags
    assert (rejected or b"") == case.rejected, rejected


def test_each_file_that_people_drop_gets_what_it_must_get(pipeline: Pipeline, tmp_path: Path) -> None:
    repositories = {model: push(pipeline, model, tmp_path / model) for model in sorted({case.model for case in CASES})}

    def drop(number: int) -> str:
        case = CASES[number]
        tags = {"model_image": repositories[case.model], "protocol": case.protocol, **SIZE, **case.tags}
        return pipeline.drop(f"cases/{number}/{case.file}", case.body, **tags)

    with ThreadPoolExecutor(8) as pool:
        executions = list(pool.map(drop, range(len(CASES))))
        told = pool.map(lambda pair: wrong(pipeline, *pair), zip(CASES, executions, strict=True))
        assert "\n".join(filter(None, told)) == ""
