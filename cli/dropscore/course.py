"""How far a file is: the steps of its attempts and shards, and the record of progress that each keeps in S3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from dropscore.runs import Run, describe
from dropscore.stack import Stack

# States that only wait belong to the step that they wait for.
_PART_OF = {
    "wait_for_room": "queue_file",
    "wait_for_pod": "await_pod",
    "wait_for_model": "stream_file",
    "count_lost_pod": "tear_down_lost_pod",
}
# What people are told of a file whose attempt is in this step.
_SCORING = "scoring"
_DOING = {
    "resolve_request": "reading its tags",
    "launch_pod": "getting a pod",
    "queue_file": "waiting for room",
    "await_pod": "starting its pod",
    "stream_file": _SCORING,
    "plan_shards": "cutting it into shards",
    "score_shards": _SCORING,
    "persist_output": "publishing",
    "persist_error": "writing the error",
    "tear_down_lost_pod": "starting again after a lost pod",
}
_TEAR_DOWN = "tear_down"
# A line of JSON is far below this; what follows it may be megabytes.
_RECORD_BYTES = 256 << 10


@dataclass(frozen=True)
class Step:
    """A step of an attempt, with `failures` of tries that were repeated: (error, how often)."""

    name: str
    entered: datetime
    left: datetime | None = None
    failures: tuple[tuple[str, int], ...] = ()

    def seconds(self, now: datetime) -> float:
        return ((self.left or now) - self.entered).total_seconds()


@dataclass(frozen=True)
class Progress:
    """The record of progress: `done` of `total` bytes of the input (0: not known, of a compressed file), `rows` scored,
    at the time that it was `saved`. `sent` bytes have gone to a container that takes the file whole.

    Of a file with shards, `shards` are those that are being scored, and `waiting` ones have not begun.
    """

    done: int
    total: int
    rows: int
    started: datetime | None
    saved: datetime
    sent: int = 0
    rejected: int = 0
    batch_bytes: int = 0
    in_flight: int = 0
    shards: tuple[Progress, ...] = ()
    waiting: int = 0

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None where it cannot be told."""
        most = max(self.done, self.sent)
        return min(most / self.total, 1.0) if self.total and most else None

    @property
    def seconds(self) -> float:
        """For how long it had been scored when the record was saved."""
        return (self.saved - self.started).total_seconds() if self.started else 0.0

    @property
    def bytes_per_second(self) -> float:
        if self.shards:
            return sum(each.bytes_per_second for each in self.shards)
        return self.done / self.seconds if self.seconds > 0 else 0.0

    def seconds_left(self, now: datetime) -> float | None:
        """As it goes on as until now; None where nothing can be said."""
        if self.shards:
            left = [each.seconds_left(now) for each in self.shards]
            known = [each for each in left if each is not None]
            # Side by side: the last one ends it.
            return max(known) if len(known) == len(left) and not self.waiting else None
        if not self.total or not self.done or not self.bytes_per_second:
            return None
        return max((self.total - self.done) / self.bytes_per_second - (now - self.saved).total_seconds(), 0.0)


