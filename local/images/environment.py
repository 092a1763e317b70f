"""The virtual environment that stands for the base image of a model of yours, where there is no Docker."""

import hashlib
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from local.images.build import CACHE, BuildFailed, content_digest, files, find, read_steps
from local.images.dockerfile import Instruction


def environment(folder: Path, cache: Path = CACHE) -> Path:
    """Give the interpreter of the environment for a folder with a Dockerfile; `build` installs what it asks for.

    Raises
    ------
    BuildFailed
    """
    made = place(folder, cache)
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{made}.lock"):
        if not (made / ".made").exists():
            # `build` brings its own pip.
            command = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BuildFailed(f"No virtual environment can be made: {done.stdout}{done.stderr}".strip())
            (made / ".made").touch()
    return made / "bin/python"


def place(folder: Path, cache: Path = CACHE) -> Path:
    """Say where the environment for a folder is, or will be: another place for other packages.

    It is known as Docker knows a layer: by the steps up to the last `pip install`, and all that these copy.

    Raises
    ------
    BuildFailed
    """
    steps = read_steps(folder)
    installing = [number for number, step in enumerate(steps) if step.name == "RUN" and "pip" in step.words]
    sha256 = hashlib.sha256(sys.version.encode())
    for step in steps[: max(installing, default=-1) + 1]:
        sha256.update(f"{step.name} {step.text}\n".encode())
        if step.name == "COPY":
            for path in _copied(folder.resolve(), step):
                sha256.update(f"{path.relative_to(folder.resolve())} {content_digest(path)}\n".encode())
    return cache / "environments" / sha256.hexdigest()[:16]


def _copied(folder: Path, step: Instruction) -> list[Path]:
    found = [path for source in step.words[:-1] for path in find(folder, source)]
    return [each for path in found for each in (files(path) if path.is_dir() else [path])]
