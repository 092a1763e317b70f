"""The example models as they are in the embedded stack: built, pushed to its ECR, pulled."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import boto3
import pytest
from filelock import FileLock

from local import parts
from local.images import PulledImage, build, pull, push
from tests.models.serving import MODELS_BIN, ROOT, Registry, wait_for_port

MINISTACK = ROOT / ".venv-ministack" / "bin" / "ministack"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder's: before those are deselected that a run is not about."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.models)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Start MiniStack, with its checks of IAM on as in the embedded stack."""
    port = parts.free_port("127.0.0.1")
    home = tmp_path_factory.mktemp("ministack")
    environment = {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home), "S3_DATA_DIR": str(home / "s3")}
    environment |= {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = subprocess.Popen([MINISTACK], cwd=home, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_port("127.0.0.1", port, process)
        ecr = boto3.client(
            "ecr", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        yield Registry(ecr, url)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for what all workers of this session use."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "models"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def pull_model(request: pytest.FixtureRequest, shared: Path) -> Callable[[str], PulledImage]:
    """Give a function that builds, pushes and pulls a model by the name of its folder: once, whichever worker asks first.

    What it builds is what the embedded stack of tests/e2e builds, and so built once for both.
    """

    def pull_model(name: str) -> PulledImage:
        kept = shared / f"{name}.json"
        with FileLock(shared / f"{name}.lock"):
            if not kept.exists():
                registry: Registry = request.getfixturevalue("registry")
                image = build(ROOT / "models" / name, MODELS_BIN / "python")
                push(registry.ecr, image, f"dropscore/{name}", "1")
                reference = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/dropscore/{name}:1"
                kept.write_text(json.dumps(asdict(pull(reference, registry.url, shared)), default=str))
            found = json.loads(kept.read_text())
        return PulledImage(**found | {"rootfs": Path(found["rootfs"])})

    return pull_model


DATA_SETS = """
import json, numpy, sys, sklearn.datasets as d
loaded = {"breast_cancer": d.load_breast_cancer(), "wine": d.load_wine(), "diabetes": d.load_diabetes(scaled=False)}
json.dump({name: numpy.c_[data.data, data.target].tolist() for name, data in loaded.items()}, sys.stdout)
"""


@pytest.fixture(scope="session")
def data_sets(shared: Path) -> dict[str, list[list[float]]]:
    """Give scikit-learn's data sets: each row's columns and, last, its target. It is imported once, by one worker."""
    kept = shared / "data-sets.json"
    with FileLock(shared / "data-sets.lock"):
        if not kept.exists():
            kept.write_bytes(
                subprocess.run([MODELS_BIN / "python", "-c", DATA_SETS], check=True, capture_output=True).stdout
            )
    found: dict[str, list[list[float]]] = json.loads(kept.read_text())
    return found
