"""The command `dropscore`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from dropscore import dropping, ended, outcomes, runs, telling
from dropscore import score as scoring_drops
from dropscore import show as showing
from dropscore.check import command as checking
from dropscore.course import Course
from dropscore.output import BROKEN, ERROR_FILE, INTERRUPTED, SCORED, console, worst
from dropscore.stack import DEFAULT_NAME, Stack, Unusable, in_words
from dropscore.ui import serve as serving
from scoring.errors import DropscoreError


class _Span(click.ParamType[timedelta]):
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return runs.span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_stack = click.option(
    "--stack",
    "stack_name",
    default=DEFAULT_NAME,
    show_default=True,
    envvar="DROPSCORE_STACK",
    help="Name of the stack.",
)


_NO_END = 10_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dropscore")
def cli() -> None:
    """Drop files and get them back scored.

    Credentials, region and endpoint are those of the AWS CLI. Ends with 0 when all is scored, 3 when there is an `.error`,
    2 for wrong use, 1 when something is broken, if only for one of several files.
    """


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="The tag model_image: ECR repository, with a tag or digest.")
@click.option("--protocol", help="The tag protocol: sas, sagemaker, mlflow, oip or auto.")
@click.option("--profile", help="The tag profile.")
@click.option(
    "--tag",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other tag (docs/files.md lists them), as often as needed.",
)
@click.option("--folder", default="", help="Folder below the input folder, whose profile may tell the rest.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where outcomes go (this folder)."
)
@click.option("--no-wait", is_flag=True, help="Drop them, and leave.")
@click.option("--steps", is_flag=True, help="Show each step as it is entered.")
@_stack
def score(
    files: Sequence[Path],
    model: str | None,
    protocol: str | None,
    profile: str | None,
    pairs: Sequence[str],
    folder: str,
    out: Path,
    no_wait: bool,
    steps: bool,
    stack_name: str,
) -> int:
    """Drop FILES, follow them, fetch what comes of them."""
    try:
        tags = dropping.tags_of(pairs, model_image=model, protocol=protocol, profile=profile)
        for file in files:
            if not file.is_file():
                raise Unusable(f"There is no file {file}.")
    except Unusable as wrong:
        raise click.UsageError(str(wrong)) from wrong
    stack = Stack.find(stack_name)
    try:
        drops = dropping.drops_of(stack, files, folder, tags)
    except Unusable as wrong:
        raise click.UsageError(str(wrong)) from wrong
    try:
        return scoring_drops.score(stack, drops, out, no_wait=no_wait, steps=steps)
    except KeyboardInterrupt:
        names = escape(" ".join(each.name for each in drops))
        console.print(
            f"\nStopped looking; what is dropped goes on. Come back with `dropscore show {names}`.", soft_wrap=True
        )
        return INTERRUPTED


@cli.command("ls")
@click.option("--since", type=_Span(), help="Only what was dropped in the last 30m, 2h, 1d.")
@click.option("--failed", is_flag=True, help="Only what failed or was stopped.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, a line a file.")
@_stack
def list_files(since: timedelta | None, failed: bool, limit: int, as_json: bool, stack_name: str) -> int:
    """List files, the newest first."""
    stack, moment = Stack.find(stack_name), runs.now()
    found = runs.listed(stack, moment - since if since else None, failed=failed, limit=limit + 1)
    # The index of ended files has what a line shows, not what JSON does.
    index = None if as_json else ended.by_arn
    more, found = len(found) > limit, runs.described(stack, found[:limit], index=index)
    found = outcomes.with_superseded(stack, found)
    if as_json:
        for run in found:
            click.echo(json.dumps(run.to_json()))
        return SCORED
    told = showing.doing(stack, [run for run in found if run.status == "RUNNING"], moment)
    names = {run.arn: stack.name_of(run.key) for run in found}
    if not found:
        console.print(
            "Nothing."
            if since or failed
            else f"Nothing was dropped yet in s3://{stack.input_bucket}/{stack.input_prefix}."
        )
        return SCORED
    rows = [(run, told.get(run.arn, "")) for run in found]
    # What reads a pipe wants a line a file.
    for line in telling.files_lines(rows, names, moment, console.width if console.is_terminal else _NO_END):
        console.print(line, soft_wrap=True)
    if more:
        console.print(f"[dim]… and older ones; --limit {limit * 10} shows more.[/]")
    return SCORED


@cli.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON, a line a file.")
@_stack
def show(files: Sequence[str], as_json: bool, stack_name: str) -> int:
    """Show how FILES are: steps, shards, pod, and what went wrong."""
    stack, codes = Stack.find(stack_name), list[int]()
    for file in files:
        course = Course(stack, runs.find(stack, file))
        course.look()
        document, course.run = outcomes.told(stack, course)
        run = course.run
        if as_json:
            steps = [
                {
                    "attempt": each.arn,
                    "shard": each.number,
                    "step": step.name,
                    "entered": step.entered.isoformat(),
                    "left": step.left.isoformat() if step.left else None,
                    "failures": dict(step.failures),
                }
                for each in course.attempts
                for step in each.steps
            ]
            click.echo(json.dumps(run.to_json() | {"steps": steps, "error_document": document}))
        else:
            showing.show(stack, course, document)
        codes.append(ERROR_FILE if run.is_failed else SCORED)
    return worst(codes)


@cli.command()
@click.argument("files", nargs=-1)
@click.option("--since", type=_Span(), help="All that failed in the last 30m, 2h, 1d (14d at most).")
@_stack
def retry(files: Sequence[str], since: timedelta | None, stack_name: str) -> int:
    """Score FILES again that failed, or all of a time (Step Functions' Redrive): a fresh attempt each, with the tags read again."""
    if bool(files) == bool(since):
        raise click.UsageError("Name files, or a time with --since.")
    if since and since > runs.REDRIVABLE:
        raise click.UsageError("Step Functions redrives what ended in the last 14 days.")
    stack, moment = Stack.find(stack_name), runs.now()
    superseded: list[runs.Run] = []
    if since:
        earliest = moment - since
        wanted, superseded = runs.to_redrive(runs.that_may_matter(stack, earliest), earliest)
    else:
        wanted = [runs.find(stack, file) for file in files]
    refused = 0
    for run in wanted:
        name = escape(stack.name_of(run.key))
        if not run.is_redrivable(moment):
            why = (
                "is running"
                if run.state == "running"
                else "is scored"
                if run.state == "scored"
                else "ended more than 14 days ago: drop it again"
            )
            console.print(f"[yellow]✗[/] {name} {why}.", soft_wrap=True)
            refused += 1
            continue
        try:
            stack.stepfunctions.redrive_execution(executionArn=run.arn)
            console.print(
                f"[green]✓[/] {name} is scored again; `dropscore show {name}` tells how it goes.", soft_wrap=True
            )
        except ClientError as error:
            told = in_words(error, stack.name_of(run.key))
            console.print(f"[red]✗[/] {escape(told.summary)} {escape(told.remedy)}", soft_wrap=True)
            refused += 1
    console.print(
        f"{len(wanted) - refused} redriven, {refused} refused"
        + (f", {len(superseded)} left alone (their files were dropped again later)" if superseded else "")
        + "."
    )
    return BROKEN if refused else SCORED


@cli.command()
@click.argument("target", metavar="URL|IMAGE")
@click.argument("sample", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", help="sas, sagemaker, mlflow or oip; by default, its answers tell.")
@click.option("--tag", "pairs", multiple=True, metavar="NAME=VALUE", help="A tag that files will have.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where an image listens, if not on 8080.")
@click.option(
    "--wait", type=click.FloatRange(1), default=120, show_default=True, help="Seconds until it has to be ready."
)
def check(target: str, sample: Path, protocol: str | None, pairs: Sequence[str], port: int | None, wait: float) -> int:
    """Try whether a model's container is fit to be run by dropscore, on the first records of SAMPLE. Needs no AWS.

    A model that runs at a URL (docker run -p 8080:8080 …), or an image that the local Docker starts as a pod would.
    """
    try:
        tags = dropping.tags_of(pairs, protocol=protocol)
    except Unusable as wrong:
        raise click.UsageError(str(wrong)) from wrong
    try:
        is_fit = checking.check(console, target, sample, tags, wait, port)
    except DropscoreError as wrong:
        # Of the sample or its tags: what a model does is a finding.
        raise click.UsageError(f"{wrong.summary} {wrong.remedy}") from wrong
    return SCORED if is_fit else ERROR_FILE


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of this machine; by default a free one.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@_stack
def ui(port: int, no_open: bool, stack_name: str) -> int:
    """Show the files of the last days as a page, on this machine alone."""
    serving.serve(console, Stack.find(stack_name), port, opens=not no_open)
    return SCORED


def main() -> None:
    """Run the command; exits with its code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as wrong:
        wrong.show()
        code = wrong.exit_code
    except KeyboardInterrupt:
        console.print("\nStopped.")
        code = INTERRUPTED
    except Unusable as failure:
        _say(failure.summary, failure.remedy)
        code = BROKEN
    except (BotoCoreError, ClientError) as error:
        told = in_words(error, "AWS was asked in vain")
        _say(told.summary, told.remedy)
        code = BROKEN
    sys.exit(code if isinstance(code, int) else 0)


def _say(summary: str, remedy: str) -> None:
    errors = Console(stderr=True, highlight=False)
    errors.print(f"[red]✗[/] {escape(summary)}", soft_wrap=True)
    if remedy:
        errors.print(escape(remedy), soft_wrap=True)


if __name__ == "__main__":
    main()
