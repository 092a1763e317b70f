"""Build an image from a model's folder without Docker.

The steps run on this machine, in a folder that stands for the image's root, with a virtual environment in the place of the
base image. Hence what RUN may be: `pip install …` and `python …`. Anything else would change this machine and not the
image: it is refused. The environment of the example models is there before, and `pip install` is only checked against it; one
of a model of yours is made by it. The image names its environment by PATH, as an image of Docker's names its programs.

The same folder and environment give the same digest (no times, no owners, sorted entries), and are built once, however
many processes want them.
"""

import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from local.images import dockerfile
from local.images.blobs import digest_of, move_into_place
from local.images.dockerfile import Instruction, UnsupportedDockerfile
from local.images.oci import DEFAULT_PATH, Image, mode_of, pack_layer, write_image
from local.images.roots import inside

INSTALLED = ".installed"
"""In an environment that `pip install` has filled."""
CACHE = Path(__file__).parents[2] / ".local" / "images"

# The pip of whoever builds reaches its index by what is configured for its user.
_OF_PIP = re.compile(r"HOME|(PIP|SSL)_\w+|\w+_CA_BUNDLE|(?i:\w+_proxy)")
_ONLY = "Without Docker, RUN can only be `pip install …` or `python …`, one plain command in each."
_ENVIRONMENT = """
import importlib.metadata, sys
print(sys.version, sorted((d.name, d.version) for d in importlib.metadata.distributions()))
"""


class BuildFailed(Exception):
    """A step of the Dockerfile cannot be done here, or failed; the message has the step and its output."""


@dataclass
class _Config:
    """What the instructions collect for the image's config."""

    workdir: PurePosixPath = field(default_factory=lambda: PurePosixPath("/"))
    env: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    def document(self, python: Path) -> dict[str, Any]:
        """Give it in the words of the OCI image configuration."""
        env = self.env | {"PATH": f"{python.parent}:{self.env.get('PATH', DEFAULT_PATH)}"}
        return {
            "User": self.user,
            "ExposedPorts": {port if "/" in port else f"{port}/tcp": {} for port in self.ports},
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Entrypoint": self.entrypoint,
            "Cmd": self.cmd,
            "WorkingDir": str(self.workdir),
        }


def build(model_dir: Path, python: Path, cache: Path = CACHE, *, installs: bool = False) -> Image:
    """Build the image of a model, or take it from the cache if neither the folder nor the environment has changed.

    Parameters
    ----------
    model_dir
        A folder with a Dockerfile.
    python
        The interpreter of the virtual environment.
    cache
        Where built images are kept.
    installs
        Whether the environment is this folder's own, and `pip install` adds to it; what belongs into it is known by its name.

    Raises
    ------
    BuildFailed
        With the step and what it wrote.
    """
    layout = cache / "built" / _cache_key(model_dir, str(python).encode() if installs else _packages(python))
    layout.parent.mkdir(parents=True, exist_ok=True)
    own = python.parents[1]
    # Another folder may need the same environment at the same time.
    with FileLock(cache / f"{layout.name}.lock"), FileLock(f"{own}.lock") if installs else nullcontext():
        if not layout.is_dir() or (installs and not (own / INSTALLED).exists()):
            with tempfile.TemporaryDirectory(dir=layout.parent, prefix=".building-") as scratch:
                made, root = Path(scratch, "layout"), Path(scratch, "root")
                made.mkdir()
                root.mkdir()
                config = _run_steps(model_dir, python, root, installs)
                write_image(made, [pack_layer(root)], config.document(python))
                if installs:
                    (own / INSTALLED).touch()
                move_into_place(made, layout)
    return Image.read(layout)


def _cache_key(model_dir: Path, environment: bytes) -> str:
    """Identify a build by all that goes into it: the folder, the environment and this code."""
    sha256 = hashlib.sha256(environment)
    for folder in (Path(__file__).parent, model_dir):
        for path in files(folder):
            sha256.update(f"{path.relative_to(folder)} {mode_of(path)} {content_digest(path)}\n".encode())
    return sha256.hexdigest()


@functools.cache
def _packages(python: Path) -> bytes:
    """Name an interpreter and what is installed beside it, as it was when this process first asked."""
    return str(python).encode() + subprocess.run([python, "-c", _ENVIRONMENT], check=True, capture_output=True).stdout


def read_steps(model_dir: Path) -> list[Instruction]:
    """Read the steps of a folder's Dockerfile; raises BuildFailed for what cannot be done here."""
    try:
        return dockerfile.read(model_dir / "Dockerfile")
    except UnsupportedDockerfile as error:
        raise BuildFailed(str(error)) from error


