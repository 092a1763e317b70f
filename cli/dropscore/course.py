"""The course of a file: its attempts, their shards, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dropscore import progress
from dropscore.progress import Progress
from dropscore.runs import Run, describe
from dropscore.stack import Stack
from dropscore.steps import SCORING, Attempt, state_in


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
        for event, _ in new:
            self._take(event, None)
        for attempt in self.attempts:
            if attempt.is_over:
                continue
            more = self._more(attempt.arn, attempt.events)
            new += [(event, attempt) for event in more]
            for event in more:
                attempt.state = state_in(event) or attempt.state
                if attempt.number is None:
                    # While this goes on: the shards come after it.
                    self._take(event, attempt)
        # All of it or nothing: what is not known yet comes again, if a call has failed in between.
        for event, attempt_of in new:
            _lighten(event)
            (attempt_of.events if attempt_of else self.parent).append(event)
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
        if not self.whole or self.whole.is_over or self.whole.doing != SCORING:
            return None
        request = self.whole.state.get("request", {})
        if "output" not in request:
            return None
        if request.get("pods", 1) > 1:
            return self._of_shards(request)
        size = 0 if request.get("format", {}).get("compression") else self.run.size
        return progress.read(self._stack, request["output"]["progress"], size)

    def _of_shards(self, request: Mapping[str, Any]) -> Progress | None:
        planned = (self.whole.state if self.whole else {}).get("scoring", {}).get("shards") or []
        done = rows = rejected = waiting = 0
        begun: list[Progress] = []
        over = {each.number for each in self.shards if each.is_over}
        for each in planned:
            size = each["stop"] - each["start"]
            found = progress.read(self._stack, f"{request['output']['progress']}/{each['number']}", size)
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
        """The events of an execution that are not known yet, the oldest first."""
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
        return new[::-1]

    def _take(self, event: Mapping[str, Any], parent: Attempt | None) -> None:
        """Take note of an attempt that was started."""
        submitted = event.get("taskSubmittedEventDetails")
        if event["type"] != "TaskSubmitted" or not submitted or not submitted.get("output"):
            return
        arn = json.loads(submitted["output"])["ExecutionArn"]
        if arn in self._known:
            return
        number = None
        if parent:
            given = json.loads(self._stack.stepfunctions.describe_execution(executionArn=arn)["input"])
            number = given.get("shard", {}).get("number")
        self.attempts.append(Attempt(arn, number))
        self._known.add(arn)


def _lighten(event: dict[str, Any]) -> None:
    """Leave the states out of an event, which is kept as long as somebody looks: a file's history may have thousands of them."""
    for details in event.values():
        if isinstance(details, dict):
            details.pop("input", None)
            details.pop("output", None)
