"""Drop files in the embedded stack's folder and show what becomes of them: `make demo`.

Without a file, a sample for each example model. Exit codes: 0 scored, 3 an `.error` came back, 2 wrong use, 1 the stack
is broken.
"""

import argparse
import csv
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local import parts
from local.processes import StackFailed
from local.stack import INTERRUPTED, Stack, check, down, status, up

SCORED, BROKEN, ERROR_FILE = 0, 1, 3
ROWS_SHOWN, COLUMNS_SHOWN = 5, 6
POLL_SECONDS = 0.2  # Step Functions tells nobody when a state is entered; it has to be asked
START_SECONDS = 30.0

console = Console(highlight=False)


@dataclass(frozen=True)
class Drop:
    """A file to be dropped: where it is, the name it gets in the folder, its tags as S3 writes them (`a=b&c=d`)."""

    path: Path
    name: str
    tags: str


def samples() -> list[Drop]:
    """Give each example model's sample; the name of its folder starts with the protocol it speaks."""
    return [
        Drop(sample, f"{model}.csv", f"model_image={model}:latest&protocol={model.partition('-')[0]}")
        for sample in sorted((parts.ROOT / "models").glob("*/sample.csv"))
        for model in [sample.parent.name]
    ]


def score(stack: Stack, drop: Drop, out: Path) -> int:
    """Drop a file, follow it to its end, fetch and show what came back; give the exit code."""
    console.print(f"\n[bold]{escape(drop.name)}[/]  [dim]{escape(drop.tags)}[/]", soft_wrap=True)
    s3, key = stack.client("s3"), stack.input_prefix + drop.name
    dropped = datetime.now(UTC)
    s3.upload_file(drop.path, stack.input_bucket, key, ExtraArgs={"Tagging": drop.tags} if drop.tags else {})
    execution = follow(stack, s3.head_object(Bucket=stack.input_bucket, Key=key)["VersionId"], dropped)
    suffix = ".scoreout" if execution["status"] == "SUCCEEDED" else ".error"
    output_key, fetched = f"{stack.output_prefix}{drop.name}{suffix}", out / f"{drop.name}{suffix}"
    out.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(stack.output_bucket, output_key, str(fetched))
    except ClientError as error:
        ended = f"{execution['status']}: {execution.get('error')}: {execution.get('cause')}"
        raise StackFailed(f"No s3://{stack.output_bucket}/{output_key} ({error}). The execution has {ended}") from error
    if suffix == ".error":
        document = json.loads(fetched.read_text())
        for line in (document["summary"], document["remedy"], str(fetched)):
            console.print(f"[red]✗[/] {escape(line)}", soft_wrap=True)
        return ERROR_FILE
    show_rows(fetched)
    tags = s3.get_object_tagging(Bucket=stack.output_bucket, Key=output_key)["TagSet"]
    for tag in tags:
        console.print(f"  [dim]{tag['Key']:<16}[/] {escape(tag['Value'])}", soft_wrap=True)
    seconds = (execution["stopDate"] - dropped).total_seconds()
    console.print(f"[green]✓[/] scored in {seconds:.1f} s: {fetched}")
    return SCORED


def follow(stack: Stack, version_id: str, dropped: datetime) -> dict[str, Any]:
    """Print each state of the file's execution, of its attempt and of its shards' as it is entered; give the execution at
    its end.
    """
    client = stack.client("stepfunctions")
    score_file = attempt = None
    shards: dict[str, str] = {}  # execution ARN -> what its lines begin with
    shown: dict[str, int] = {}  # execution ARN -> number of its events that were shown
    while True:
        check(stack)
        score_file = score_file or find_execution(client, stack.score_file_arn, version_id)
        if score_file:
            attempt = attempt or find_execution(client, stack.attempt_arn, score_file["name"])
            score_file = client.describe_execution(executionArn=score_file["executionArn"])
        elif (datetime.now(UTC) - dropped).total_seconds() > START_SECONDS:
            raise StackFailed("start_scoring has started nothing.", Path(stack.logs) / "aws.log")
        followed = [(each["executionArn"], indent) for each, indent in ((score_file, ""), (attempt, "  ")) if each]
        new: list[tuple[dict[str, Any], str]] = []
        for arn, indent in (*followed, *shards.items()):
            events = history(client, arn)
            new += [(event, indent) for event in events[shown.get(arn, 0) :]]
            shown[arn] = len(events)
        for event, indent in sorted(new, key=lambda each: each[0]["timestamp"]):
            show_event(event, indent, dropped)
            if indent and event["type"] == "TaskSubmitted":
                shard = json.loads(event["taskSubmittedEventDetails"]["output"])["ExecutionArn"]
                number = json.loads(client.describe_execution(executionArn=shard)["input"])["shard"]["number"]
                shards[shard] = f"    shard {number}: "
        if score_file and score_file["status"] != "RUNNING":
            return score_file
        time.sleep(POLL_SECONDS)


