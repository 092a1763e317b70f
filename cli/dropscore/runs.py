"""Files that were dropped, as their executions of `score_file` tell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from dropscore.cache import Cache
from dropscore.stack import CONNECTIONS, Stack, Unusable
from scoring.errors import UNNAMED_ENDS
from scoring.intake.identity import slug

# Step Functions Developer Guide, "Redriving state machine executions": within 14 days of the end.
REDRIVABLE = timedelta(days=14)
_FAILED = ("FAILED", "TIMED_OUT", "ABORTED")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_PAGE = 1000
# Of the newest executions, among these a file is looked for by its name.
_SEARCHED = 20_000


@dataclass(frozen=True)
class Run:
    """The execution of a dropped file; a redrive is the same one, `redriven` once more.

    Until `is_described`, `key` is what the execution's name tells of it; `rows`, `cluster` and the like are known at the end.
    One that the index of ended files tells of is not described, and has what a line of `ls` shows (`dropscore.ended`).
    `superseded` is one whose outcome gave way to that of a newer version of the file: what lies there is of that one.
    """

    arn: str
    status: str
    started: datetime
    stopped: datetime | None = None
    redriven: int = 0
    is_described: bool = False
    bucket: str = ""
    key: str = ""
    version_id: str = ""
    etag: str = ""
    size: int = 0
    sequencer: str = ""
    attempt: str = ""
    cluster: str = ""
    rows: int | None = None
    padded: int = 0
    rejected: int = 0
    superseded: bool = False
    error: str = ""
    cause: str = ""

    @property
    def name(self) -> str:
        return self.arn.rsplit(":", 1)[-1]

    @property
    def state(self) -> str:
        """`running`, `scored`, `failed` or `stopped`."""
        return {"RUNNING": "running", "SUCCEEDED": "scored", "ABORTED": "stopped"}.get(self.status, "failed")

    @property
    def is_failed(self) -> bool:
        return self.status in _FAILED

    @property
    def superseded_note(self) -> str:
        """What is told of one whose outcome was not written, or is not there any more."""
        return "superseded: the outcome there is of a newer version of the file" if self.superseded else ""

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken so far."""
        return ((self.stopped or now) - self.started).total_seconds()

    def is_redrivable(self, now: datetime) -> bool:
        return self.is_failed and self.stopped is not None and now - self.stopped < REDRIVABLE

    def to_json(self) -> dict[str, Any]:
        told = asdict(self) | {"name": self.name, "state": self.state}
        told["started"] = self.started.isoformat()
        told["stopped"] = self.stopped.isoformat() if self.stopped else None
        return told


