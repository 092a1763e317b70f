"""Servers whose routes are written in Python: BentoML (CSV and JSON) and LitServe (JSON only)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from scoring.errors import ModelFailed
from scoring.protocols import RowProtocol
from tests.servers.harness import MODELS, Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, assert_predicted_objects, score

pytestmark = pytest.mark.servers
PYTHON = Environment("python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    directory = tmp_path_factory.mktemp("python")
    PYTHON.train("python_models.py", directory)
    return directory


@contextmanager
def run(folder: Path, name: str, *command: str | Path, port: int) -> Iterator[Server]:
    variables = {"PYTHONPATH": str(MODELS), "BENTOML_DO_NOT_TRACK": "True"}
    with serve(command, folder, PYTHON.variables(folder, variables), "mlflow", port, name=name) as server:
        yield server


def bentoml(folder: Path, service: str) -> Any:
    port = free_port("127.0.0.1")
    command = (PYTHON.bin / "bentoml", "serve", f"bentoml_service:{service}", "--host", "127.0.0.1", "-p", str(port))
    return run(folder, service, *command, port=port)


@pytest.fixture(scope="module")
def frames(folder: Path) -> Iterator[Server]:
    """BentoML with the input PandasDataFrame."""
    with bentoml(folder, "frames") as server:
        yield server


@pytest.fixture(scope="module")
def records(folder: Path) -> Iterator[Server]:
    """BentoML with the members of a JSON object as its input."""
    with bentoml(folder, "Records") as server:
        yield server


@pytest.fixture(scope="module")
def litserve(folder: Path) -> Iterator[Server]:
    port = free_port("127.0.0.1")
    with run(folder, "litserve", PYTHON.bin / "python", MODELS / "litserve_server.py", str(port), port=port) as server:
        yield server


@pytest.fixture(params=[RowProtocol.most_bytes, 2_000], ids=["whole", "in batches"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowProtocol, "most_bytes", request.param)


@pytest.mark.usefixtures("batches")
def test_bentoml_scores_csv_as_the_model_does_itself(s3: Any, folder: Path, frames: Server) -> None:
    found = score(s3, frames.url, "mlflow", folder / "file.csv")
    assert_predicted(found, folder / "file.csv", expected(folder))


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("server", ["records", "litserve"])
def test_json_lines_are_scored_as_the_model_does_itself(
    s3: Any, folder: Path, request: pytest.FixtureRequest, server: str
) -> None:
    found = score(s3, request.getfixturevalue(server).url, "mlflow", folder / "file.jsonl")
    rows = [list(row) for row in zip(*expected(folder).values(), strict=True)]
    assert_predicted_objects(found, folder / "file.jsonl", {"prediction": rows})


@pytest.mark.parametrize(("server", "words"), [("records", "Invalid JSON"), ("litserve", "valid dictionary")])
def test_a_server_that_reads_json_only_says_so_of_csv(
    s3: Any, folder: Path, request: pytest.FixtureRequest, server: str, words: str
) -> None:
    with pytest.raises(ModelFailed) as failed:
        score(s3, request.getfixturevalue(server).url, "mlflow", folder / "file.csv")
    assert words in failed.value.details["answer"]
