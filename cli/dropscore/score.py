"""Drop files, follow them, fetch what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dropscore import dropping, outcomes, runs, telling
from dropscore.dropping import Drop, Dropped
from dropscore.output import BROKEN, ERROR_FILE, SCORED, console, worst
from dropscore.stack import Stack, Unusable, in_words
from dropscore.watching import Bars, Lines, Steps

_UPLOADS = 4


def score(
    stack: Stack, drops: Sequence[Drop], out: Path, *, no_wait: bool = False, steps: bool = False, **following: Any
) -> int:
    """Drop files, follow them, fetch what comes of them; give the exit code.

    A file that cannot be dropped or fetched is told, and keeps none of the others from being.

    Raises
    ------
    Unusable, BotoCoreError, ClientError
        They cannot be followed.
    """
    came = _upload(stack, drops)
    dropped = [each for each in came if isinstance(each, Dropped)]
    codes = [_told(each) for each in came if isinstance(each, Unusable)]
    if not dropped:
        return worst(codes)
    names = " ".join(each.drop.name for each in dropped)
    if no_wait:
        console.print(f"Dropped. Look with `dropscore show {escape(names)}` or `dropscore ls`.", soft_wrap=True)
        return worst(codes)
    watcher = Steps(console) if steps else Bars(console) if console.is_terminal else Lines(console)
    with watcher:
        dropping.follow(stack, dropped, watcher, **following)
    return worst(codes + [_fetch(stack, each, out, with_rows=len(drops) == 1) for each in dropped])


def _upload(stack: Stack, drops: Sequence[Drop]) -> list[Dropped | Unusable]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
        ThreadPoolExecutor(_UPLOADS) as pool,
    ):

        def upload(each: Drop) -> Dropped | Unusable:
            bar = bars.add_task(escape(each.name), total=each.path.stat().st_size)
            try:
                return dropping.drop(stack, each, lambda count: bars.advance(bar, count))
            except Unusable as refused:
                return refused

        return list(pool.map(upload, drops))


def _fetch(stack: Stack, file: Dropped, out: Path, *, with_rows: bool) -> int:
    try:
        outcome = outcomes.fetch(stack, file, out)
    except Unusable as failure:
        return _told(failure)
    except (BotoCoreError, ClientError) as error:
        return _told(in_words(error, f"What came of {file.drop.name} cannot be fetched"))
    except OSError as error:
        return _told(
            Unusable(f"What came of {file.drop.name} cannot be written: {error}", "Name another folder with --out.")
        )
    assert file.run is not None
    telling.outcome(console, outcome, file.run.seconds(runs.now()), with_rows=with_rows)
    return ERROR_FILE if outcome.error is not None else SCORED


def _told(failure: Unusable) -> int:
    console.print(f"[red]✗[/] {escape(failure.summary)}", soft_wrap=True)
    if failure.remedy:
        console.print(f"  {escape(failure.remedy)}", soft_wrap=True)
    return BROKEN
