"""A part of a large file that an attempt of its own scores, on a pod of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Shard:
    """The `number`th (from 1) of the `count` shards of a file: its bytes `start` to before `stop`, which are `records` whole
    records, the file's `row`th the first of them; the file has `total` of them.
    """

    number: int
    count: int
    start: int
    stop: int
    row: int
    records: int
    total: int

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Shard | None:
        """The shard that a request is for; None where it is for a whole file."""
        found = request.get("shard")
        return cls(**found) if found else None

    @property
    def last_row(self) -> int:
        return self.row + self.records - 1

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def request(whole: Mapping[str, Any], shard: Mapping[str, int]) -> dict[str, Any]:
    """The request of a shard's attempt, from that of the file's: its outcome goes to where only the file's attempt looks."""
    return {**whole, "pods": 1, "shard": dict(shard), "output": output(whole["output"], shard["number"])}


def output(whole: Mapping[str, str], number: int) -> dict[str, str]:
    """Where the outcome of a shard goes, until the outcome of the file is made of them."""
    place = f"{whole['progress']}/{number}"
    return {"bucket": whole["bucket"], "key": f"{place}.scoreout", "progress": place}


def own(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of an attempt; of a shard's that has not come to resolve its own request, not with the request of the file."""
    given = state.get("request", {})
    if "shard" in state and "shard" not in given:
        return {**state, "request": request(given, state["shard"])}
    return dict(state)