@dataclass
class Attempt:
    """An execution of `attempt`, on a whole file or on its shard of this `number`, as its events tell so far."""

    arn: str
    number: int | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    """The newest state that its history shows."""

    @property
    def steps(self) -> list[Step]:
        return steps(self.events)

    @property
    def is_over(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in _LAST

    @property
    def doing(self) -> str:
        """In a word or three."""
        made = self.steps
        if not made:
            return "starting"
        if made[-1].name.startswith(_TEAR_DOWN) and made[-1].name != "tear_down_lost_pod":
            return "tearing down"
        if made[-1].name == "launch_pod" and any(error == "QuotaExceeded" for error, _ in made[-1].failures):
            return _DOING["queue_file"]
        return _DOING.get(made[-1].name, made[-1].name)


_LAST = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")


def steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The steps that the history of an attempt tells of; loops of one are one."""
    made: list[Step] = []
    for event in events:
        if entered := event.get("stateEnteredEventDetails"):
            name = _PART_OF.get(entered["name"], entered["name"])
            if event["type"] not in ("TaskStateEntered", "WaitStateEntered", "MapStateEntered", "PassStateEntered"):
                continue
            if entered["name"] == "score_shard":
                continue
            if made and made[-1].name == name:
                made[-1] = replace(made[-1], left=None)
            else:
                made.append(Step(name, event["timestamp"]))
        elif exited := event.get("stateExitedEventDetails"):
            if made and made[-1].name == _PART_OF.get(exited["name"], exited["name"]):
                made[-1] = replace(made[-1], left=event["timestamp"])
        elif made and (error := _error_of(event)):
            failures = dict(made[-1].failures)
            failures[error] = failures.get(error, 0) + 1
            made[-1] = replace(made[-1], failures=tuple(failures.items()))
        elif event["type"] in _LAST and made and not made[-1].left:
            made[-1] = replace(made[-1], left=event["timestamp"])
    return made


def _error_of(event: Mapping[str, Any]) -> str:
    for details in (
        "taskFailedEventDetails",
        "lambdaFunctionFailedEventDetails",
        "lambdaFunctionTimedOutEventDetails",
        "taskTimedOutEventDetails",
    ):
        if details in event:
            return str(event[details].get("error") or "States.Timeout")
    return ""


class Course:
    """The course of one run; `look` again for what is new since."""

    def __init__(self, stack: Stack, run: Run) -> None:
        self.run = run
        self.parent: list[dict[str, Any]] = []
        self.attempts: list[Attempt] = []
        self._stack = stack
        self._known: set[str] = set()

    def look(self) -> list[tuple[dict[str, Any], Attempt | None]]:
        """Read on; gives the new events by their time, each with the attempt that it is of (None: score_file's own)."""
        # Before its events: what has ended has all of them.
        self.run = describe(self._stack, self.run.arn)
        new: list[tuple[dict[str, Any], Attempt | None]] = []
        new += [(event, None) for event in self._more(self.run.arn, self.parent)]
        for event in self.parent:
            self._take(event, None)
        for attempt in self.attempts:
            if attempt.is_over:
                continue
            more = self._more(attempt.arn, attempt.events)
            new += [(event, attempt) for event in more]
            for event in more:
                attempt.state = _state(event) or attempt.state
                if attempt.number is None:
                    # While this goes on: the shards come after it.
                    self._take(event, attempt)
        return sorted(new, key=lambda each: each[0]["timestamp"])

    @property
    def whole(self) -> Attempt | None:
        """The newest attempt on the whole file."""
        return next((each for each in reversed(self.attempts) if each.number is None), None)

    @property
    def shards(self) -> list[Attempt]:
        """Those of the newest attempt, in their order."""
        newest = self.whole
        after = self.attempts[self.attempts.index(newest) :] if newest else []
        by_number = {each.number: each for each in after if each.number is not None}
        return [by_number[number] for number in sorted(by_number)]

    @property
    def doing(self) -> str:
        return self.whole.doing if self.whole else "starting"

    def progress(self) -> Progress | None:
        """How far it is; None before it is being scored and after that."""
        if not self.whole or self.whole.is_over or self.whole.doing != _SCORING:
            return None
        request = self.whole.state.get("request", {})
        if "output" not in request:
            return None
        if request.get("pods", 1) > 1:
            return self._of_shards(request)
        size = 0 if request.get("format", {}).get("compression") else self.run.size
        return read_progress(self._stack, request["output"]["progress"], size)

    def _of_shards(self, request: Mapping[str, Any]) -> Progress | None:
        planned = (self.whole.state if self.whole else {}).get("scoring", {}).get("shards") or []
        done = rows = rejected = waiting = 0
        begun: list[Progress] = []
        over = {each.number for each in self.shards if each.is_over}
        for each in planned:
            size = each["stop"] - each["start"]
            found = read_progress(self._stack, f"{request['output']['progress']}/{each['number']}", size)
            if found:
                found = replace(found, done=max(found.done - each["start"], 0))
                begun.append(found)
                done, rows, rejected = done + found.done, rows + found.rows, rejected + found.rejected
            elif each["number"] in over:
                done, rows = done + size, rows + each["records"]
            else:
                waiting += 1
        if not begun:
            return None
        started, saved = begun[0].started, max(each.saved for each in begun)
        return Progress(
            done, self.run.size, rows, started, saved, rejected=rejected, shards=tuple(begun), waiting=waiting
        )

    def _more(self, arn: str, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The events of an execution that are not known yet, which are known then."""
        last = known[-1]["id"] if known else 0
        pages = self._stack.stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=arn, reverseOrder=True, PaginationConfig={"PageSize": 100 if known else 1000}
        )
        new: list[dict[str, Any]] = []
        for page in pages:
            fresh = [event for event in page["events"] if event["id"] > last]
            new += fresh
            if len(fresh) < len(page["events"]):
                break
        new.reverse()
        known += new
        return new

    def _take(self, event: Mapping[str, Any], parent: Attempt | None) -> None:
        """Take note of an attempt that was started."""
        submitted = event.get("taskSubmittedEventDetails")
        if event["type"] != "TaskSubmitted" or not submitted or not submitted.get("output"):
            return
        arn = json.loads(submitted["output"])["ExecutionArn"]
        if arn in self._known:
            return
        self._known.add(arn)
        number = None
        if parent:
            given = json.loads(self._stack.stepfunctions.describe_execution(executionArn=arn)["input"])
            number = given.get("shard", {}).get("number")
        self.attempts.append(Attempt(arn, number))


def _state(event: Mapping[str, Any]) -> dict[str, Any]:
    for details, name in (
        ("stateExitedEventDetails", "output"),
        ("stateEnteredEventDetails", "input"),
        ("executionStartedEventDetails", "input"),
    ):
        told = event.get(details, {})
        if told.get(name) and told.get("name") != "score_shard":
            state = json.loads(told[name])
            return state if isinstance(state, dict) else {}
    return {}


def read_progress(stack: Stack, key: str, total: int) -> Progress | None:
    """The record of progress at a key, if it is there (still)."""
    try:
        answer = stack.s3.get_object(Bucket=stack.output_bucket, Key=key, Range=f"bytes=0-{_RECORD_BYTES - 1}")
    except ClientError as error:
        if stack.is_missing(error, key):
            return None
        raise
    line = answer["Body"].read().partition(b"\n")[0]
    return of_record(json.loads(line), total, answer["LastModified"])


def of_record(record: Mapping[str, Any], total: int, saved: datetime) -> Progress:
    """What a record of progress tells; see `scoring.streaming.progress`."""
    pace = record.get("pace") or {}
    return Progress(
        done=record["offset"],
        total=total,
        rows=max(record["rows"], 0),
        started=datetime.fromisoformat(record["started"]) if record.get("started") else None,
        saved=saved,
        sent=record.get("sent", 0),
        rejected=record.get("rejected", 0),
        batch_bytes=int(pace.get("size", 0)),
        in_flight=int(pace.get("in_flight", 0)),
    )


def shards_of(attempts: Sequence[Attempt]) -> int:
    return sum(each.number is not None for each in attempts)
