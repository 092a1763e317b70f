"""Read a Dockerfile: as much of the format as can be done without Docker, the rest is refused by name.

The one parser on PyPI (dockerfile-parse) has had no release since 2023 and takes a heredoc for instructions; what it
would save is the dozen lines of `_logical_lines`.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KNOWN = frozenset({"FROM", "WORKDIR", "COPY", "RUN", "ENV", "EXPOSE", "ENTRYPOINT", "CMD", "USER"})
# What they say has no bearing on a process of the embedded cluster.
WITHOUT_EFFECT = frozenset({"LABEL", "MAINTAINER", "HEALTHCHECK", "STOPSIGNAL"})
_TAKES_A_COMMAND = frozenset({"RUN", "ENTRYPOINT", "CMD"})


class UnsupportedDockerfile(Exception):
    """The Dockerfile says something that only Docker can do; the message has the file, the line and the reason."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its upper-case name, its words, and the line it starts in.

    `shell_form` tells `CMD a b` from `CMD ["a", "b"]`; `text` is what followed the name.
    """

    name: str
    words: tuple[str, ...]
    shell_form: bool
    text: str
    line: int


def read(path: Path) -> list[Instruction]:
    """Read the instructions of a Dockerfile, in order.

    Raises
    ------
    UnsupportedDockerfile
        For an instruction, a flag, a variable, a heredoc or a second stage.
    """
    instructions = []
    for line, statement in _logical_lines(path.read_text(encoding="utf-8")):
        try:
            instructions.append(_instruction(line, statement))
        except ValueError as error:
            raise UnsupportedDockerfile(f"{path}, line {line}: {error}") from error
    if [instruction.name for instruction in instructions].count("FROM") != 1:
        raise UnsupportedDockerfile(f"{path}: exactly one FROM is supported: builds have one stage here.")
    if instructions[0].name != "FROM":
        raise UnsupportedDockerfile(f"{path}: the first instruction must be FROM.")
    return instructions


def _logical_lines(content: str) -> Iterator[tuple[int, str]]:
    """Give each statement with its line number; continued lines are joined, comments and empty lines left out."""
    start, parts = 0, list[str]()
    for number, line in enumerate(content.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = start or number
        parts.append(stripped.removesuffix("\\").rstrip())
        if not stripped.endswith("\\"):
            yield start, " ".join(parts)
            start, parts = 0, []
    if parts:
        yield start, " ".join(parts)


def _instruction(line: int, statement: str) -> Instruction:
    name, _, text = re.sub(r"\s+", " ", statement, count=1).partition(" ")
    name = name.upper()
    if name in WITHOUT_EFFECT:
        return Instruction(name, (), False, text, line)
    if name not in KNOWN:
        raise ValueError(f"{name} is not supported here, only {', '.join(sorted(KNOWN))}.")
    if not text:
        raise ValueError(f"{name} needs an argument.")
    if name == "COPY":
        # All files are those of who runs the container.
        text = re.sub(r"^--chown=\S+\s+", "", text)
    if text.startswith("--"):
        raise ValueError(
            f"{name} {text.split()[0]} is not supported here: no instruction may have flags but COPY --chown."
        )
    if re.search(r"<<-?[\"']?\w", text):
        raise ValueError("heredocs are not supported here.")
    if "$" in text and name not in _TAKES_A_COMMAND:
        raise ValueError(f"variables are not replaced here: write the value into {name}.")
    exec_form = _exec_form(text) if name in _TAKES_A_COMMAND | {"COPY"} else None
    words = exec_form if exec_form is not None else shlex.split(text)
    if name == "COPY" and len(words) < 2:
        raise ValueError("COPY needs a source and a destination.")
    return Instruction(name, tuple(words), exec_form is None, text, line)


def _exec_form(text: str) -> list[str] | None:
    """Parse `["a", "b"]`; as in Docker, what is not valid JSON is a shell command."""
    try:
        words = json.loads(text)
    except json.JSONDecodeError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None
