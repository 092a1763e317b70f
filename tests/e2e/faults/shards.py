"""A file on several pods, and what happens to one of them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.e2e.faults import disturb
from tests.e2e.faults.case import Case, Stage

TWO = {"pods": "2"}


def lose_a_pod(stage: Stage) -> Iterable[str]:
    execution = stage.drop()
    attempt = stage.pipeline.scoring_shards(execution, 2)[0].rpartition(":")[2]
    (pod,) = [each for each in stage.pipeline.objects(attempt) if each.startswith("pods/")]
    stage.pipeline.call("DELETE", stage.pipeline.path("pods", pod.removeprefix("pods/")))
    yield execution


def stop_a_shard(stage: Stage) -> Iterable[str]:
    execution = stage.drop()
    stage.pipeline.sfn.stop_execution(executionArn=stage.pipeline.scoring_shards(execution, 2)[1])
    yield execution


def stop_a_shard_and_redrive(stage: Stage) -> Iterable[str]:
    (execution,) = stop_a_shard(stage)
    stage.pipeline.ended(execution)
    stage.pipeline.sfn.redrive_execution(executionArn=execution)
    yield execution


def with_room_for_one(stage: Stage) -> Iterable[str]:
    with disturb.quota(stage.pipeline, pods="1"):
        execution = stage.drop()
        stage.pipeline.ended(execution, 180)
    yield execution


CASES = (
    Case(
        "shard-pod-lost",
        "somebody deletes one of the file's pods while it scores",
        but="scored: a fresh pod goes on with its shard",
        model="slow",
        tags=TWO,
        inject=lose_a_pod,
    ),
    Case(
        "shards-with-room-for-one",
        "the namespace has room for one of the file's pods at a time",
        but="scored, one shard after the other",
        tags=TWO,
        inject=with_room_for_one,
        rough=True,
    ),
    Case(
        "shard-stopped",
        "an administrator stops the attempt of one shard",
        error="Aborted",
        summary="scored a part of the file was stopped",
        remedy="Redrive the score_file execution",
        model="slow",
        tags=TWO,
        inject=stop_a_shard,
    ),
    Case(
        "shard-stopped-and-redriven",
        "… and the file is redriven",
        but="scored, from its beginning",
        model="slow",
        tags=TWO,
        inject=stop_a_shard_and_redrive,
    ),
)
