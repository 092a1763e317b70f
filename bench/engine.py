"""The streaming engine, taken by its one seam: a file of the S3 stand-in, scored by the model stand-in, measured.

    python -m bench.engine --protocol sas --model URL --file 5000.csv

runs in a process of its own, because peak memory is a process's, and prints what it measured as JSON. This is the only
module that knows how the engine is called, but for shards.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import data, s3
from bench.standins import ROOT

if TYPE_CHECKING:
    from scoring.intake.identity import Source

LAMBDA_SECONDS = 900.0


@dataclass(frozen=True)
class Run:
    """What one file took: wall and CPU seconds, memory (MiB) before the first byte and at its peak, invocations."""

    seconds: float
    cpu_seconds: float
    idle_mib: float
    peak_mib: float
    invocations: int


def run(
    protocol: str,
    s3_url: str,
    model_url: str,
    file: data.File,
    reading: Mapping[str, Any] | None = None,
    fixed: tuple[int, int] | None = None,
) -> Run:
    """Score a file in a fresh process; `reading` is how it is to be read, where not in the usual way. With `fixed`, nothing
    is found out: so many bytes a batch, so many batches in flight.
    """
    options = ["--protocol", protocol, "--file", file.name, "--model", model_url]
    options += ["--format", json.dumps(reading or {}), "--fixed", json.dumps(fixed)]
    return Run(**measured("bench.engine", options, s3_url))


def measured(module: str, options: Sequence[str], s3_url: str) -> dict[str, Any]:
    """What a module that uses the engine prints, run in a fresh process as in a Lambda."""
    environment = {
        "PATH": os.environ["PATH"],
        "MALLOC_ARENA_MAX": "1",  # as in template.yaml
        "PYTHONPATH": str(ROOT / "layers/scoring"),
        "AWS_ENDPOINT_URL_S3": s3_url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    command = [sys.executable, "-m", module, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def score(protocol: str, model_url: str, file: data.File, reading: Mapping[str, Any] | None = None) -> Run:
    """Score a file in this process, from the opening of its upload to its publication."""
    from scoring import aws
    from scoring.outcome import files as outcome

    client, found, asked = aws.client("s3"), source(file), request(protocol, file, reading)
    tags = outcome.scored_tags(found, asked, "bench")

    idle = reset_peak()
    began, cpu_began = time.perf_counter(), time.process_time()
    scoring, invocations = scored(client, model_url, found, asked, tags)
    outcome.publish(client, asked["output"], scoring, tags)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    if scoring["rows"] != file.records:
        raise RuntimeError(f"{scoring['rows']} rows came out of {file.records} records")
    return Run(seconds, cpu_seconds, idle, memory("VmHWM"), invocations)


def source(file: data.File) -> Source:
    """The file as an event tells of it."""
    from scoring.intake.identity import Source

    return Source("input", f"incoming/{file.name}", "", s3.ETAG, file.size, "1")


def request(protocol: str, file: data.File, reading: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The request of an attempt to score it."""
    return {
        "image": "bench@sha256:0",
        "cluster": "bench",
        "namespace": "bench",
        "protocol": protocol,
        "split": "file",
        "format": dict(reading or {}),
        "resources": {"cpu": "1", "memory": "1Gi"},
        "output": {
            "bucket": "output",
            "key": f"scored/{file.name}.scoreout",
            "progress": f"scored/{file.name}.{os.getpid()}.progress",
        },
        "deadlines": {"start_seconds": 900, "route_seconds": 120, "scoring_seconds": 86_400},
    }


def scored(
    client: Any, model_url: str, source: Source, request: Mapping[str, Any], tags: Mapping[str, str]
) -> tuple[dict[str, Any], int]:
    """The `scoring` of an attempt that is DONE with its file or shard, and how many functions it took."""
    from scoring import streaming
    from scoring.protocols.model import Model

    invocations, model = 1, Model(model_url)
    scoring = streaming.open_upload(client, source, request, tags, datetime.now(UTC))
    while scoring.get("status") != "DONE":
        scoring = streaming.advance(
            streaming.Job(
                s3=client,
                model=model,
                source=source,
                request=request,
                pod_uid="bench",
                scoring=scoring,
                seconds_left=partial(seconds_to, time.monotonic() + LAMBDA_SECONDS),
                now=lambda: datetime.now(UTC),
            )
        )
        invocations += 1
    return scoring, invocations


def fix(size: int, in_flight: int) -> None:
    """Let batches have one size, and so many of them be in flight, whatever comes of them."""
    from scoring.streaming.pace import Pace

    def answered(pace: Pace, _size: int, _scored: int, seconds: float, _now: float) -> None:
        pace.seconds = seconds

    for name, value in {"block_bytes": lambda *_, **__: size, "in_flight": in_flight, "answered": answered}.items():
        setattr(Pace, name, value)


def seconds_to(moment: float) -> float:
    return moment - time.monotonic()


def reset_peak() -> float:
    """Forget the peak of this process's memory so far; the memory that it has now, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM to what is resident now
    return memory("VmRSS")


def memory(field: str) -> float:
    """Memory of this process in MiB: VmRSS, resident now, or VmHWM, its peak."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", type=data.File.named, required=True)
    parser.add_argument("--format", type=json.loads, default={})
    parser.add_argument("--fixed", type=json.loads)
    options = parser.parse_args()
    if options.fixed:
        fix(*options.fixed)
    print(json.dumps(asdict(score(options.protocol, options.model, options.file, options.format))))


if __name__ == "__main__":
    main()
