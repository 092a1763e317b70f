"""Redrive what failed: every failed or timed-out `score_file` execution of a time window is scored again.

    make redrive-failed SINCE=2h [STACK=dropscore]

A redrive starts a fresh attempt with the file's tags read again; the success removes the `.error`. Credentials, region and
endpoint come from where the AWS CLI takes them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import track

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# Step Functions Developer Guide, "Redriving state machine executions": within 14 days of the end.
_MOST = timedelta(days=14)


@dataclass(frozen=True)
class Execution:
    """An execution of score_file, and the file that it is for."""

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None
    file: tuple[str, str]


def since(text: str) -> timedelta:
    """Read `30m`, `2h` or `1d`.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    match = re.fullmatch(r"(\d+)([mhd])", text)
    window = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if not window or window > _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span; write 30m, 2h or 1d (14d at most)")
    return window


def to_redrive(executions: Iterable[Execution], earliest: datetime) -> tuple[list[Execution], list[Execution]]:
    """Which executions to redrive, oldest first, and which to leave since their file was dropped again later.

    To redrive those would put the outcome of an older file over that of a newer one.
    """
    newest: dict[tuple[str, str], datetime] = {}
    executions = list(executions)
    for execution in executions:
        newest[execution.file] = max(execution.started, newest.get(execution.file, execution.started))
    failed = [
        execution
        for execution in sorted(executions, key=lambda execution: execution.started)
        if execution.status in ("FAILED", "TIMED_OUT") and execution.stopped and execution.stopped >= earliest
    ]
    superseded = [execution for execution in failed if execution.started < newest[execution.file]]
    return [execution for execution in failed if execution not in superseded], superseded


def read(stepfunctions: Any, state_machine: str, earliest: datetime) -> list[Execution]:
    """All executions that may matter: those that ended in the window, and those for the same base names."""
    listed = [
        entry
        for page in stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=state_machine)
        for entry in page["executions"]
    ]
    ended = [e for e in listed if e["status"] in ("FAILED", "TIMED_OUT") and e["stopDate"] >= earliest]
    slugs = {entry["name"].rsplit("-", 1)[0] for entry in ended}
    found = []
    for entry in listed:
        if entry["name"].rsplit("-", 1)[0] in slugs:
            source = json.loads(stepfunctions.describe_execution(executionArn=entry["executionArn"])["input"])["source"]
            found.append(
                Execution(
                    entry["executionArn"],
                    entry["name"],
                    entry["status"],
                    entry["startDate"],
                    entry.get("stopDate"),
                    (source["bucket"], source["key"]),
                )
            )
    return found


def main() -> None:
    """Redrive, show how far it is, say what became of it; ends with 1 if a redrive was refused."""
    parser = argparse.ArgumentParser(prog="make redrive-failed", description=__doc__.split("\n")[0])
    parser.add_argument("--since", type=since, required=True, metavar="SPAN", help="30m, 2h, 1d: how far back")
    parser.add_argument("--stack", default="dropscore", help="name of the CloudFormation stack (%(default)s)")
    options = parser.parse_args()
    console = Console()
    config = Config(retries={"mode": "adaptive", "total_max_attempts": 10})
    try:
        stacks = boto3.client("cloudformation", config=config).describe_stacks(StackName=options.stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
        stepfunctions: Any = boto3.client("stepfunctions", config=config)
        earliest = datetime.now(UTC) - options.since
        failed, superseded = to_redrive(read(stepfunctions, outputs["ScoreFileStateMachineArn"], earliest), earliest)
        outcomes: Counter[str] = Counter()
        for execution in track(failed, "redriving", console=console, disable=not failed):
            try:
                stepfunctions.redrive_execution(executionArn=execution.arn)
                outcomes["redriven"] += 1
            except ClientError as error:
                outcomes["refused"] += 1
                console.print(f"{execution.name}: {error.response['Error']['Message']}", markup=False)
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{error}\nCheck credentials, region and the name of the stack ({options.stack}).")
    console.print(
        f"{outcomes['redriven']} redriven, {outcomes['refused']} refused, "
        f"{len(superseded)} left alone (their files were dropped again later)."
    )
    sys.exit(1 if outcomes["refused"] else 0)


if __name__ == "__main__":
    main()
