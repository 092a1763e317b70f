"""What people read: sizes, times, tables of files, the steps of one, its outcome."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dropscore.course import Course
from dropscore.outcomes import Outcome
from dropscore.progress import Progress
from dropscore.runs import Run
from dropscore.steps import Attempt
from scoring.errors import first_sentence
from scoring.intake import state as held

COLOURS = {"running": "cyan", "scored": "green", "failed": "red", "stopped": "yellow"}
_TO_THE_RIGHT, _LEAST_WIDTH = (3, 4), 30
_ROWS_SHOWN, _COLUMNS_SHOWN, _LOG_LINES = 5, 6, 15


def size(count: float) -> str:
    """Bytes, in decimal units as S3's prices have them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, part, one in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= one:
            return f"{whole // one} {unit} {whole % one * {'h': 24, 'min': 60, 's': 60}[part] // one} {part}"
    return f"{whole} s"


def how_far(progress: Progress | None, now: datetime) -> str:
    """`42%, 5,960 rows, 12.3 MB/s, 3 min 5 s left`, as much of it as is known."""
    if progress is None:
        return ""
    told = []
    if progress.fraction is not None:
        told.append(f"{progress.fraction:.0%}")
    if progress.done:
        told.append(f"{progress.rows:,} rows")
        told.append(f"{size(progress.bytes_per_second)}/s")
    elif progress.sent:
        is_sent = progress.total and progress.sent >= progress.total
        told.append("sent; the model works" if is_sent else f"{size(progress.sent)} sent")
    if progress.rejected:
        told.append(f"{progress.rejected:,} bad")
    left = progress.seconds_left(now)
    if left is not None:
        told.append(f"{duration(left)} left")
    return ", ".join(told)


