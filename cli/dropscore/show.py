"""What a file is doing, and all that is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from rich.markup import escape

from dropscore import runs, telling
from dropscore.course import Course
from dropscore.output import console
from dropscore.stack import Stack
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX

_AT_ONCE = 8


def doing(stack: Stack, running: Sequence[runs.Run], moment: datetime) -> dict[str, str]:
    """What each running one is doing, and how far it is, by its ARN."""

    def look(run: runs.Run) -> tuple[str, str]:
        course = Course(stack, run)
        course.look()
        far = telling.how_far(course.progress(), moment)
        return run.arn, f"{course.doing}{f': {far}' if far else ''}"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(look, running))


def show(stack: Stack, course: Course, document: dict[str, Any] | None) -> None:
    """Print a run's course, and of one that failed the `document` of its own error."""
    run, moment = course.run, runs.now()
    console.print(telling.about(course, f"s3://{run.bucket}/{run.key}"), soft_wrap=True)
    console.print()
    console.print(telling.steps_table(course, moment))
    if run.state == "running":
        far = telling.how_far(course.progress(), moment)
        console.print(f"\n[cyan]{course.doing}[/]{f': {far}' if far else ''}", soft_wrap=True)
    elif run.superseded:
        console.print(f"\n[yellow]✗[/] {run.superseded_note}:", soft_wrap=True)
        console.print(f"  s3://{stack.output_bucket}/{stack.outcome_key(run.key, OUTPUT_SUFFIX)}", soft_wrap=True)
        if run.is_failed:
            console.print(f"  {escape(run.error)}: {escape(run.cause)}", soft_wrap=True)
    elif run.state == "scored":
        console.print(
            f"\n[green]✓[/] s3://{stack.output_bucket}/{stack.outcome_key(run.key, OUTPUT_SUFFIX)}", soft_wrap=True
        )
    elif document:
        console.print()
        console.print(telling.error(document, with_evidence=True), soft_wrap=True)
        console.print(
            f"\n[dim]s3://{stack.output_bucket}/{stack.outcome_key(run.key, ERROR_SUFFIX)}[/]", soft_wrap=True
        )
    else:
        console.print(f"\n[red]✗[/] {escape(run.error)}: {escape(run.cause)}", soft_wrap=True)
    if run.is_failed and not run.superseded:
        name = escape(stack.name_of(run.key))
        console.print(f"[dim]`dropscore retry {name}` scores it again, with its tags read again.[/]", soft_wrap=True)
    if stack.is_on_aws:
        region = run.arn.split(":")[3]
        console.print(
            f"[dim]https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{run.arn}[/]",
            soft_wrap=True,
        )
