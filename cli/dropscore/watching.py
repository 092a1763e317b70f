"""Show files while they are followed: bars in a terminal, lines elsewhere, or each step as it is entered."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dropscore import telling
from dropscore.dropping import Dropped
from dropscore.progress import Progress
from dropscore.runs import now
from dropscore.steps import Attempt


class Bars:
    """A line with a bar for each file, kept up to date. For terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.__exit__(kind, error, at)

    def show(self, files: Sequence[Dropped]) -> None:
        """Show how they are now."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for _ in range(5):
            table.add_column()
        moment = now()
        for file in files:
            progress = None if file.is_over or not file.course else file.course.progress()
            state = file.run.state if file.run else "running"
            fraction = 1.0 if state == "scored" else (progress.fraction if progress else None) or 0.0
            seconds = file.run.seconds(moment) if file.run else 0.0
            table.add_row(
                escape(file.drop.name),
                ProgressBar(total=1.0, completed=fraction, width=24),
                Text(doing(file), style=telling.COLOURS[state]),
                telling.duration(seconds),
                telling.how_far(progress, moment),
            )
        self._live.update(table)


class Lines:
    """A line whenever a file begins something else. For logs."""

    def __init__(self, console: Console) -> None:
        self._console, self._said = console, dict[str, str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, files: Sequence[Dropped]) -> None:
        """Show how they are now."""
        for file in files:
            progress: Progress | None = None if file.is_over or not file.course else file.course.progress()
            tenths = int((progress.fraction or 0) * 10) if progress else 0
            said = f"{doing(file)} {tenths}"
            if self._said.get(file.key) != said:
                self._said[file.key] = said
                seconds = file.run.seconds(now()) if file.run else 0.0
                far = telling.how_far(progress, now())
                self._console.print(
                    f"{seconds:7.1f} s  {escape(file.drop.name)}: {doing(file)}{f' ({far})' if far else ''}",
                    soft_wrap=True,
                )


class Steps:
    """Each state as it is entered, of the file's execution, its attempts and their shards."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, files: Sequence[Dropped]) -> None:
        """Show what is new."""
        for file in files:
            for event, attempt in file.new:
                self._show(file, event, attempt)

    def _show(self, file: Dropped, event: dict[str, Any], attempt: Attempt | None) -> None:
        """Print an event if it tells where the file is: a state entered, or a task failed.

        `States.TaskFailed` only repeats, on score_file, what has failed in the attempt.
        """
        indent = "" if attempt is None else "  " if attempt.number is None else f"    shard {attempt.number}: "
        seconds = (event["timestamp"] - file.at).total_seconds()
        if entered := event.get("stateEnteredEventDetails"):
            if event["type"] != "ChoiceStateEntered":
                self._console.print(f"{seconds:7.1f} s  {indent}{entered['name']}", soft_wrap=True)
        elif (failed := event.get("taskFailedEventDetails")) and failed["error"] != "States.TaskFailed":
            self._console.print(f"{'':9}  {indent}[yellow]{escape(failed['error'])}[/]", soft_wrap=True)


def doing(file: Dropped) -> str:
    """What becomes of a file just now."""
    if file.course is None:
        return "dropped"
    return file.course.doing if file.run and file.run.state == "running" else file.course.run.state