def files_lines(
    rows: Sequence[tuple[Run, str]], name_of: Mapping[str, str], now: datetime, width: int
) -> Iterator[Text]:
    """A line a run, below the names of the columns; with each comes what it is doing, where it is running. What does not fit
    in so many columns of a terminal goes on below.

    By hand: a thousand rows of a table of rich's take as long as to ask for them.
    """
    cells: list[tuple[str, ...]] = [("file", "state", "dropped", "took", "rows", "cluster", "what")]
    for run, doing in rows:
        told = doing if run.state == "running" else short_error(run) if run.is_failed else ""
        if run.superseded:
            told = "; ".join(filter(None, (run.superseded_note, told)))
        elif run.rejected:
            told = f"{run.rejected:,} bad records"
        known = "" if run.rows is None else f"{run.rows:,}"
        name = name_of.get(run.arn, run.key)
        took = duration(run.seconds(now))
        cells.append((name, run.state, ago(run.started, now), took, known, run.cluster, _short(told)))
    cells = [tuple(map(_printable, each)) for each in cells]
    widths = [max(map(cell_len, column)) for column in list(zip(*cells, strict=True))[:-1]]
    left = sum(widths) + 2 * len(widths)
    for number, (*fixed, what) in enumerate(cells):
        padded = [
            " " * (wide - cell_len(cell)) + cell if place in _TO_THE_RIGHT else cell + " " * (wide - cell_len(cell))
            for place, (cell, wide) in enumerate(zip(fixed, widths, strict=True))
        ]
        first, *more = textwrap.wrap(what, max(width - left, _LEAST_WIDTH)) or [""]
        line = Text("  ".join([*padded, first]).rstrip() + "".join(f"\n{' ' * left}{each}" for each in more))
        if number:
            begin = len(padded[0]) + 2
            line.stylize(COLOURS[rows[number - 1][0].state], begin, begin + len(fixed[1]))
        else:
            line.stylize("bold")
        yield line


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def ago(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < 5 else f"{duration(round(seconds)).replace('.0 s', ' s')} ago"


def short_error(run: Run) -> str:
    """What a run has failed with, in its first sentence."""
    sentence = first_sentence(run.cause)
    return f"{run.error}: {sentence}" if sentence else run.error


def _short(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def steps_table(course: Course, now: datetime) -> Table:
    """The steps of all attempts of a run, and of their shards."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("step", no_wrap=True)
    table.add_column("began", justify="right")
    table.add_column("took", justify="right")
    table.add_column("", overflow="fold")
    began = course.run.started
    number = 0
    wholes = [each for each in course.attempts if each.number is None]
    for attempt in course.attempts:
        if attempt.number is None:
            number += 1
            if len(wholes) > 1:
                table.add_row(Text(f"attempt {number}", style="bold"))
        for step in attempt.steps:
            name = f"  {step.name}" if attempt.number is None else f"    shard {attempt.number}: {step.name}"
            failures = ", ".join(error if count == 1 else f"{error} ×{count}" for error, count in step.failures)
            table.add_row(
                escape(name),
                f"{(step.entered - began).total_seconds():.1f} s",
                duration(step.seconds(now)) if step.left or not attempt.is_over else "",
                Text(failures, style="yellow"),
            )
    return table


def about(course: Course, uri: str) -> Text:
    """What is known of a run, a line each, to be printed with `soft_wrap`: ARNs are there to be copied."""
    run, attempt = course.run, course.whole
    request = attempt.state.get("request", {}) if attempt else {}
    pod = attempt.state.get("pod", {}) if attempt else {}
    told: dict[str, object] = {
        "file": uri,
        "state": Text(run.state, style=COLOURS[run.state]),
        "dropped": run.started.astimezone().isoformat(sep=" ", timespec="seconds"),
        "ended": run.stopped.astimezone().isoformat(sep=" ", timespec="seconds") if run.stopped else "",
        "redriven": run.redriven or "",
        "size": size(run.size),
        "rows": "" if run.rows is None else f"{run.rows:,}",
        "padded": run.padded or "",
        "rejected": run.rejected or "",
        "model": request.get("image", ""),
        "profile": request.get("profile", ""),
        "protocol": _protocol(attempt),
        "pods": request.get("pods", "") if request.get("pods", 1) != 1 else "",
        "cluster": request.get("cluster", ""),
        "pod": f"{pod['namespace']}/{pod['name']}" if pod else "",
        "execution": run.arn,
    }
    lines = [
        Text.assemble((f"{name:<11}", "dim"), value if isinstance(value, Text) else str(value))
        for name, value in told.items()
        if value != ""
    ]
    return Text("\n").join(lines)


def _protocol(attempt: Attempt | None) -> str:
    if not attempt:
        return ""
    return str(held.endpoint(attempt.state).get("protocol") or attempt.state.get("request", {}).get("protocol", ""))


def _pairs(told: Mapping[str, object]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in told.items():
        if value != "":
            table.add_row(name, value if isinstance(value, Text) else escape(str(value)))
    return table


def error(document: Mapping[str, Any], *, with_evidence: bool = False) -> RenderableType:
    """A `.error`: what happened and what to do, and with it what the pod has left."""
    parts: list[RenderableType] = [
        Text(f"{document.get('error', '')}: {document['summary']}", style="red"),
        Text(document["remedy"]),
    ]
    pod = document.get("pod") or {}
    if with_evidence:
        if details := document.get("details"):
            parts += [Text("\ndetails", style="bold"), _pairs(details)]
        if events := pod.get("events"):
            parts += [Text("\nevents of the pod", style="bold"), *map(Text, events)]
        if log := pod.get("log_tail"):
            parts += [Text("\nend of the model's log", style="bold"), *map(Text, log[-_LOG_LINES:])]
    return Group(*parts)


def outcome(console: Console, outcome: Outcome, seconds: float, *, with_rows: bool) -> None:
    """Print what came of a file."""
    name = escape(outcome.dropped.drop.name)
    if outcome.error is not None:
        console.print(f"[red]✗[/] {name}: {escape(outcome.error['summary'])}", soft_wrap=True)
        for line in (outcome.error["remedy"], str(outcome.fetched[0])):
            console.print(f"  {escape(line)}", soft_wrap=True)
        return
    if with_rows:
        first_rows(console, outcome.fetched[0])
        for tag, value in outcome.tags.items():
            console.print(f"  [dim]{escape(tag):<16}[/] {escape(value)}", soft_wrap=True)
    files = ", ".join(map(str, outcome.fetched))
    rows = f"{int(outcome.tags['rows']):,} rows " if outcome.tags.get("rows", "").isdecimal() else ""
    console.print(f"[green]✓[/] {name}: {rows}scored in {duration(seconds)}: {escape(files)}", soft_wrap=True)


def first_rows(console: Console, path: Path) -> None:
    """Print the first rows of a scored file."""
    with path.open(newline="") as file:
        first = file.read(1)
        file.seek(0)
        if first == "{":
            console.print(escape("".join(islice(file, _ROWS_SHOWN))), soft_wrap=True)
            return
        delimiter = max(",;\t|", key=file.readline().count)
        file.seek(0)
        console.print(rows_table(list(islice(csv.reader(file, delimiter=delimiter), _ROWS_SHOWN + 1))))


def rows_table(rows: Sequence[Sequence[str]]) -> Table:
    """Rows with their header; of many columns the first and the last, where the predictions are."""
    header, *others = rows
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    half = _COLUMNS_SHOWN // 2

    def shortened(row: Sequence[str]) -> list[str]:
        return list(row) if len(row) <= _COLUMNS_SHOWN else [*row[:half], "…", *row[-half:]]

    for name in shortened(header):
        table.add_column(escape(name), overflow="fold")
    for row in others:
        table.add_row(*map(escape, shortened(row[: len(header)])))
    return table
