"""Finding the processes to be killed: only those of a stack of this suite, by what they were started with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.pipeline import Pipeline


def state_folder(pipeline: Pipeline) -> Path:
    return Path(pipeline.stack.logs).parent


def environments(group: int | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Each process of this user (of a process group) with its environment."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if group is not None and int(fields[2]) != group:
                continue
            variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        yield int(entry.name), dict(variable.partition("=")[::2] for variable in variables if variable)


def model_of(pipeline: Pipeline, state: Mapping[str, Any]) -> int:
    """The process of the pod in a state: the one that was told the pod's address."""
    pipeline.only_embedded("a container is a process of this machine on the embedded cluster only")
    address = pipeline.call("GET", pipeline.path("pods", state["pod"]["name"]))["status"]["podIP"]
    (pid,) = [pid for pid, variables in environments() if variables.get("HOST") == address]
    return pid


def workers(pipeline: Pipeline, function: str) -> list[int]:
    """The processes of a function (its logical id) in the pipeline's own stack."""
    leader = json.loads((state_folder(pipeline) / "processes.json").read_text())["aws"]["pid"]
    name = pipeline.resources[function]
    return [
        pid
        for pid, variables in environments(leader)
        if variables.get("AWS_LAMBDA_FUNCTION_NAME") == name and "_HANDLER" in variables
    ]


def cluster(pipeline: Pipeline) -> int:
    """The process of the pipeline's cluster, or of its front."""
    return int(json.loads((state_folder(pipeline) / "processes.json").read_text())[pipeline.stack.cluster]["pid"])
