"""How much memory a file takes, whatever its size: one process a file, its peak against what it had before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from bench import data, engine
from bench.plan import Plan, readable
from bench.table import Row, Sample, holds

PROTOCOLS = ("sas", "sagemaker", "mlflow")
MOST_MIB = 64.0


def rows(plan: Plan, s3_url: str, model_url: str) -> Iterator[Row]:
    """The ratio is to the same process idle: library imported, client made, nothing read yet.

    Two processes run at a time: who else is running changes how long a file takes, not its memory.
    """
    cases = list(product(plan.memory_bytes, PROTOCOLS))
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = pool.map(lambda case: engine.run(case[1], s3_url, model_url, data.File.of(case[0])), cases)
        for (size, protocol), run in zip(cases, runs, strict=True):
            idle = run.idle_mib
            goal = holds(f"≤ +{MOST_MIB:g} MiB", run.peak_mib - idle <= MOST_MIB)
            peak, before = Sample((run.peak_mib,)), Sample((idle,))
            yield Row(f"peak memory, {protocol}, {readable(size)}", peak, "MiB", before, "idle", goal)
