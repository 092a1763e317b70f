"""How many batches are in flight at once: found out, and looked at again (pure; times are passed in)."""

from __future__ import annotations

from dataclasses import dataclass

# With a second one, a model works while the answer before is on its way.
_BEGIN = 2
# A rate is that of so many answers for each batch in flight, over so long at least: chance is less than the gain.
_ANSWERS, _SECONDS = 4, 0.5
_GAIN = 1.1
# After so many rates another number is tried, after a vain try only after twice as many.
_FIRST_REST, _MOST_REST = 6, 64


@dataclass
class Concurrency:
    """`in_flight`, from one to `most`. One more is tried, and one less in turn: more has to make the whole faster by a
    tenth, less no slower. What one rate told by chance is put right by a later one.
    """

    most: int
    in_flight: int = 1
    _rate: float = 0.0
    _tried: int = 0
    _direction: int = 1
    _wait: int = 0
    _rest: int = _FIRST_REST
    _late: int = 0
    _since: float | None = None
    _answered: int = 0
    _bytes: int = 0

    def resume(self, in_flight: int) -> None:
        """Begin where an earlier step had come to."""
        self._move(in_flight)

    def answered(self, size: int, now: float) -> None:
        """Take note of a batch of `size` bytes that was answered at the time `now`."""
        if self._since is None:
            self._since = now
            if self.in_flight == 1:
                self._move(min(_BEGIN, self.most))
            return
        if self._late:
            # It was sent when there were more of them, or less.
            self._late -= 1
            self._since = now
            return
        self._answered += 1
        self._bytes += size
        if self._answered < _ANSWERS * self.in_flight or now - self._since < _SECONDS:
            return
        rate = self._bytes / (now - self._since)
        self._since, self._answered, self._bytes = now, 0, 0
        self._judge(rate)

    def restart(self) -> None:
        """Batches have another size now: rates before and after are not to be compared."""
        self._rate, self._late, self._answered, self._bytes = 0.0, self.in_flight, 0, 0
        if self._tried:
            self._move(self.in_flight - self._tried)

    def throttled(self) -> None:
        """Take note of a batch that came while the model had enough others."""
        self._move(self.in_flight - 1)
        self._rate, self._wait, self._rest = 0.0, _MOST_REST, _MOST_REST

    def _judge(self, rate: float) -> None:
        if not self._tried:
            self._rate = (self._rate + rate) / 2 if self._rate else rate
            self._wait -= 1
            if self._wait <= 0:
                self._try()
            return
        tried, least = self._tried, self._rate * (_GAIN if self._tried > 0 else 1.0)
        if rate > least:
            self._rate, self._rest, self._tried = rate, _FIRST_REST, 0
            if tried > 0:
                self._try()
        else:
            self._move(self.in_flight - tried)
            self._wait, self._rest = self._rest, min(2 * self._rest, _MOST_REST)
            self._direction = -tried

    def _try(self) -> None:
        """Try one more or one less, if there may be."""
        for direction in (self._direction, -self._direction):
            if 1 <= self.in_flight + direction <= self.most:
                self._move(self.in_flight + direction)
                self._tried = self._direction = direction
                return

    def _move(self, in_flight: int) -> None:
        # Whatever another thread was told meanwhile: without one in flight, nobody would have a turn any more.
        in_flight = min(max(in_flight, 1), self.most)
        self.in_flight, self._late, self._tried = in_flight, max(self.in_flight, in_flight), 0
        self._answered, self._bytes = 0, 0
