"""Records that cannot be scored: how many a file may have, and how they are told of (pure)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scoring.errors import abridged
from scoring.files.joining import row

HEADER = b"row,offset,reason,record\n"
TOLD = 10
"""So many of them are in the `.error`."""
_CHARACTERS, _REASON_CHARACTERS = 300, 400
# Of 40 shards: one of each fits the state of their file (256 KiB) even if each character is escaped there (six bytes).
_STATE_BYTES = 96 << 10


@dataclass(frozen=True)
class Bad:
    """A bad record: the file's `row`th, at byte `offset` of the text, as it is written, and what is wrong with it."""

    row: int
    offset: int
    reason: str
    record: bytes

    def to_csv(self) -> bytes:
        """Its line in the `.rejected`."""
        fields = (
            str(self.row).encode(),
            str(self.offset).encode(),
            self.reason.encode("utf-8", "replace"),
            self.record,
        )
        return row(fields) + b"\n"

    def to_json(self) -> dict[str, Any]:
        """The same for the `.error`."""
        reason = abridged(self.reason, _REASON_CHARACTERS)
        return {"row": self.row, "offset": self.offset, "reason": reason, "record": self.text}

    @property
    def text(self) -> str:
        """The record's beginning, for a person."""
        return self.record[: 4 * _CHARACTERS].decode("utf-8", "replace")[:_CHARACTERS]


def of_shard(told: Sequence[Mapping[str, Any]], shards: int) -> list[Mapping[str, Any]]:
    """As many of a shard's bad records as the state of its file has room for, one at least, if each of its shards tells of
    as many.
    """
    room, count = _STATE_BYTES // shards, 0
    for each in told:
        room -= len(json.dumps(each))
        if count and room < 0:
            break
        count += 1
    return list(told[:count])


@dataclass(frozen=True)
class Limit:
    """The most bad records that a file may have, each as a number or as a share such as `0.1%`: the least of them counts."""

    limits: Sequence[str]

    @classmethod
    def of(cls, limits: Iterable[str] | None) -> Limit:
        """None at all where nothing is said."""
        return cls(tuple(limits or ("0",)))

    def allowed(self, rows: float) -> float:
        """How many of so many rows may be bad."""
        return min(_allowed(limit, rows) for limit in self.limits)

    def __bool__(self) -> bool:
        """Whether any may be."""
        return self.allowed(math.inf) > 0

    def __str__(self) -> str:
        return " and ".join(self.limits)


def _allowed(limit: str, rows: float) -> float:
    if not limit.endswith("%"):
        return int(limit)
    share = Fraction(limit[:-1]) / 100
    if rows == math.inf:
        return math.inf if share else 0
    return math.floor(share * int(rows))
