"""What several pods make of a model that is slow, and how fast a large file is planned."""

from __future__ import annotations

from collections.abc import Iterator

from bench import data, shards
from bench.plan import Plan, readable
from bench.table import Row, Sample, ratio_at_least, value_at_least, value_at_most

PODS = (2, 4, 8)


def side_by_side(plan: Plan, s3_url: str, slow_model_url: str) -> Iterator[Row]:
    """A model that takes one request at a time and sleeps over it, so that two cores are enough for eight pods. Each has as
    much to score as the one that is alone: what is missing of their number is what planning and joining take, and where
    shards differ.
    """

    def speed(pods: int) -> Sample:
        file = data.File.of(pods * plan.pod_bytes)
        return Sample((file.size / 1e6 / shards.run(s3_url, file, pods, slow_model_url).seconds,))

    alone = speed(1)
    for pods in PODS:
        name = f"{pods} pods, {readable(plan.pod_bytes)} each, a model of {plan.slow_model_mb_s:g} MB/s"
        yield Row(name, speed(pods), "MB/s", alone, "one pod", ratio_at_least(0.9 * pods))


def planning(plan: Plan, slow_url: str) -> Iterator[Row]:
    """The look through all of a file for where its records end, over connections as AWS plans them."""
    file = data.File.of(plan.planned_bytes)
    run = shards.run(slow_url, file, 8)
    name = f"plan of {readable(plan.planned_bytes)}, S3 throttled as AWS plans it"
    yield Row(name, Sample((run.seconds,)), "s", goal=value_at_most(60, "s"))
    speed = Sample((file.size / 1e6 / run.cpu_seconds,))
    yield Row(
        f"the same, per core of it, {readable(plan.planned_bytes)}", speed, "MB/s", goal=value_at_least(400, "MB/s")
    )
