"""What each folder under models/ must be, so that it can be built here, by Docker, and by who copies it."""

import re

import pytest

from local.images import dockerfile
from tests.models.serving import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "models").glob("*/Dockerfile"))
PIN = re.compile(r"^(\S+)==(\S+)", re.MULTILINE)

pytestmark = pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])


def test_it_runs_without_root_on_the_port_that_is_probed(name: str) -> None:
    steps = {step.name: step for step in dockerfile.read(ROOT / "models" / name / "Dockerfile")}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", steps["USER"].text), "runAsNonRoot can only be checked for a number"
    assert steps["EXPOSE"].words == ("8080",)
    assert not steps["ENTRYPOINT"].shell_form, "a shell would not pass SIGTERM on"


def test_its_packages_are_pinned_as_in_the_environment_that_stands_for_them_here(name: str) -> None:
    pinned = (ROOT / "models" / name / "requirements.txt").read_text()
    environment = (ROOT / "requirements" / "models.txt").read_text()
    assert set(PIN.findall(pinned)) <= set(PIN.findall(environment))
    assert len(PIN.findall(pinned)) <= pinned.count("--hash=sha256:")
    assert "://" not in pinned


def test_it_explains_itself(name: str) -> None:
    readme = (ROOT / "models" / name / "README.md").read_text()
    assert readme.startswith(f"# {name}\n")
    assert (ROOT / "models" / name / "sample.csv").is_file()
