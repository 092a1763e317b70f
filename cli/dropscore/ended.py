"""Files that have ended, by the index of them in S3 (`scoring.outcome.index`): a page of it instead of 1,000 DescribeExecution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice

from botocore.exceptions import ClientError

from dropscore.runs import Run
from dropscore.stack import Stack, is_kept_back
from scoring.intake import identity
from scoring.outcome import index

# Fewer are described as fast.
_WORTH = 20
# A record is put before the tear-down of the file's attempt, or, for one that was stopped, some time after its end.
_BESIDE_THE_END = timedelta(minutes=15)
# Where others have ended between those that are wanted, a page may hold few of them, or none; to describe so many takes longer.
_RUNS_A_PAGE = 10
# What an execution that was stopped or ran out of time has ended with is told by itself alone, not by its attempt.
_IS_SCORED = {"SUCCEEDED": True, "FAILED": False}


def by_arn(stack: Stack, runs: Sequence[Run]) -> dict[str, Run]:
    """Those of the runs that the index tells of, by their ARNs, with what a line of `ls` shows; the others have to be
    described: what goes on, what was redriven, what was stopped, and what has no record or one of another outcome.

    It gives nothing where they are few, or where this user may not list the index.

    Raises
    ------
    ClientError, BotoCoreError
    """
    wanted = [run for run in runs if run.stopped and not run.redriven and run.status in _IS_SCORED]
    if len(wanted) <= _WORTH:
        return {}
    newest: dict[str, str] = {}
    try:
        for key in _keys(stack, wanted):
            newest[index.execution_of(key, stack.output_prefix)] = key
    except ClientError as error:
        if not is_kept_back(error):
            raise
        return {}
    found = {run.arn: _told(stack, run, newest.get(run.name, "")) for run in wanted}
    return {arn: run for arn, run in found.items() if run}


def _keys(stack: Stack, wanted: Sequence[Run]) -> Iterator[str]:
    """The keys of the index among which those of the runs are, the oldest first."""
    ends = [run.stopped for run in wanted if run.stopped]
    earliest = max(min(run.started for run in wanted), min(ends) - _BESIDE_THE_END)
    last = index.begin(max(ends) + _BESIDE_THE_END, stack.output_prefix)
    pages = stack.s3.get_paginator("list_objects_v2").paginate(
        Bucket=stack.output_bucket,
        Prefix=identity.ended_prefix(stack.output_prefix),
        StartAfter=index.begin(earliest, stack.output_prefix),
    )
    for page in islice(pages, 1 + len(wanted) // _RUNS_A_PAGE):
        keys = [each["Key"] for each in page.get("Contents", ())]
        yield from keys
        if keys and keys[-1] > last:
            return


def _told(stack: Stack, run: Run, key: str) -> Run | None:
    record = index.read(key, stack.output_prefix)
    if record is None or _IS_SCORED[run.status] is bool(record.error):
        return None
    return replace(
        run,
        bucket=stack.input_bucket,
        key=record.key,
        size=record.size,
        sequencer=record.sequencer,
        cluster=record.cluster,
        rows=None if record.error else record.rows,
        padded=record.padded,
        rejected=record.rejected,
        superseded=record.superseded,
        error=record.error,
        cause=record.cause,
    )