def find_execution(client: Any, machine: str, mentioned: str) -> dict[str, Any] | None:
    """Give the execution of a state machine whose input mentions a name, if it is among the latest."""
    for listed in client.list_executions(stateMachineArn=machine, maxResults=20)["executions"]:
        described: dict[str, Any] = client.describe_execution(executionArn=listed["executionArn"])
        if mentioned in described["input"]:
            return described
    return None


def history(client: Any, execution: str) -> list[dict[str, Any]]:
    """Give all events of an execution so far."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"]]


def show_event(event: dict[str, Any], indent: str, dropped: datetime) -> None:
    """Print an event if it is one that tells where the file is: a state entered, or a task failed.

    `States.TaskFailed` only repeats, on score_file, what has failed in the attempt.
    """
    seconds = (event["timestamp"] - dropped).total_seconds()
    if entered := event.get("stateEnteredEventDetails"):
        if event["type"] != "ChoiceStateEntered":
            console.print(f"{seconds:7.1f} s  {indent}{entered['name']}")
    elif (failed := event.get("taskFailedEventDetails")) and failed["error"] != "States.TaskFailed":
        console.print(f"{'':9}  {indent}[yellow]{escape(failed['error'])}[/]")


def show_rows(path: Path) -> None:
    """Print the first rows of a CSV file; of many columns the first and the last, where the predictions are."""
    with path.open(newline="") as file:
        first = file.read(1)
        file.seek(0)
        if first == "{":
            console.print(escape("".join(islice(file, ROWS_SHOWN))), soft_wrap=True)
            return
        delimiter = max(",;\t|", key=file.readline().count)
        file.seek(0)
        header, *rows = islice(csv.reader(file, delimiter=delimiter), ROWS_SHOWN + 1)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    half = COLUMNS_SHOWN // 2

    def shortened(row: list[str]) -> list[str]:
        return row if len(row) <= COLUMNS_SHOWN else [*row[:half], "…", *row[-half:]]

    for name in shortened(header):
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        table.add_row(*map(escape, shortened(row[: len(header)])))
    console.print(table)


def what_ended(stack: Stack | None) -> StackFailed | None:
    """Tell which part of the stack is gone, if one is: what failed then is only who called it."""
    try:
        if stack:
            check(stack)
    except StackFailed as ended:
        return ended
    return None


def parse_options() -> argparse.Namespace:
    """Read the command line, and refuse what cannot be dropped."""
    parser = argparse.ArgumentParser(
        prog="make demo", usage="make demo [FILE=… [TAGS='name=value&…']] [OUT=folder]", description=__doc__
    )
    parser.add_argument("--file", type=Path, help="a file of your own (default: each example model's sample)")
    parser.add_argument("--tags", default="", help="its tags, as S3 writes them: model_image=…&protocol=…")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where results are put (default: %(default)s)")
    options = parser.parse_args()
    if options.file and not options.file.is_file():
        parser.error(f"There is no file {options.file}.")
    if options.file and options.file.name.startswith(("_", ".")):
        parser.error(f"{options.file}: names that begin with _ or . are ignored (the parameter IgnoredFiles).")
    if options.tags and not options.file:
        parser.error("TAGS are the tags of a FILE: name that too.")
    try:
        parse_qsl(options.tags, strict_parsing=bool(options.tags), keep_blank_values=True)
    except ValueError:
        parser.error(f"TAGS must be name=value pairs with & between them, not {options.tags!r}.")
    return options


def main() -> int:
    """Run the demo; give the exit code."""
    options = parse_options()
    drops = [Drop(options.file, options.file.name, options.tags)] if options.file else samples()
    was_up = status() is not None
    stack = None
    try:
        stack = up(report=console.print)
        return max(score(stack, drop, options.out) for drop in drops)
    except (StackFailed, ClientError, BotoCoreError) as failure:
        console.print(f"[red]✗[/] {escape(str(what_ended(stack) or failure))}", soft_wrap=True)
        return BROKEN
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return INTERRUPTED
    finally:
        if not was_up:
            down()
            console.print("\n[dim]The stack is down again; `make up` keeps one.[/]")


if __name__ == "__main__":
    sys.exit(main())
