"""The virtual environment that stands for the base image of a model of yours, where there is no Docker."""

import hashlib
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from local.images import dockerfile
from local.images.build import CACHE, BuildFailed, files
from local.images.dockerfile import Instruction, UnsupportedDockerfile


def environment(folder: Path, cache: Path = CACHE) -> Path:
    """Give the interpreter of the environment for a folder with a Dockerfile; `build` installs what it asks for.

    Another one for other packages: it is known by the steps that install them, the files which these name, and this Python.

    Raises
    ------
    BuildFailed
    """
    try:
        steps = dockerfile.read(folder / "Dockerfile")
    except UnsupportedDockerfile as error:
        raise BuildFailed(str(error)) from error
    made = cache / "environments" / _key(folder, steps)
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


def _key(folder: Path, steps: list[Instruction]) -> str:
    sha256 = hashlib.sha256(sys.version.encode())
    for step in steps:
        if step.name == "RUN" and "pip" in step.words:
            sha256.update(step.text.encode())
            # Wherever COPY puts it, a list of packages keeps its name; a package's own folder is all that is there.
            named = {word.rpartition("/")[2] for word in step.words}
            for path in files(folder):
                if path.name in named or named & {".", ""}:
                    sha256.update(path.read_bytes())
    return sha256.hexdigest()[:16]
