"""Amazon's own containers: the SageMaker inference toolkit on multi-model-server (Java), as they start for `serve`.

The toolkit's decoder is numpy.genfromtxt, its encoder numpy.savetxt.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.harness import MODELS, OWN_ADDRESS, Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, score

pytestmark = pytest.mark.servers
SAGEMAKER = Environment("sagemaker")
# The toolkit has it at this place and no other.
CONFIGURATION = Path("/etc/sagemaker-mms.properties")
# It takes no port beyond 32,767.
PORT = 8080


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a folder for each model."""
    if not shutil.which("java"):
        pytest.skip("multi-model-server needs Java")
    if CONFIGURATION.exists() or not os.access(CONFIGURATION.parent, os.W_OK):
        pytest.skip(f"the toolkit writes {CONFIGURATION}, and may not here")
    directory = tmp_path_factory.mktemp("sagemaker")
    SAGEMAKER.train("sagemaker_models.py", directory)
    return directory


@contextmanager
def toolkit(folder: Path) -> Iterator[Server]:
    """Serve a model as the entry point of Amazon's images does."""
    code = folder / "model" / "code"
    code.mkdir(exist_ok=True)
    shutil.copy(MODELS / "sagemaker_toolkit.py", code / "inference.py")
    command = [
        SAGEMAKER.bin / "python",
        "-c",
        "from sagemaker_inference import model_server as m; m.start_model_server()",
    ]
    variables = {
        "SAGEMAKER_BASE_DIR": str(folder),
        "MMS_INFERENCE_ADDRESS": f"http://{OWN_ADDRESS}:{PORT}",
        "MMS_MANAGEMENT_ADDRESS": f"http://{OWN_ADDRESS}:{PORT}",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "SAGEMAKER_BATCH": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with serve(
            command, folder, SAGEMAKER.variables(folder, variables), "sagemaker", PORT, host=OWN_ADDRESS
        ) as server:
            yield server
    finally:
        CONFIGURATION.unlink(missing_ok=True)


@pytest.fixture(scope="module", params=["regressor", "probabilities"])
def served(request: pytest.FixtureRequest, models: Path) -> Iterator[tuple[Path, Server]]:
    folder = models / request.param
    with toolkit(folder) as server:
        yield folder, server


def test_a_file_is_scored_as_the_model_scores_it_itself(s3: Any, served: tuple[Path, Server]) -> None:
    """At once: the server says Healthy before it has loaded the model, and lets requests wait."""
    folder, server = served
    found = score(s3, server.url, "sagemaker", folder / "file.csv")
    assert_predicted(found, folder / "file.csv", expected(folder))


@pytest.mark.parametrize("times", [40])
def test_a_file_of_several_batches_is_scored_as_the_model_scores_it_itself(
    s3: Any, served: tuple[Path, Server], tmp_path: Path, times: int
) -> None:
    """The toolkit takes 6.5 MB a request; a file has more."""
    folder, server = served
    header, *records = (folder / "file.csv").read_text().splitlines(keepends=True)
    file = tmp_path / "file.csv"
    file.write_text("".join([header, *records * times]))
    found = score(s3, server.url, "sagemaker", file)
    assert_predicted(found, file, {name: values * times for name, values in expected(folder).items()})


def test_a_single_record_is_scored(s3: Any, served: tuple[Path, Server], tmp_path: Path) -> None:
    """numpy.genfromtxt makes a vector of one record of CSV, and the model wants a matrix."""
    folder, server = served
    file = tmp_path / "file.csv"
    file.write_text("".join((folder / "file.csv").read_text().splitlines(keepends=True)[:2]))
    found = score(s3, server.url, "sagemaker", file)
    assert_predicted(found, file, {name: values[:1] for name, values in expected(folder).items()})


def test_only_the_record_that_is_bad_is_rejected(s3: Any, served: tuple[Path, Server], tmp_path: Path) -> None:
    folder, server = served
    lines = (folder / "file.csv").read_text().splitlines(keepends=True)[:5]
    lines[2] = "none," + lines[2].partition(",")[2]
    file = tmp_path / "file.csv"
    file.write_text("".join(lines))
    found = score(s3, server.url, "sagemaker", file, max_errors="5")
    assert found.rejected_rows == [2]
