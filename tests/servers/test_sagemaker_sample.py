"""Amazon's sample of an image of one's own: flask behind gunicorn behind nginx, as it starts for `serve`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from scoring.errors import ModelFailed
from scoring.protocols import RowProtocol
from tests.servers.harness import MODELS, Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, score

pytestmark = pytest.mark.servers
SAGEMAKER = Environment("sagemaker")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a folder for each model."""
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    directory = tmp_path_factory.mktemp("sample")
    SAGEMAKER.train("sagemaker_models.py", directory)
    return directory


@pytest.fixture(scope="module", params=["regressor", "names"])
def served(request: pytest.FixtureRequest, models: Path) -> Iterator[tuple[Path, Server]]:
    folder, port = models / request.param, free_port("127.0.0.1")
    command = [SAGEMAKER.bin / "python", MODELS / "sagemaker_sample.py", str(port)]
    with serve(command, folder, SAGEMAKER.variables(folder), "sagemaker", port) as server:
        yield folder, server


@pytest.mark.parametrize("most_bytes", [RowProtocol.most_bytes, 2_000], ids=["whole", "in batches"])
def test_a_file_is_scored_as_the_model_scores_it_itself(
    s3: Any, served: tuple[Path, Server], monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """Numbers, or texts with commas in them."""
    monkeypatch.setattr(RowProtocol, "most_bytes", most_bytes)
    folder, server = served
    found = score(s3, server.url, "sagemaker", folder / "file.csv")
    assert_predicted(found, folder / "file.csv", expected(folder))


def test_a_record_beyond_the_limit_of_nginx_is_named(s3: Any, served: tuple[Path, Server], tmp_path: Path) -> None:
    """Nginx answers before it has read the record, and then reads no more."""
    folder, server = served
    lines = (folder / "file.csv").read_text().splitlines()
    lines[3] += "0" * 6_000_000
    file = tmp_path / "file.csv"
    file.write_text("\n".join(lines))
    with pytest.raises(ModelFailed, match=r"Record 3 alone is too much for the model: it answered 413"):
        score(s3, server.url, "sagemaker", file)
