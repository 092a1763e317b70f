"""Drop files, follow them, fetch what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dropscore import dropping, runs, telling
from dropscore.dropping import Drop, Dropped, Outcome
from dropscore.output import ERROR_FILE, SCORED, console
from dropscore.stack import Stack
from dropscore.watching import Bars, Lines, Steps

_UPLOADS = 4


def score(
    stack: Stack, drops: Sequence[Drop], out: Path, *, no_wait: bool = False, steps: bool = False, **following: Any
) -> int:
    """Drop files, follow them, fetch what comes of them; give the exit code.

    Raises
    ------
    Unusable, BotoCoreError, ClientError
    """
    dropped = _upload(stack, drops)
    names = " ".join(each.drop.name for each in dropped)
    if no_wait:
        console.print(f"Dropped. Look with `dropscore show {escape(names)}` or `dropscore ls`.", soft_wrap=True)
        return SCORED
    watcher = Steps(console) if steps else Bars(console) if console.is_terminal else Lines(console)
    with watcher:
        dropping.follow(stack, dropped, watcher, **following)
    return max(_fetch(stack, each, out, with_rows=len(dropped) == 1) for each in dropped)


def _upload(stack: Stack, drops: Sequence[Drop]) -> list[Dropped]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
        ThreadPoolExecutor(_UPLOADS) as pool,
    ):

        def upload(each: Drop) -> Dropped:
            bar = bars.add_task(escape(each.name), total=each.path.stat().st_size)
            return dropping.drop(stack, each, lambda count: bars.advance(bar, count))

        return list(pool.map(upload, drops))


def _fetch(stack: Stack, file: Dropped, out: Path, *, with_rows: bool) -> int:
    outcome: Outcome = dropping.fetch(stack, file, out)
    assert file.run is not None
    telling.outcome(console, outcome, file.run.seconds(runs.now()), with_rows=with_rows)
    return ERROR_FILE if outcome.error is not None else SCORED
