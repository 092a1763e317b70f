"""Each example model tells by its answers which protocol it speaks; the name of its folder starts with that."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local.images import PulledImage
from scoring.protocols import detection
from scoring.protocols.model import Model
from tests.models.serving import serve


@pytest.mark.parametrize("name", ["mlflow-breast-cancer", "sagemaker-wine", "sas-anomaly"])
def test_its_protocol_is_found(pull_model: Callable[[str], PulledImage], tmp_path: Path, name: str) -> None:
    with serve(pull_model(name), tmp_path) as server:
        assert detection.detect(Model(server.url)) == name.partition("-")[0]
