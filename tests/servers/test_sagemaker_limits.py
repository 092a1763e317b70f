"""inference-server (J.P. Morgan): a server for SageMaker that tells at `GET /execution-parameters` what it takes at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from tests.servers.harness import MODELS, Environment, expected, serve
from tests.servers.scoring import assert_predicted, score

pytestmark = pytest.mark.servers
SAGEMAKER = Environment("sagemaker")


def test_a_server_of_single_records_gets_one_a_request(s3: Any, tmp_path: Path) -> None:
    """It fails for what is more."""
    SAGEMAKER.train("sagemaker_models.py", tmp_path)
    folder, port = tmp_path / "names", free_port("127.0.0.1")
    command = [SAGEMAKER.bin / "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "sagemaker_limits:app"]
    variables = SAGEMAKER.variables(folder, {"PYTHONPATH": str(MODELS)})
    with serve(command, folder, variables, "sagemaker", port) as server:
        found = score(s3, server.url, "sagemaker", folder / "file.csv")
    assert_predicted(found, folder / "file.csv", expected(folder))
    assert "too many values to unpack" not in server.log_file.read_text()
