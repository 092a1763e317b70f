"""How much memory a file takes, whatever its size: one process a file, its peak against what it had before."""

from __future__ import annotations

from collections.abc import Iterator

from bench import data, engine
from bench.plan import Plan, readable
from bench.table import Goal, Row, Sample

PROTOCOLS = ("sas", "sagemaker", "mlflow")
_MOST_MIB = 64.0


def rows(plan: Plan, s3_url: str, model_url: str) -> Iterator[Row]:
    """The ratio is to the same process idle: library imported, client made, nothing read yet."""
    for size in plan.memory_bytes:
        file = data.File.of(size)
        for protocol in PROTOCOLS:
            run = engine.run(protocol, s3_url, model_url, file)
            idle = run.idle_mib
            goal = Goal(f"≤ +{_MOST_MIB:g} MiB", lambda value, _, idle=idle: value - idle <= _MOST_MIB)
            peak, idle_sample = Sample((run.peak_mib,)), Sample((idle,))
            yield Row(f"peak memory, {protocol}, {readable(size)}", peak, "MiB", idle_sample, "idle", goal)