def _run_steps(model_dir: Path, python: Path, root: Path, installs: bool) -> _Config:
    """Carry out the Dockerfile's instructions in `root` and collect what the config will say."""
    config = _Config()
    if (model_dir / ".dockerignore").exists():
        raise BuildFailed(f"{model_dir}/.dockerignore is not read here: let COPY name the files it wants.")
    steps = read_steps(model_dir)
    try:
        for step in steps:
            _run_step(step, config, model_dir, python, root, installs)
    except BuildFailed as error:
        raise BuildFailed(f"{model_dir / 'Dockerfile'}, line {step.line}: {step.name} {step.text}\n{error}") from error
    return config


def _run_step(step: Instruction, config: _Config, model_dir: Path, python: Path, root: Path, installs: bool) -> None:
    match step.name:
        case "FROM":
            pass  # The environment stands for the base image.
        case "WORKDIR":
            config.workdir /= step.words[0]
            _inside(root, config.workdir).mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(step, config, model_dir, root)
        case "RUN":
            _run(step, config, python, root, installs)
        case "ENV":
            config.env |= dict(_assignment(word) for word in step.words)
        case "EXPOSE":
            config.ports += step.words
        case "USER":
            config.user = step.words[0]
        case "ENTRYPOINT":
            config.entrypoint = _command(step)
        case "CMD":
            config.cmd = _command(step)


def _assignment(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise BuildFailed("Write ENV NAME=value.")
    return name, value


def _command(step: Instruction) -> list[str]:
    return ["/bin/sh", "-c", step.text] if step.shell_form else list(step.words)


def _inside(root: Path, path: PurePosixPath) -> Path:
    """Map a path of the image to one below `root`."""
    mapped = Path(os.path.normpath(root / str(path).lstrip("/")))
    if not mapped.is_relative_to(root):
        raise BuildFailed(f"{path} is outside of the image.")
    return mapped


def _copy(step: Instruction, config: _Config, model_dir: Path, root: Path) -> None:
    *sources, destination = step.words
    context = model_dir.resolve()
    target = _inside(root, config.workdir / destination)
    found = [path for source in sources for path in find(context, source)]
    if outside := [path for path in found if not path.resolve().is_relative_to(context)]:
        raise BuildFailed(f"{outside[0]} is outside of the folder that is built.")
    into_folder = destination.endswith("/") or target.is_dir()
    if len(found) > 1 and not into_folder:
        raise BuildFailed("To copy several files, end the destination with a slash.")
    for path in found:
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            file = target / path.name if into_folder else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)


def find(context: Path, source: str) -> list[Path]:
    """Find what a source of COPY names: a file, a folder, or all that a pattern matches; raises BuildFailed for nothing."""
    pattern = source.strip("/")
    found = [context] if pattern in (".", "") else sorted(context.glob(pattern))
    if not found:
        raise BuildFailed(f"{source} is not in the folder.")
    return found


def _run(step: Instruction, config: _Config, python: Path, root: Path, installs: bool) -> None:
    words = _plain_words(step)
    if words[0] in ("python", "python3") and words[1:2] == ["-m"] and words[2:3] == ["pip"]:
        words = words[2:]
    # A process has no root of its own.
    words = [str(inside(word, root) or word) for word in words]
    known = {}
    if words[:2] == ["pip", "install"]:
        if installs:
            command = [sys.executable, "-m", "pip", "--python", str(python), *words[1:], "--quiet"]
            known = {name: value for name, value in os.environ.items() if _OF_PIP.fullmatch(name)}
        else:
            # Would it change anything? Without an index it can only succeed if all that it wants is there already.
            command = [str(python), "-m", "pip", *words[1:], "--quiet", "--dry-run", "--no-index"]
            known = {"PIP_CONFIG_FILE": os.devnull}
    elif words[0] in ("python", "python3"):
        command = [str(python), *words[1:]]
    else:
        raise BuildFailed(_ONLY)
    # Nothing else of this process's environment: a build must not depend on it, nor see its credentials.
    environment = {
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **config.env,
        **known,
        "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
    }
    done = subprocess.run(
        command,
        cwd=_inside(root, config.workdir),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        hint = "\nAdd what is missing to requirements/models.in." if words[0] == "pip" and not installs else ""
        raise BuildFailed(f"{done.stdout.strip()}\n(exit code {done.returncode}){hint}")


def _plain_words(step: Instruction) -> list[str]:
    """Split a RUN step that needs no shell into words."""
    if not step.shell_form:
        return list(step.words)
    lexer = shlex.shlex(step.text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if "$" in step.text or "`" in step.text or any(set(word) <= set("();<>|&") for word in words):
        raise BuildFailed(f"{_ONLY} There is no shell.")
    return words


def content_digest(path: Path) -> str:
    """Give the digest of what a file or a link holds."""
    return digest_of(str(path.readlink()).encode() if path.is_symlink() else path.read_bytes())


def files(folder: Path) -> list[Path]:
    """List the files and links below a folder, sorted; compiled Python is not content."""
    found = (path for path in folder.rglob("*") if "__pycache__" not in path.relative_to(folder).parts)
    return sorted(path for path in found if not path.is_dir() or path.is_symlink())
