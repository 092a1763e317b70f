"""A file on several pods, as the engine takes it: planned, scored side by side and put together, each step as a function of
its own would; and the plan alone.

    python -m bench.shards --model URL --file 5000.csv --pods 4
    python -m bench.shards --file 5000.csv --pods 4

runs in a process of its own and prints what it measured as JSON. Each pod is asked under a path of its own.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench import data, engine

TAGS = {"execution": "bench", "sequencer": "1"}


@dataclass(frozen=True)
class Run:
    """What it took: wall and CPU seconds of this process, behind its imports."""

    seconds: float
    cpu_seconds: float


def run(s3_url: str, file: data.File, pods: int, model_url: str = "") -> Run:
    """Score a file on so many pods in a fresh process; without a model, only plan it."""
    options = ["--file", file.name, "--pods", str(pods), "--model", model_url]
    return Run(**engine.measured("bench.shards", options, s3_url))


def plan(client: Any, file: data.File, request: dict[str, Any]) -> dict[str, Any]:
    """The shards, looked for by as many functions as it takes."""
    from scoring.streaming import planning

    planned: dict[str, Any] = {}
    while planned.get("status") != "PLANNED":
        until = time.monotonic() + engine.LAMBDA_SECONDS
        planned = planning.plan(client, engine.source(file), request, planned, partial(engine.seconds_to, until))
    if planned["shards"][-1]["total"] != file.records:
        raise RuntimeError(f"{planned['shards'][-1]['total']} records were counted of {file.records}")
    return planned


def score(client: Any, file: data.File, request: dict[str, Any], model_url: str) -> None:
    """Score a file, each shard by a pod and a thread of its own."""
    from scoring import streaming
    from scoring.intake import shard
    from scoring.outcome import files as outcome
    from scoring.outcome import joining

    source = engine.source(file)
    planned = plan(client, file, request)
    scoring = streaming.open_upload(client, source, request, TAGS, datetime.now(UTC)) | planned

    def score_shard(part: dict[str, int]) -> dict[str, Any]:
        asked = shard.request(request, part)
        done, _ = engine.scored(client, f"{model_url}/{part['number']}", source, asked, TAGS)
        return done | outcome.complete(client, asked["output"], done, TAGS, is_shard=True)

    with ThreadPoolExecutor(request["pods"]) as pool:
        outcomes = list(pool.map(score_shard, scoring["shards"]))
    joined = joining.join(client, source, request, scoring, outcomes, lambda: engine.LAMBDA_SECONDS)
    outcome.publish(client, request["output"], joined, TAGS)
    if joined["rows"] != file.records:
        raise RuntimeError(f"{joined['rows']} rows came out of {file.records} records")


def main() -> None:
    from scoring import aws, streaming
    from scoring.outcome import files, joining
    from scoring.streaming import planning

    # A function has imported them before it is asked; here they are only to be in memory.
    del streaming, files, joining, planning
    parser = argparse.ArgumentParser(prog="python -m bench.shards", description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--file", type=data.File.named, required=True)
    parser.add_argument("--pods", type=int, required=True)
    options = parser.parse_args()
    client, request = aws.client("s3"), engine.request("sagemaker", options.file) | {"pods": options.pods}
    began, cpu_began = time.perf_counter(), time.process_time()
    if options.model:
        score(client, options.file, request, options.model)
    else:
        plan(client, options.file, request)
    print(json.dumps(asdict(Run(time.perf_counter() - began, time.process_time() - cpu_began))))


if __name__ == "__main__":
    main()
