"""Build and deploy the real template with SAM: to the embedded AWS, and to nowhere else."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from local import account
from local.processes import run

STACK_NAME = "dropscore"
# What the deployed stack is made from
SOURCES = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachine")


class Sam:
    """`sam build` and `sam deploy` of the project in `root`; what they make is kept in `folder`."""

    def __init__(self, root: Path, folder: Path, logs: Path) -> None:
        self._root, self._folder, self._logs = root, folder, logs
        self._built = folder / "fingerprint"  # of what is in build/

    def build(self) -> None:
        """Build, unless nothing has changed since the last time."""
        wanted = fingerprint(self._root, SOURCES)
        if self._built.exists() and self._built.read_text() == wanted:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._built.unlink(missing_ok=True)
        # No call of AWS is made here; if one were, it would reach nobody.
        self._sam(
            "build", ["--build-dir", self._folder / "build", "--cache-dir", self._folder / "cache"], "", runtime()
        )
        self._built.write_text(wanted)

    def deploy(self, endpoint_url: str, parameters: Mapping[str, str]) -> None:
        """Deploy what was built; a stack that is there already is updated."""
        template = self._folder / "build/template.yaml"
        self._sam("deploy", ["--template-file", template], endpoint_url, {**runtime(), **parameters})

    def _sam(self, command: str, options: list[str | Path], endpoint_url: str, parameters: Mapping[str, str]) -> None:
        overrides = self._folder / f"{command}.yaml"  # JSON is YAML, but sam goes by the name
        overrides.write_text(json.dumps(parameters, indent=2))
        config: list[str | Path] = ["--config-file", self._root / "samconfig.toml", "--config-env", "local"]
        run(
            [
                self._root / ".venv-sam/bin/sam",
                command,
                *config,
                *options,
                "--parameter-overrides",
                f"file://{overrides}",
            ],
            env={
                **account.environment(endpoint_url),
                # sam build looks for the runtime's interpreter by name.
                "PATH": f"{self._root / '.venv-lambda/bin'}:{os.environ['PATH']}",
                "SAM_CLI_TELEMETRY": "0",
                "SAM_CLI_POLL_DELAY": "0.5",
            },
            cwd=self._root,
            log=self._logs / f"sam-{command}.log",
        )


def runtime() -> dict[str, str]:
    """Give the template's parameters for what this machine runs; `make setup` uses one Python for everything."""
    return {
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": {"aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }


def fingerprint(root: Path, sources: Iterable[str]) -> str:
    """Hash files and folders below `root`, and the runtime: the same value means that nothing has changed."""
    digest = hashlib.sha256(repr(runtime()).encode())
    for source in sources:
        for path in sorted([root / source, *(root / source).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()
