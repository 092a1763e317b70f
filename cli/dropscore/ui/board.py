"""What the page shows: runs and their courses, asked for as rarely as Step Functions wants it, however many look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from dropscore import outcomes, runs
from dropscore.cache import Cache
from dropscore.course import Course
from dropscore.progress import Progress
from dropscore.runs import Run
from dropscore.stack import Stack
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, slug
from scoring.outcome import costs

T = TypeVar("T")

DAYS = 3
PAGE = 100
STATES = ("running", "scored", "failed", "stopped")
# A list is one request for 1,000 files, of 5 a second; a look at a running file is some four of 20 a second.
_LIST_SECONDS, _LOOK_SECONDS = 2.0, 4.0
# What is over does not change until it is redriven; its error may come a moment later.
_OVER_SECONDS, _ERROR_SECONDS = 3_600.0, 30.0
_MOST_LISTED, _MOST_LOOKED_AT, _AT_ONCE = 5_000, 25, 8


@dataclass(frozen=True)
class Row:
    """A run in the list; of a running one, what it is `doing` and how far it is."""

    run: Run
    name: str
    doing: str = ""
    progress: Progress | None = None


@dataclass(frozen=True)
class Page:
    """Some of the runs that match, the newest first; `counts` are those of all states, `rate` and `rows` a second are of all
    files shown that are being scored.
    """

    rows: list[Row]
    number: int
    pages: int
    counts: dict[str, int]
    bytes_per_second: float = 0.0
    rows_per_second: float = 0.0


@dataclass(frozen=True)
class File:
    """One run with its course."""

    course: Course
    run: Run
    name: str
    progress: Progress | None
    error: dict[str, object] | None
    """The document of its own `.error`."""
    outcome: str
    usd: float | None
    looked: datetime


@dataclass
class _Kept:
    """What was asked for, and is good until a time of the clock; who asks or looks holds the lock."""

    until: float = -1e9
    value: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Board:
    """Answers for all tabs at once: what one has asked for, another gets for some seconds."""

    def __init__(self, stack: Stack, cache: Cache | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stack = stack
        self._cache, self._clock = cache or Cache(), clock
        self._kept: dict[str, _Kept] = {}
        self._described: dict[tuple[object, ...], Run] = {}
        self._lock = threading.Lock()

    def page(self, number: int = 1, state: str = "", text: str = "") -> Page:
        """The page of this number (from 1) of the runs in a state whose name holds a text."""
        moment = runs.now()
        since = moment - timedelta(days=DAYS)
        listed = self._fresh("list", _LIST_SECONDS, lambda: runs.listed(self.stack, since, limit=_MOST_LISTED))
        wanted = slug(text) if text.strip() else ""
        named = [run for run in listed if wanted in run.key] if wanted else listed
        counts = {each: sum(run.state == each for run in named) for each in STATES}
        matching = [run for run in named if not state or run.state == state]
        pages = max(-(-len(matching) // PAGE), 1)
        number = min(max(number, 1), pages)
        shown = self._describe(matching[(number - 1) * PAGE : number * PAGE])
        running = [run for run in shown if run.state == "running"][:_MOST_LOOKED_AT]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looked = dict(zip((run.arn for run in running), pool.map(self._look, running), strict=True))
        rows = []
        for run in shown:
            course, progress = looked.get(run.arn, (None, None))
            doing = course.doing if course else ""
            rows.append(Row(run, self.stack.name_of(run.key), doing, progress))
        going = [row.progress for row in rows if row.progress]
        rates = [each.rows / seconds for each in going if (seconds := each.seconds) > 0]
        return Page(rows, number, pages, counts, sum(each.bytes_per_second for each in going), sum(rates))

    def file(self, name: str) -> File:
        """The run of this name, with its course.

        Raises
        ------
        Unusable
            There is none.
        """
        run = runs.find_execution(self.stack, name)
        course, progress = self._look(run)
        run, error, outcome = course.run, None, ""
        if run.is_failed:
            error, run = self._fresh(
                f"error {run.arn} {run.stopped}", _ERROR_SECONDS, lambda: outcomes.told(self.stack, course)
            )
        if error or run.state == "scored" or run.superseded:
            suffix = ERROR_SUFFIX if error else OUTPUT_SUFFIX
            outcome = f"s3://{self.stack.output_bucket}/{self.stack.outcome_key(run.key, suffix)}"
        moment = runs.now()
        name = self.stack.name_of(run.key)
        return File(course, run, name, progress, error, outcome, cost(course, moment), moment)

    def redrive(self, name: str) -> None:
        """Score it again.

        Raises
        ------
        Unusable, ClientError
        """
        run = runs.find_execution(self.stack, name)
        self.stack.stepfunctions.redrive_execution(executionArn=run.arn)
        listed = self._kept_of("list")
        with listed.lock:
            listed.until = -1e9

    def _describe(self, listed: list[Run]) -> list[Run]:
        """The runs with all that is known of them. Of one that goes on, nothing of that changes until it ends."""

        def which(run: Run) -> tuple[object, ...]:
            return run.arn, run.status, run.stopped, run.redriven

        missing = [run for run in listed if which(run) not in self._described]
        described = outcomes.with_superseded(self.stack, runs.described(self.stack, missing, self._cache))
        self._described |= {which(run): run for run in described}
        return [self._described[which(run)] for run in listed]

    def _look(self, run: Run) -> tuple[Course, Progress | None]:
        """The course of a run. It is looked at anew after some seconds, or, once it is over, when somebody knows the run
        otherwise: it was redriven then, or who asks has an old list.
        """
        kept = self._kept_of(f"course {run.arn}")
        with kept.lock:
            found: tuple[Course, Progress | None] | None = kept.value
            if found is None or self._clock() > kept.until or found[0].run.stopped != run.stopped:
                course = found[0] if found else Course(self.stack, run)
                course.look()
                kept.value = found = course, course.progress()
                # By what it is now, whatever it was to who asked.
                kept.until = self._clock() + (_LOOK_SECONDS if course.run.state == "running" else _OVER_SECONDS)
            return found

    def _fresh(self, key: str, seconds: float, ask: Callable[[], T]) -> T:
        """What was asked for under a key in the last seconds, or is now; by one of those who want it."""
        kept = self._kept_of(key)
        with kept.lock:
            if self._clock() > kept.until:
                kept.value, kept.until = ask(), self._clock() + seconds
            found: T = kept.value
            return found

    def _kept_of(self, key: str) -> _Kept:
        with self._lock:
            return self._kept.setdefault(key, _Kept())


def cost(course: Course, now: datetime) -> float | None:
    """US dollars that a run has cost so far, as its receipt estimates them; None before it has a pod."""
    usd = None
    for attempt in course.attempts:
        if attempt.number is not None:
            continue
        request = attempt.state.get("request", {})
        spent: dict[str, float] = {}
        # Shards are side by side: what their file's attempt spends on all of them is what each has.
        for step in attempt.steps:
            spent[step.name] = spent.get(step.name, 0.0) + step.seconds(now)
        # The pod is there until the file is published, and read back for its receipt.
        score = sum(spent.get(step, 0.0) for step in ("stream_file", "score_shards", "persist_output"))
        start = spent.get("launch_pod", 0.0) + spent.get("await_pod", 0.0)
        if not start and not score:
            continue
        parts = attempt.state.get("scoring", {}).get("parts", 0)
        told = costs.estimate(costs.table(), request.get("pods", 1), start, score, parts, request.get("resources", {}))
        usd = (usd or 0.0) + told["usd"]
    return usd