def span(text: str) -> timedelta:
    """Read `30m`, `2h` or `1d`.

    Raises
    ------
    ValueError
    """
    match = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if not match:
        raise ValueError(f"{text!r} is no time span; write 30m, 2h or 1d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def listed(stack: Stack, since: datetime | None = None, *, failed: bool = False, limit: int | None = None) -> list[Run]:
    """The newest files first: those that were dropped `since` then, all or those that have `failed`.

    Not described yet: one request tells of 1,000.
    """
    statuses: Sequence[str | None] = _FAILED if failed else (None,)
    runs = [run for status in statuses for run in islice((run for run in _listed(stack, status, since)), limit)]
    return sorted(runs, key=lambda run: run.started, reverse=True)[:limit]


def _listed(stack: Stack, status: str | None, since: datetime | None) -> Iterator[Run]:
    only = {"statusFilter": status} if status else {}
    pages = stack.stepfunctions.get_paginator("list_executions").paginate(
        stateMachineArn=stack.score_file, PaginationConfig={"PageSize": _PAGE}, **only
    )
    for page in pages:
        for entry in page["executions"]:
            run = Run(
                entry["executionArn"],
                entry["status"],
                entry["startDate"],
                entry.get("stopDate"),
                entry.get("redriveCount", 0),
                key=entry["name"].rsplit("-", 1)[0],
            )
            # A redrive starts nothing anew, so its file was dropped long ago.
            if since and max(run.started, entry.get("redriveDate", run.started)) < since:
                return
            yield run


def described(
    stack: Stack,
    runs: Sequence[Run],
    cache: Cache | None = None,
    index: Callable[[Stack, Sequence[Run]], Mapping[str, Run]] | None = None,
) -> list[Run]:
    """The same runs with all that is known of them, as many asked for side by side as the stack answers.

    With an `index` (`ended.by_arn`), those that it gives are as it gives them.
    """
    cache = cache or Cache()
    kept = cache.find(_cached(run) for run in runs if run.stopped)
    unknown = [run for run in runs if _cached(run) not in kept]
    indexed = index(stack, unknown) if index else {}
    missing = [run for run in unknown if run.arn not in indexed]

    def describe(run: Run) -> tuple[str, Any]:
        answer = stack.stepfunctions.describe_execution(executionArn=run.arn)
        return _cached(run), {name: answer[name] for name in ("input", "output", "error", "cause") if answer.get(name)}

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        fresh = dict(pool.map(describe, missing))
    cache.keep({_cached(run): fresh[_cached(run)] for run in missing if run.stopped})
    kept |= fresh
    return [indexed.get(run.arn) or of_description(run, kept[_cached(run)]) for run in runs]


def _cached(run: Run) -> str:
    return f"{run.arn} {run.status} {run.stopped.isoformat() if run.stopped else ''}"


def describe(stack: Stack, arn: str) -> Run:
    """All that is known of one run now."""
    answer = stack.stepfunctions.describe_execution(executionArn=arn)
    run = Run(arn, answer["status"], answer["startDate"], answer.get("stopDate"), answer.get("redriveCount", 0))
    return of_description(run, answer)


def of_description(run: Run, described: Mapping[str, Any]) -> Run:
    """A run with what DescribeExecution says of it."""
    source = json.loads(described["input"])["source"]
    told: dict[str, Any] = {name: source.get(name, "") for name in ("bucket", "key", "version_id", "etag", "sequencer")}
    told |= {"size": source.get("size", 0), "is_described": True}
    if run.status == "SUCCEEDED" and described.get("output"):
        output = json.loads(described["output"])
        told |= {name: output[name] for name in ("attempt", "cluster") if name in output}
        told |= {
            name: output["output"][name]
            for name in ("rows", "padded", "rejected", "superseded")
            if name in output["output"]
        }
    elif run.is_failed:
        told["error"], told["cause"], told["attempt"] = _failure(run, described)
    return replace(run, **told)


def _failure(run: Run, described: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a run has failed with, in which attempt: its own words wrap those of the attempt."""
    error, cause = described.get("error") or "", described.get("cause") or ""
    if not error:
        return UNNAMED_ENDS.get(run.status, "Failed"), cause, ""
    try:
        child = json.loads(cause)
    except ValueError:
        return error, cause, ""
    if not isinstance(child, dict):
        return error, cause, ""
    name = child.get("Error") or UNNAMED_ENDS.get(child.get("Status", ""), error)
    return str(name), str(child.get("Cause") or ""), str(child.get("ExecutionArn") or "")


def find_execution(stack: Stack, name: str) -> Run:
    """The run of this name.

    Raises
    ------
    Unusable
        There is none.
    """
    return _only(stack, stack.score_file.replace(":stateMachine:", ":execution:") + f":{name}")


def find(stack: Stack, file: str) -> Run:
    """The newest run of a file, by its name below the input folder, its key, its URI, its execution, or a path that ends
    with its name.

    Raises
    ------
    Unusable
        There is none, or there are files of that name in several folders.
    """
    if file.startswith("arn:"):
        return _only(stack, file)
    given = file.removeprefix(f"s3://{stack.input_bucket}/")
    base = given.rsplit("/", 1)[-1]
    wanted, found = slug(base), list[Run]()
    some: list[Run] = []
    for run in islice(_listed(stack, None, None), _SEARCHED):
        if run.name == given:
            return describe(stack, run.arn)
        if run.key == wanted:
            some.append(run)
    # Several files share a slug; the newest first, as many as it takes.
    for begin in range(0, len(some), CONNECTIONS):
        for run in described(stack, some[begin : begin + CONNECTIONS]):
            if given in (run.key, stack.name_of(run.key)):
                return run
            if run.key.rsplit("/", 1)[-1] == base:
                found.append(run)
    # No file of just that name: one in another folder may be meant, if it is the only one.
    keys = sorted({stack.name_of(run.key) for run in found})
    if len(keys) == 1:
        return found[0]
    if keys:
        raise Unusable(f"Several files are called {base}: {', '.join(keys[:5])}.", "Name one of them.")
    raise Unusable(
        f"No file {given} was dropped in s3://{stack.input_bucket}/{stack.input_prefix} (or it was started long ago).",
        "`dropscore ls` lists what there is.",
    )


def _only(stack: Stack, arn: str) -> Run:
    try:
        return describe(stack, arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn"):
            raise Unusable(f"There is no execution {arn}.", "`dropscore ls` lists what there is.") from error
        raise


def to_redrive(runs: Iterable[Run], earliest: datetime) -> tuple[list[Run], list[Run]]:
    """Which runs to redrive, oldest first: those that failed since then. And which to leave, since their file was dropped again
    later: to redrive those would put the outcome of an older file over that of a newer one.
    """
    newest: dict[tuple[str, str], datetime] = {}
    runs = list(runs)
    for run in runs:
        newest[run.bucket, run.key] = max(run.started, newest.get((run.bucket, run.key), run.started))
    failed = [
        run
        for run in sorted(runs, key=lambda run: run.started)
        if run.status in ("FAILED", "TIMED_OUT") and run.stopped and run.stopped >= earliest
    ]
    superseded = [run for run in failed if run.started < newest[run.bucket, run.key]]
    return [run for run in failed if run not in superseded], superseded


def that_may_matter(stack: Stack, earliest: datetime) -> list[Run]:
    """The runs that `to_redrive` has to know: those that failed since then, and all others of files of the same names."""
    runs = list(_listed(stack, None, None))
    ended = {
        run.key for run in runs if run.status in ("FAILED", "TIMED_OUT") and run.stopped and run.stopped >= earliest
    }
    return described(stack, [run for run in runs if run.key in ended])


def now() -> datetime:
    return datetime.now(UTC)
