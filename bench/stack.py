"""The embedded stack with the benchmarks' model on it, and one file's way through it, taken apart."""

from __future__ import annotations

import csv
import io
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time

from bench import data
from bench.baselines import naive
from bench.plan import ROOT, STATE, Plan
from bench.watch import Pods
from local import account, images
from local.stack import Stack, down, up
from tests.e2e.pipeline import Pipeline

_REPOSITORY = "bench"
# As small as the model is: the machine is to be filled with files, not with promises of memory.
TAGS = {"model_image": _REPOSITORY, "protocol": "sas", "cpu": "10m", "memory": "64Mi"}
# The size of a file that a naive client was measured with on a real cluster.
SMALL_FILE = data.File.of(400_000)


@dataclass(frozen=True)
class Way:
    """A file's way in seconds: all of it; the model's own start (pod created → Ready) and work; Ready → first byte."""

    total: float
    start: float
    work: float
    first_byte: float

    @property
    def overhead(self) -> float:
        return self.total - self.start - self.work


@dataclass(frozen=True)
class Scored:
    """A file that dropscore has scored: when it was dropped, its executions, its pod, its way."""

    dropped: float
    execution: str
    attempt: str
    pod: str
    way: Way


class Bench:
    """Drops files on the stack, and drives the naive client on the same cluster."""

    def __init__(self, stack: Stack) -> None:
        self.pipeline = Pipeline(stack)
        self.pods = Pods(self.pipeline.kubernetes)
        self._numbers = itertools.count(1)
        self._body = b"".join(SMALL_FILE.read())
        images.push(
            stack.client("ecr"),
            images.build(ROOT / "bench/pod", ROOT / ".venv-models/bin/python"),
            _REPOSITORY,
            "latest",
        )

    def ours(self) -> Scored:
        """Score one file as a user would; its way ends with the published `.scoreout`."""
        dropped = time()
        execution = self.pipeline.drop(f"way-{next(self._numbers)}.csv", self._body, **TAGS)
        outcome = self.pipeline.outcome(execution)
        attempt = self.pipeline.attempt(execution)
        published = next(
            event["timestamp"].timestamp()
            for event in self.pipeline.history(attempt)
            if event.get("stateExitedEventDetails", {}).get("name") == "persist_output"
        )
        pod = f"dropscore-{attempt.rsplit(':', 1)[-1]}"
        return Scored(dropped, execution, attempt, pod, self._way(pod, published - dropped, outcome.lines))

    def naive(self, plan: Plan, *, asks_first: bool) -> Way:
        """Score one file with the naive client, from the moment it is told of the file to the end of its upload."""
        stack, name = self.pipeline.stack, f"naive-{next(self._numbers)}"
        client = naive.Client(
            s3=self.pipeline.s3,
            kubernetes=self.pipeline.kubernetes,
            gateway_url=stack.gateway_url,
            image=f"{account.ACCOUNT}.dkr.ecr.{account.REGION}.amazonaws.com/{_REPOSITORY}:latest",
            poll_seconds=plan.poll_seconds,
            ping_seconds=plan.ping_seconds,
            asks_first=asks_first,
        )
        # Outside of the input prefix, where dropscore does not see it.
        source, target = (stack.input_bucket, f"naive/{name}.csv"), (stack.output_bucket, f"naive/{name}.out")
        self.pipeline.s3.put_object(Bucket=source[0], Key=source[1], Body=self._body)
        with tempfile.TemporaryDirectory() as scratch:
            told = time()
            client.score(name, source, target, Path(scratch))
            total = time() - told
            lines = (Path(scratch) / "output.csv").read_bytes().splitlines()
        client.tear_down(name)
        return self._way(name, total, lines)

    def _way(self, pod: str, total: float, scored: list[bytes]) -> Way:
        if len(scored) != SMALL_FILE.records + 1:
            raise RuntimeError(f"{len(scored)} lines came out of {SMALL_FILE.records} records")
        row = next(csv.DictReader(io.StringIO(b"\n".join(scored[:2]).decode())))
        received, done = float(row["received"]), float(row["done"])
        moments = self.pods.of(pod)
        return Way(total, moments.ready - moments.created, done - received, received - moments.ready)


@contextmanager
def running() -> Iterator[Bench]:
    """The stack, warm: one file has gone through it."""
    bench = None
    try:
        bench = Bench(up(STATE, report=lambda _: None))
        bench.ours()
        yield bench
    finally:
        if bench:
            bench.pods.close()
        down(STATE)
