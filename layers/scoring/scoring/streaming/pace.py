"""How large the batches are and how many are under way at once: found out, never configured (pure; times are passed in)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIRST_BYTES = 16 << 10
_GAIN = 1.1
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
    shrinks when that takes twice the patience, and stays below what was refused. One more batch is sent at once as long as that makes the whole faster by a tenth; when
    it does not, one less.
    """

    most_bytes: int
    most_in_flight: int
    patience: float
    size: int = FIRST_BYTES
    in_flight: int = 1
    seconds: float = 0.0
    _expansion: float = 1.0
    _other: tuple[int, float] | None = None
    _fixed: bool = False
    _extra: float = 0.0
    _limit: int = 0
    _good: int = 0
    _needed: int = _GOOD_BATCHES
    _raised: bool = False
    _rate: float = 0.0
    _since: float | None = None
    _answered: int = 0
    _bytes: int = 0
    _settled: bool = False

    def __post_init__(self) -> None:
        self._limit = self.most_bytes

    def resume(self, earlier: Mapping[str, Any]) -> None:
        """Begin where an earlier step had come to."""
        self.size = min(max(earlier.get("size", self.size), 1), self.most_bytes)
        self.in_flight = min(max(earlier.get("in_flight", self.in_flight), 1), self.most_in_flight)

        self._fixed = bool(earlier.get("fixed"))
        if other := earlier.get("other"):
            self._other = (int(other[0]), float(other[1]))

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "in_flight": self.in_flight, "fixed": self._fixed, "other": self._other}

    @property
    def block_bytes(self) -> int:
        """How many bytes of the input a batch should have: `size`, or less where answers are wide."""
        return min(self.size, max(int(self._limit * _EXPANSION / self._expansion), 1))

    def answered(self, size: int, scored: int, seconds: float, now: float) -> None:
        """Take note of a batch of `size` bytes that became `scored` bytes after `seconds`, at the time `now`."""
        self.seconds = seconds
        self._expansion = max(scored / max(size, 1), 1.0)
        first = self._other is None
        self._compare(size, seconds)
        quick = seconds < (2 * self.patience if first else self.patience)
        # Only a batch of the present size tells whether a larger one is a good idea: the last one of a file is small.
        if size >= self.size // 2 and (quick or (self._fixed and self._extra < _MOST_EXTRA_SECONDS)):
            self.size = min(self.size * 2, self.most_bytes)
        elif seconds > 2 * self.patience and not self._fixed:
            self.size = max(self.size // 2, 1)
        self._forgive()
        self._judge(size, now)

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
            self._good, self._raised, self._settled = 0, True, False

    def refused(self, size: int, *, for_good: bool = False) -> None:
        """Take note of a batch of `size` bytes that was too much for the model or for what lies in between.

        Batches of one size that are refused together count once. Unless it was told to be `for_good`, larger ones are
        tried again, but more and more rarely. The next step tries larger ones again in any case.
        """
        self.most_bytes = max(min(self.most_bytes, size // 2), 1)
        self.size = min(self.size, self.most_bytes)
        if for_good:
            self._limit = self.most_bytes
        self._good = 0
        if self._raised:
            self._needed, self._raised = 2 * self._needed, False

    def throttled(self) -> None:
        """Take note of a batch that came while the model had enough others."""
        self.in_flight = max(self.in_flight - 1, 1)
        self._settled = True

    def _judge(self, size: int, now: float) -> None:
        if self._since is None:
            self._since = now
            return
        self._answered += 1
        self._bytes += size
        if self._answered < 4 * self.in_flight or now - self._since < 0.25:
            return
        rate = self._bytes / (now - self._since)
        self._since, self._answered, self._bytes = now, 0, 0
        if self._settled:
            return
        if rate > self._rate * _GAIN:
            self._rate, self._settled = rate, self.in_flight == self.most_in_flight
            self.in_flight = min(self.in_flight + 1, self.most_in_flight)
        else:
            self.in_flight, self._settled = max(self.in_flight - 1, 1), True
