"""Build and deploy the real template with SAM: to the embedded AWS, and to nowhere else."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from local import account
from local.processes import run

STACK_NAME = "dropscore"
# What the deployed stack is made from
SOURCES = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachine")


def build(root: Path, folder: Path, log: Path) -> Path:
    """Build the project in `root` into `folder`, unless nothing has changed since the last time; give the template.

    Several processes may call it at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    built, wanted = folder / "fingerprint", fingerprint(root, SOURCES)
    with FileLock(folder / "lock"):
        if not built.exists() or built.read_text() != wanted:
            built.unlink(missing_ok=True)
            folders: list[str | Path] = ["--build-dir", folder / "build", "--cache-dir", folder / "cache"]
            # It calls nothing of AWS; if it did, it would reach nobody.
            _sam(root, "build", folders, endpoint_url="", parameters=runtime(), log=log)
            built.write_text(wanted)
    return folder / "build/template.yaml"


def deploy(
    root: Path,
    template: Path,
    endpoint_url: str,
    parameters: Mapping[str, str],
    log: Path,
    check: Callable[[], None] = lambda: None,
    name: str = STACK_NAME,
) -> None:
    """Deploy a built template as the stack `name`; one that is there already is updated. `check` is as for `processes.run`."""
    options: list[str | Path] = ["--template-file", template, "--stack-name", name]
    _sam(root, "deploy", options, endpoint_url, {**runtime(), **parameters}, log, check)


def _sam(
    root: Path,
    command: str,
    options: Sequence[str | Path],
    endpoint_url: str,
    parameters: Mapping[str, str],
    log: Path,
    check: Callable[[], None] = lambda: None,
) -> None:
    overrides = log.with_suffix(".yaml")  # JSON is YAML, but sam goes by the name
    overrides.write_text(json.dumps(parameters, indent=2))
    run(
        [
            *(root / ".venv-sam/bin/sam", command),
            *("--config-file", root / "samconfig.toml", "--config-env", "local"),
            *("--parameter-overrides", f"file://{overrides}"),
            *options,
        ],
        env={
            **account.environment(endpoint_url),
            # sam build looks for the runtime's interpreter by name.
            "PATH": f"{root / '.venv-lambda/bin'}:{os.environ['PATH']}",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
        },
        cwd=root,
        log=log,
        check=check,
    )


def runtime() -> dict[str, str]:
    """Give the template's parameters for what this machine runs; `make setup` uses one Python for everything."""
    return {
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": {"aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }


def fingerprint(root: Path, sources: Iterable[str], settings: object = None) -> str:
    """Hash files and folders below `root`, the runtime and settings: the same value means that nothing has changed."""
    digest = hashlib.sha256(repr((runtime(), settings)).encode())
    for source in sources:
        for path in sorted([root / source, *(root / source).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()
