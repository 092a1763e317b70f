"""Starting the parts: versions, ports, what has changed, what the demo accepts."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import demo, parts
from local.sam import fingerprint


def test_another_version_of_ministack_is_refused() -> None:
    main = (
        "import importlib.metadata as m, runpy; m.version = lambda _: '1.5.34'; runpy.run_module('local.aws')['main']()"
    )
    options = [
        "--port",
        "1",
        "--lambda-python",
        "x",
        "--cache",
        "x",
        "--clusters-folder",
        "x",
        "--token-review-secret",
        "x",
    ]
    refused = subprocess.run(
        [parts.ROOT / ".venv-ministack/bin/python", "-c", main, *options],
        cwd=parts.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "repairs the inside of MiniStack 1.5.33, but 1.5.34 is installed" in refused.stderr


def test_a_taken_port_is_avoided() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert parts.free_port("127.0.0.1", taken) != taken
    assert parts.free_port("127.0.0.1", taken) == taken


def test_a_change_of_any_source_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "functions/a/app.py"
    source.parent.mkdir(parents=True)
    source.write_text("1")
    before = fingerprint(tmp_path, ["functions", "template.yaml"])
    (tmp_path / "functions/__pycache__").mkdir()
    (tmp_path / "functions/__pycache__/app.pyc").write_text("x")
    assert fingerprint(tmp_path, ["functions", "template.yaml"]) == before
    source.write_text("2")
    changed = fingerprint(tmp_path, ["functions", "template.yaml"])
    (tmp_path / "template.yaml").write_text("")
    assert len({before, changed, fingerprint(tmp_path, ["functions", "template.yaml"])}) == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--file", "nowhere.csv"], "There is no file nowhere.csv."),
        (["--file", str(parts.ROOT / ".gitignore")], "names that begin with _ or . are ignored"),
        (["--tags", "a=b"], "TAGS are the tags of a FILE"),
        (["--file", str(parts.ROOT / "models/sas-anomaly/sample.csv"), "--tags", "model_image"], "name=value pairs"),
    ],
)
def test_the_demo_says_what_is_wrong_with_its_options(
    options: list[str], problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", *options])
    with pytest.raises(SystemExit) as refused:
        demo.main()
    assert refused.value.code == 2
    assert problem in capsys.readouterr().err


def test_the_demo_has_a_sample_for_every_protocol() -> None:
    stack: Any = SimpleNamespace(images={model: model for model in parts.model_folders()})
    assert sorted(drop.tags.rpartition("=")[2] for drop in demo.samples(stack)) == ["mlflow", "sagemaker", "sas"]
