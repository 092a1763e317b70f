"""One embedded stack for the whole test session, shared by all workers; its models are images of the tests' own too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from local import images
from local import stack as embedded
from tests.e2e.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local/e2e"
DOCKERFILE = """FROM python:3.13-slim
WORKDIR /app
COPY app.py .
ENV BEHAVIOUR={behaviour}
EXPOSE 8080
USER 1000
ENTRYPOINT ["python", "app.py"]
"""


@pytest.fixture(scope="session")
def stack() -> embedded.Stack:
    return embedded.up(STATE, parameters={"StartDeadlineSeconds": "30", "TagWaitSeconds": "1"})


@pytest.fixture(scope="session")
def pipeline(stack: embedded.Stack) -> Pipeline:
    return Pipeline(stack)


@pytest.fixture
def misbehaving(pipeline: Pipeline, tmp_path: Path) -> Callable[[str], str]:
    """Push an image that misbehaves in the given way; its repository."""

    def push(behaviour: str) -> str:
        folder = tmp_path / behaviour
        folder.mkdir()
        shutil.copy(Path(__file__).with_name("misbehaving.py"), folder / "app.py")
        (folder / "Dockerfile").write_text(DOCKERFILE.format(behaviour=behaviour))
        image = images.build(folder, ROOT / ".venv-models/bin/python")
        repository = f"tests/{behaviour}"
        images.push(pipeline.stack.client("ecr"), image, repository=repository, tag="latest")
        return repository

    return push
