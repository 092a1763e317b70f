"""What a cold start loads: each function as `sam build` made it, in a fresh interpreter, beside a bare boto3 client.

Loading means: import the handler, make an AWS client, and with the functions that talk to a cluster make the Kubernetes
client as well, since their first call does. No bytecode is written, as on Lambda, where the layers are read-only: what
the layers bring is what counts.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from bench.plan import ROOT, STATE, Plan
from bench.table import Row, Sample, holds, ratio_at_most
from local import account, parts, sam

_PYTHON = ROOT / ".venv-lambda/bin/python"
_PROBE = Path(__file__).with_name("imports_probe.py")
_NO_KUBERNETES = "no Kubernetes client"


@dataclass(frozen=True)
class Function:
    """A built function: its name as in functions/, the folders of its code and of its layers' Python."""

    name: str
    code: Path
    layers: tuple[Path, ...]

    @property
    def talks_to_cluster(self) -> bool:
        return any("Kubernetes" in str(layer) for layer in self.layers)

    @property
    def unzipped_mib(self) -> float:
        files = (path for folder in (self.code, *self.layers) for path in folder.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files) / (1 << 20)


def functions(built: Path) -> list[Function]:
    """Give the functions of a built template."""
    template = yaml.safe_load(built.read_text())
    shared = _layers(template["Globals"]["Function"], built.parent)
    return [
        Function(
            re.sub(r"(?<!^)(?=[A-Z])", "_", logical_id).lower(),
            built.parent / resource["Properties"]["CodeUri"],
            (*shared, *_layers(resource["Properties"], built.parent)),
        )
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    ]


def _layers(properties: dict[str, Any], build: Path) -> tuple[Path, ...]:
    return tuple(build / layer["Ref"] / "python" for layer in properties.get("Layers", ()))


@dataclass(frozen=True)
class Load:
    """What one fresh interpreter has measured of itself."""

    seconds: float
    mib: float
    kubernetes: bool


def load(function: Function | None) -> Load:
    """Load a function, or the bare client for None."""
    command: list[str | Path] = [_PYTHON, "-B", "-E", _PROBE]
    if function:
        command += ["cluster" if function.talks_to_cluster else "plain", function.code, *function.layers]
    environment = account.environment("") | {
        "POWERTOOLS_SERVICE_NAME": "bench",
        "POWERTOOLS_METRICS_NAMESPACE": "bench",
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return Load(**json.loads(done.stdout.splitlines()[-1]))


def rows(plan: Plan) -> Iterator[Row]:
    """Time is the shortest of several: what takes longer was the machine. All are measured in turn."""
    STATE.mkdir(parents=True, exist_ok=True)
    found = functions(sam.build(parts.ROOT, parts.BUILD, STATE / "sam-build.log"))
    subjects: list[Function | None] = [None, *found]
    with FileLock(parts.BUILD / "lock"):  # nobody builds anew meanwhile
        rounds = [[load(subject) for subject in subjects] for _ in range(plan.import_rounds)]
    bare, *each = zip(*rounds, strict=True)
    bare_seconds, bare_mib = Sample(tuple(one.seconds for one in bare)), Sample(tuple(one.mib for one in bare))
    for function, measured in zip(found, each, strict=True):
        seconds = Sample(tuple(one.seconds for one in measured))
        goal = ratio_at_most(2)
        if not function.talks_to_cluster:
            goal = holds(_NO_KUBERNETES, not any(one.kubernetes for one in measured))
        yield Row(f"import time, {function.name}", seconds, "s", bare_seconds, "bare boto3", goal, statistic=min)
    for function, measured in zip(found, each, strict=True):
        mib = Sample(tuple(one.mib for one in measured))
        yield Row(f"import memory, {function.name}", mib, "MiB", bare_mib, "bare boto3", statistic=min)
    for function in found:
        yield Row(f"unzipped with layers, {function.name}", Sample((function.unzipped_mib,)), "MiB")
