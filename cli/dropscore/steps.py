"""The steps of an attempt, as the history of its execution tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from scoring.errors import abridged
from scoring.intake import state as held

SCORING = "scoring"
"""What a file is `doing` whose records are on their way through the model."""
# States that only wait belong to the step that they wait for.
_PART_OF = {
    "wait_for_room": "queue_file",
    "wait_for_pod": "await_pod",
    "wait_for_model": "stream_file",
    "count_lost_pod": "tear_down_lost_pod",
    "forget_call": "tear_down_lost_pod",
}
# What people are told of a file whose attempt is in this step.
_DOING = {
    "resolve_request": "reading its tags",
    "launch_pod": "starting its pod",
    "queue_file": "waiting for room",
    "await_pod": "starting its pod",
    "stream_file": SCORING,
    "plan_shards": "cutting it into shards",
    "score_shards": SCORING,
    "persist_output": "publishing",
    "persist_error": "writing the error",
    "tear_down_lost_pod": "starting again after a lost pod",
}
_TEAR_DOWN = "tear_down"


@dataclass(frozen=True)
class Step:
    """A step of an attempt, with `failures` of tries that were repeated: (error, how often)."""

    name: str
    entered: datetime
    left: datetime | None = None
    failures: tuple[tuple[str, int], ...] = ()

    def seconds(self, now: datetime) -> float:
        return ((self.left or now) - self.entered).total_seconds()


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
        doing = _DOING.get(made[-1].name, made[-1].name)
        # Once it was looked at, there is what it waits for: of a model that answers otherwise than it should, what it says.
        endpoint = held.endpoint(self.state)
        if made[-1].name == "await_pod" and endpoint.get("status") == "PENDING":
            return f"{doing}: waiting for {abridged(endpoint['waiting_for'], _MOST_CHARACTERS)}"
        return doing


_MOST_CHARACTERS = 160
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


def state_in(event: Mapping[str, Any]) -> dict[str, Any]:
    """The state that an event of an attempt shows; empty if it shows none."""
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
