"""How fast a file passes through the engine, beside curl and beside a plain pandas script."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import data, engine
from bench.plan import ROOT, Plan, readable
from bench.rows.memory import MOST_MIB
from bench.table import Row, Sample, alternating, holds, ratio_at_least, value_at_least

_PANDAS_PYTHON = ROOT / ".venv-bench/bin/python"
_BASELINES = ROOT / "bench/baselines"


def sas_row(plan: Plan) -> str:
    return f"sas, {readable(plan.sas_bytes)} through loopback"


def sas(plan: Plan, s3_url: str, model_url: str) -> Iterator[Row]:
    """All that dropscore does with the file, collecting the result included; curl only sends it."""
    file = data.File.of(plan.sas_bytes)
    megabytes = file.size / 1e6

    def ours() -> float:
        return megabytes / engine.run("sas", s3_url, model_url, file).seconds

    def curl() -> float:
        command: list[str | Path] = [_BASELINES / "curl.sh", f"{s3_url}/input/{file.name}", f"{model_url}/executions"]
        began = perf_counter()
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        seconds = perf_counter() - began
        _expect(int(json.loads(answer)["id"]), file)
        return megabytes / seconds

    our_speed, curls = alternating(plan.sas_rounds, ours, curl)
    yield Row(sas_row(plan), our_speed, "MB/s", curls, "curl", ratio_at_least(0.6))


def rows(plan: Plan, s3_url: str, model_url: str) -> Iterator[Row]:
    """MB of input for each second of CPU: pandas is given as many cores as it likes, and so are we."""
    file = data.File.of(plan.rows_bytes)
    megabytes = file.size / 1e6
    for protocol in ("mlflow", "sagemaker"):

        def ours(protocol: str = protocol) -> float:
            return megabytes / engine.run(protocol, s3_url, model_url, file).cpu_seconds

        def pandas(protocol: str = protocol) -> float:
            with tempfile.TemporaryDirectory() as scratch:
                output = Path(scratch, "output.csv")
                script: list[str | Path] = [_PANDAS_PYTHON, _BASELINES / "pandas_script.py", protocol]
                command = [*script, f"{s3_url}/input/{file.name}", model_url, output]
                answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            _expect(answer["rows"], file)
            return megabytes / float(answer["cpu_seconds"])

        our_speed, theirs = alternating(plan.rows_rounds, ours, pandas)
        name = f"{protocol}, joined output, {readable(plan.rows_bytes)}"
        yield Row(name, our_speed, "MB/s per core", theirs, "pandas script", ratio_at_least(3))


def kinds(plan: Plan, s3_url: str, model_url: str) -> Iterator[Row]:
    """What odd files and chosen columns cost: each beside the same engine with the regular file, all columns sent."""
    megabytes = plan.rows_bytes / 1e6
    cases: tuple[tuple[str, str, dict[str, Any], float], ...] = (
        ("inch mark in every tenth record", "-inch-marks", {}, 0.5),
        ("first column excluded", "", {"sent": list(range(1, data.HEADER.count(b",") + 1))}, 0.7),
    )
    for protocol in ("mlflow", "sagemaker"):

        def speed(kind: str = "", reading: Mapping[str, Any] | None = None, protocol: str = protocol) -> float:
            file = data.File.of(plan.rows_bytes, kind)
            return megabytes / engine.run(protocol, s3_url, model_url, file, reading).cpu_seconds

        for name, kind, reading, least in cases:
            ours, regular = alternating(plan.rows_rounds, partial(speed, kind, reading), speed)
            yield Row(f"{protocol}, {name}", ours, "MB/s per core", regular, "regular file", ratio_at_least(least))
    file = data.File.of(plan.sas_bytes // 4, "-inch-marks")

    def whole(file: data.File) -> float:
        return file.size / 1e6 / engine.run("sas", s3_url, model_url, file).seconds

    ours, regular = alternating(plan.rows_rounds, lambda: whole(file), lambda: whole(data.File.of(plan.sas_bytes // 4)))
    yield Row("sas, inch mark in every tenth record", ours, "MB/s", regular, "regular file", ratio_at_least(0.5))


def throttled(plan: Plan, s3_url: str, slow_url: str, model_url: str) -> Iterator[Row]:
    """What becomes of the speed where each connection of S3 has its limit, and the memory that making up for it takes.

    The unthrottled engine beside it is what the machine could do.
    """
    file = data.File.of(plan.throttled_bytes)
    size = readable(plan.throttled_bytes)
    for protocol, least in (("sagemaker", 60), ("mlflow", 60), ("sas", 85)):
        runs: list[engine.Run] = []

        def slow(protocol: str = protocol, runs: list[engine.Run] = runs) -> float:
            runs.append(engine.run(protocol, slow_url, model_url, file))
            return file.size / 1e6 / runs[-1].seconds

        def free(protocol: str = protocol) -> float:
            return file.size / 1e6 / engine.run(protocol, s3_url, model_url, file).seconds

        ours, unthrottled = alternating(plan.rows_rounds, slow, free)
        name = f"{protocol}, {size}, S3 throttled as AWS plans it"
        yield Row(name, ours, "MB/s", unthrottled, "unthrottled", value_at_least(least, "MB/s"))
        peak, idle = Sample(tuple(run.peak_mib for run in runs)), Sample(tuple(run.idle_mib for run in runs))
        goal = holds(f"≤ +{MOST_MIB:g} MiB", all(run.peak_mib - run.idle_mib <= MOST_MIB for run in runs))
        yield Row(f"peak memory, {name}", peak, "MiB", idle, "idle", goal)


def _expect(rows: int, file: data.File) -> None:
    if rows != file.records:
        raise RuntimeError(f"the baseline has scored {rows} rows of {file.records}")
