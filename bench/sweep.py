"""Whether what the engine finds out about a server is as good as what its owner might set: `make sweep`.

A real server from PyPI scores a file of numbers with each of several batch sizes and numbers of requests at a time, by the
engine with these fixed and by a plain client; then the whole file with the best of each, beside the engine as it is.
Exit codes as of `python -m bench`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import product
from pathlib import Path

from rich.console import Console

from bench import data, engine, standins
from bench.plan import MIB, ROOT
from bench.table import Missing, Row, Sample, alternating, holds, ratio_at_least, show
from tests.servers.harness import Environment
from tests.servers.test_mlflow import MLFLOW, mlflow_serve
from tests.servers.test_sagemaker_toolkit import SAGEMAKER, toolkit

# Bytes a batch, and batches at a time.
GRID = tuple(product((MIB // 2, MIB, 2 * MIB, 4 * MIB), (1, 2, 3)))
_PYTHON, _CLIENT = ROOT / ".venv-bench/bin/python", ROOT / "bench/baselines/plain_client.py"
_ROUNDS, _MOST_MIB = 2, 64.0
_KIND = "-numbers"
console = Console(highlight=False, width=max(150, Console().width))


@contextmanager
def _trained(environment: Environment) -> Iterator[Path]:
    """A folder with the model in it."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        environment.train("numbers_model.py", Path(folder))
        yield Path(folder)


@contextmanager
def mlflow(workers: int) -> Iterator[str]:
    """MLflow's own server with so many workers; its URL."""
    with _trained(MLFLOW) as folder, mlflow_serve(folder, workers) as server:
        yield server.url


@contextmanager
def multi_model_server() -> Iterator[str]:
    """The SageMaker inference toolkit on multi-model-server, with one worker; its URL."""
    with _trained(SAGEMAKER) as folder, toolkit(folder) as server:
        yield server.url


# Protocol, the server, and MiB of a file that takes it half a minute or more: what is found out on the way is a small part of it.
SERVERS: dict[str, tuple[str, Callable[[], AbstractContextManager[str]], int]] = {
    "mlflow, 1 worker": ("mlflow", partial(mlflow, 1), 1_000),
    "mlflow, 2 workers": ("mlflow", partial(mlflow, 2), 1_000),
    "multi-model-server": ("sagemaker", multi_model_server, 300),
}


def plain(protocol: str, s3_url: str, url: str, file: data.File, fixed: tuple[int, int]) -> float:
    """Seconds that a plain client takes."""
    with tempfile.TemporaryDirectory() as scratch:
        command: list[str | Path] = [_PYTHON, _CLIENT, protocol, f"{s3_url}/input/{file.name}", url]
        command += [Path(scratch, "output.csv"), *map(str, fixed)]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if answer["rows"] != file.records:
        raise RuntimeError(f"the plain client has scored {answer['rows']} rows of {file.records}")
    return float(answer["seconds"])


def rows(name: str, s3_url: str, mib: int | None) -> Iterator[Row]:
    """What is found out on the way is told as it comes."""
    protocol, running, usual_mib = SERVERS[name]
    size = (mib or usual_mib) * MIB
    whole, part = data.File.of(size, _KIND), data.File.of(size // 8, _KIND)
    with running() as url:
        engine.run(protocol, s3_url, url, data.File.of(MIB, _KIND))  # warm

        def fixed(file: data.File, pair: tuple[int, int]) -> float:
            return file.size / 1e6 / engine.run(protocol, s3_url, url, file, fixed=pair).seconds

        def client(file: data.File, pair: tuple[int, int]) -> float:
            return file.size / 1e6 / plain(protocol, s3_url, url, file, pair)

        best = {}
        for what, measure in (("fixed", fixed), ("plain client", client)):
            found = {pair: measure(part, pair) for pair in GRID}
            best[what] = max(found, key=found.__getitem__)
            told = ", ".join(f"{bytes_ >> 10} KiB x {n}: {speed:.3g}" for (bytes_, n), speed in found.items())
            console.print(f"  {name}, {what}, MB/s: {told}", style="dim", soft_wrap=True)
        runs: list[engine.Run] = []

        def ours() -> float:
            runs.append(engine.run(protocol, s3_url, url, whole))
            return whole.size / 1e6 / runs[-1].seconds

        speed, of_fixed, of_client = alternating(
            _ROUNDS, ours, lambda: fixed(whole, best["fixed"]), lambda: client(whole, best["plain client"])
        )
    for what, baseline in (("fixed", of_fixed), ("plain client", of_client)):
        told = f"{what}, {best[what][0] >> 10} KiB x {best[what][1]}"
        yield Row(f"{name}, {whole.size // 10**6} MB", speed, "MB/s", baseline, told, ratio_at_least(0.9))
    peak, idle = (Sample(tuple(getattr(run, field) for run in runs)) for field in ("peak_mib", "idle_mib"))
    goal = holds(f"≤ +{_MOST_MIB:g} MiB", max(run.peak_mib - run.idle_mib for run in runs) <= _MOST_MIB)
    yield Row(f"{name}, peak memory", peak, "MiB", idle, "idle", goal)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, action="append", help="only this one; may be repeated")
    parser.add_argument("--mib", type=int, help="size of the file, unless the server's usual one")
    options = parser.parse_args()
    measured: list[Row] = []
    missing: list[Missing] = []
    with standins.running("bench.s3") as s3_url:
        for name in options.server or SERVERS:
            try:
                measured += rows(name, s3_url, options.mib)
            except Exception as error:  # noqa: BLE001  (whatever it is, the table says it, and so does the exit code)
                missing.append(Missing(name, f"{type(error).__name__}: {error}"))
    show(measured, missing, console)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
