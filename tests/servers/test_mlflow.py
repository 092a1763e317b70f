"""MLflow's own server, `mlflow models serve`: each kind of signature, file and answer that people have.

What MLflow reads a CSV file as is decided by the model's signature, and without one by pandas, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scoring.protocols import RowProtocol
from tests.servers.harness import Environment, Server, expected, free_port, serve
from tests.servers.scoring import assert_predicted, score

pytestmark = pytest.mark.servers
MLFLOW = Environment("mlflow")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a folder for each model."""
    directory = tmp_path_factory.mktemp("mlflow")
    MLFLOW.train("mlflow_models.py", directory)
    return directory


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Callable[[str], Server]]:
    """Serves a model by its name, once."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def served(name: str) -> Server:
            if name not in running:
                running[name] = stack.enter_context(mlflow_serve(models / name))
            return running[name]

        yield served


def mlflow_serve(folder: Path) -> Any:
    port = free_port()
    command = [MLFLOW.bin / "mlflow", "models", "serve", "--model-uri", "model", "--env-manager", "local"]
    # As many workers as a container has on a pod of one CPU.
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return serve(command, folder, MLFLOW.variables(folder), "mlflow", port)


@pytest.fixture(params=["whole", "in batches"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file goes in one batch; or in many, of which the model knows nothing."""
    if request.param == "in batches":
        monkeypatch.setattr(RowProtocol, "most_bytes", 2_000)


@pytest.mark.parametrize("name", ["classifier", "gaps", "texts", "several_columns", "probabilities", "boosted"])
@pytest.mark.usefixtures("batches")
def test_a_file_is_scored_as_the_model_scores_it_itself(
    s3: Any, models: Path, served: Callable[[str], Server], name: str
) -> None:
    file = models / name / "file.csv"
    found = score(s3, served(name).url, "mlflow", file)
    assert_predicted(found, file, expected(models / name))
