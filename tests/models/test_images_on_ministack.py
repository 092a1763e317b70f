"""Pushing and pulling against MiniStack's ECR, with its checks of IAM on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from local.images import Image, ImageNotFound, PulledImage, build, pull, push
from tests.models.serving import MODELS_BIN, ROOT, Registry, serve

REPOSITORY = "dropscore/push-and-pull"
HOST = "000000000000.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("model")
    (folder / "Dockerfile").write_text('FROM scratch\nWORKDIR /app\nCOPY app.py .\nENTRYPOINT ["python", "app.py"]\n')
    (folder / "app.py").write_text("print(1)")
    return build(folder, MODELS_BIN / "python", tmp_path_factory.mktemp("cache"))


def test_a_pushed_image_is_known_to_ecr_and_can_be_pulled(registry: Registry, image: Image, tmp_path: Path) -> None:
    digest = push(registry.ecr, image, REPOSITORY, "1")
    assert digest == image.digest
    (found,) = registry.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "1"}])["imageDetails"]
    assert found["imageDigest"] == digest
    by_tag = pull(f"{HOST}/{REPOSITORY}:1", registry.url, tmp_path)
    assert by_tag == pull(f"{HOST}/{REPOSITORY}@{digest}", registry.url, tmp_path)
    assert (by_tag.rootfs / "app" / "app.py").read_text() == "print(1)"


def test_pushing_again_changes_nothing_and_another_tag_is_added(registry: Registry, image: Image) -> None:
    for tag in ("1", "1", "2"):
        push(registry.ecr, image, REPOSITORY, tag)
    (found,) = registry.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert (found["imageDigest"], sorted(found["imageTags"])) == (image.digest, ["1", "2"])


@pytest.mark.parametrize("repository", ["dropscore/absent", REPOSITORY])
def test_what_is_not_there_is_not_found(registry: Registry, image: Image, tmp_path: Path, repository: str) -> None:
    push(registry.ecr, image, REPOSITORY, "1")
    with pytest.raises(ImageNotFound, match=f"{HOST}/{repository}:absent: not found$"):
        pull(f"{HOST}/{repository}:absent", registry.url, tmp_path)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "models").glob("*/Dockerfile")))
def test_each_model_starts_quickly(pull_model: Callable[[str], PulledImage], tmp_path: Path, name: str) -> None:
    """Every file waits for its own container to start. Measured: 0.4 s of the processor; to import scikit-learn takes 2."""
    with serve(pull_model(name), tmp_path) as server:
        assert server.get("/" if name.startswith("sas") else "/ping").ok
        workers = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert sum(map(processor_seconds, [str(server.process.pid), *workers])) < 1.2


def processor_seconds(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
