"""A model of one's own, from a folder, where there is no Docker; tests/sam has it where there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from local import docker, model
from tests.e2e.pipeline import Pipeline

HERE = Path(__file__).parent
DOCKERFILE = """FROM python:3.9-slim
WORKDIR /app
COPY app.py /app/
RUN python -m py_compile /app/app.py
USER 1000
ENV GREETING=0.0.0.0:1
CMD ["python", "app.py", "--bind", "0.0.0.0"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Of Mine"
    made.mkdir()
    shutil.copy(HERE / "telling.py", made / "app.py")
    (made / "Dockerfile").write_text(DOCKERFILE)
    return made


def test_it_runs_in_an_environment_of_its_own_and_one_is_told_so(
    pipeline: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.only_embedded("a cluster of yours gets images that Docker has built")
    monkeypatch.setattr(docker, "unusable", lambda: "the command `docker` is not installed")
    told: list[str] = []
    image = model.publish(pipeline.stack, folder, told.append)
    assert image.startswith("yours/of-mine@sha256:")
    assert "Docker cannot be used: the command `docker` is not installed." in told
    assert any("stands for python:3.9-slim" in line for line in told)
    outcome = pipeline.score("of-mine.csv", b"id\n7\n8\n", model_image=image, protocol="auto")
    # A process has no network of its own: all addresses are its pod's.
    row = rb"--bind (127\.\d+\.\d+\.\d+),\1:1,true,8080"
    assert re.fullmatch(b"7," + row, outcome.lines[1]), outcome.lines
    assert len(outcome.lines) == 3
    assert outcome.tags["protocol"] == "sagemaker"
