"""How large the batches are and how many are under way at once: found out, never configured (pure; times are passed in)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scoring.streaming.concurrency import Concurrency

FIRST_BYTES = 16 << 10
# What has been read ahead, all batches under way, that one included which is made ready, and the parts of the outcome, as far
# as they are in memory: a batch about four times on its way, what the heap cannot use included. Batches have at least an
# eighth of it.
_MEMORY_BYTES, _TIMES, _LEAST = 38 << 20, 4, 8
# Parts come and go: the most that was held beside the last batches, of so many bytes together, counts. Before the first so
# many, nobody knows whether the model is slower than S3: nearly as much as can be.
_REMEMBERED_BYTES, _UNKNOWN_BYTES, _FIRST_BESIDE_BYTES = 256 << 20, 32 << 20, 26 << 20
# Where records were looked at one by one, they stay in memory as objects.
_HELD = 3
# When one batch takes hardly longer than one of half its size, what it takes is the model's for each request.
_SAME = 1.5
# What twice the records may add to that.
_MOST_EXTRA_SECONDS = 5.0
# So many batches go well before more is tried than was too much once, for a reason that may have passed.
_GOOD_BATCHES = 8
# A scored batch may be longer than the batch by so much; batches of wider answers are smaller, since memory is bounded.
_EXPANSION = 1.25


@dataclass
class Pace:
    """`size` of a batch in bytes, batches `in_flight`, and the `seconds` that the last answer took.

    A batch grows twofold while the model answers within `patience` seconds, or takes about as long for half of it; it
    shrinks when that takes twice the patience, and stays below what was refused. All batches together are bounded.
    """

    most_bytes: int
    most_in_flight: int
    patience: float
    size: int = FIRST_BYTES
    seconds: float = 0.0
    _expansion: float = 1.0
    _other: tuple[int, float] | None = None
    _fixed: bool = False
    _extra: float = 0.0
    _limit: int = 0
    _good: int = 0
    _needed: int = _GOOD_BATCHES
    _raised: bool = False
    _too_much: float = math.inf
    _given: int = 0
    # The most of it, what was the most behind that, and so on: where it was, and how much.
    _beside: deque[tuple[int, int]] = field(
        default_factory=lambda: deque([(_UNKNOWN_BYTES - _REMEMBERED_BYTES, _FIRST_BESIDE_BYTES)])
    )
    _concurrency: Concurrency = field(init=False)

    def __post_init__(self) -> None:
        self._limit = self.most_bytes
        self._concurrency = Concurrency(self.most_in_flight)

    @property
    def in_flight(self) -> int:
        """How many batches the model may have at once."""
        return self._concurrency.in_flight

    def resume(self, earlier: Mapping[str, Any]) -> None:
        """Begin where an earlier step had come to."""
        self.size = min(max(earlier.get("size", self.size), 1), self.most_bytes)
        self._concurrency.resume(earlier.get("in_flight", self.in_flight))
        self._fixed = bool(earlier.get("fixed"))
        if other := earlier.get("other"):
            self._other = (int(other[0]), float(other[1]))

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "in_flight": self.in_flight, "fixed": self._fixed, "other": self._other}

    def block_bytes(self, beside_bytes: int, *, is_held: bool = False) -> int:
        """How many bytes of the input the next batch should have: `size`, or less where answers are wide, many batches are
        under way, or much memory is taken beside them, `beside_bytes`: by parts of the outcome, and what is read ahead.
        """
        while self._beside and self._beside[-1][1] <= beside_bytes:
            self._beside.pop()
        self._beside.append((self._given, beside_bytes))
        while self._beside[0][0] < self._given - _REMEMBERED_BYTES:
            self._beside.popleft()
        _, most = self._beside[0]
        all_batches = max(_MEMORY_BYTES - most, _MEMORY_BYTES // _LEAST) // _TIMES
        share = min(self._limit, all_batches // (self.in_flight + 1) // (_HELD if is_held else 1))
        given = min(self.size, share, max(int(share * _EXPANSION / self._expansion), 1))
        self._given += given
        return given

    def answered(self, size: int, scored: int, seconds: float, now: float) -> None:
        """Take note of a batch of `size` bytes that became `scored` bytes after `seconds`, at the time `now`."""
        self.seconds = seconds
        self._expansion = max(scored / max(size, 1), 1.0)
        first = self._other is None
        self._compare(size, seconds)
        before, quick = self.size, seconds < (2 * self.patience if first else self.patience)
        # Only a batch of the present size tells whether a larger one is a good idea: the last one of a file is small.
        if size >= self.size // 2 and (quick or (self._fixed and self._extra < _MOST_EXTRA_SECONDS)):
            self.size = min(self.size * 2, self.most_bytes)
        elif seconds > 2 * self.patience and not self._fixed:
            self.size = max(self.size // 2, 1)
        self._forgive()
        if self.size != before:
            self._concurrency.restart()
        self._concurrency.answered(size, now)

    def _compare(self, size: int, seconds: float) -> None:
        """Find out whether a batch of another size took about as long."""
        this, other = (size, seconds), self._other
        if other and other[0] / _SAME < size < other[0] * _SAME:
            return
        self._other = this
        if other:
            (_, less), (_, more) = sorted((this, other))
            self._fixed, self._extra = more < _SAME * less, more - less

    def _forgive(self) -> None:
        self._good += 1
        if self.most_bytes < self._limit and self._good >= self._needed:
            self.most_bytes = min(2 * self.most_bytes, self._limit)
            self._good, self._raised = 0, True
            if self.most_bytes >= self._too_much:
                self._too_much = math.inf

    def refused(self, size: int, *, for_good: bool = False) -> None:
        """Take note of a batch of `size` bytes that was too much for the model or for what lies in between.

        Batches of one size that are refused together count once. Unless it was told to be `for_good`, larger ones are
        tried again, but more and more rarely. The next step tries larger ones again in any case.
        """
        self.most_bytes = max(min(self.most_bytes, size // 2), 1)
        self.size = min(self.size, self.most_bytes)
        self._too_much = min(self._too_much, size)
        if for_good:
            self._limit = self.most_bytes
        self._good = 0
        if self._raised:
            self._needed, self._raised = 2 * self._needed, False

    def is_too_much(self, size: int) -> bool:
        """Whether a batch of `size` bytes, made ready before, need not be sent: one like it was refused."""
        return size >= self._too_much

    def throttled(self) -> None:
        """Take note of a batch that came while the model had enough others."""
        self._concurrency.throttled()
