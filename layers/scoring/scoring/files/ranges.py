"""Bytes read ahead of who works on them, over as many connections as make the whole faster: found out, never configured."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

# Of several connections. The first range is read from while it comes: the others are memory. (AWS's transfer manager takes
# 8 MiB, and has the memory for it.)
RANGE_BYTES = 4 << 20
# What one connection may bring while the reader works: enough that neither waits for the other.
AHEAD_BYTES = 1 << 20
_MOST_CONNECTIONS = 4
# One more is tried where the reader waits for so much of its time, and kept if it makes the whole faster by so much: where
# the network is what it waits for, three of them would do that by half, and the fourth by a third.
_WAITING, _GAIN = 0.2, 1.25
# What is judged: so long, and so many ranges for each connection, since they come in turns.
_LOOK_SECONDS, _LOOK_RANGES = 0.5, 2
# After a trial that was of no use; then twice as long, and so on.
_PAUSE_SECONDS = 8.0


@dataclass
class Connections:
    """How many connections a reader needs: the `count` (pure; times are passed in).

    One for a reader that is slower than it, for a model that works.
    """

    most: int = _MOST_CONNECTIONS
    count: int = 1
    _since: float | None = None
    _bytes: int = 0
    _waited: float = 0.0
    _rate: float = 0.0
    _trial: bool = False
    _pause: float = _PAUSE_SECONDS
    _not_before: float = 0.0

    @property
    def held_bytes(self) -> int:
        """Memory of what is read ahead, at most."""
        return self.count * RANGE_BYTES if self.count > 1 else AHEAD_BYTES

    def waited_for(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, with note taken of how they come."""
        while True:
            asked = time.monotonic()
            chunk = next(chunks, None)
            if chunk is None:
                return
            now = time.monotonic()
            self.brought(len(chunk), now - asked, now)
            yield chunk

    def brought(self, size: int, waited: float, now: float) -> None:
        """Take note of `size` bytes that the reader has waited for, for `waited` seconds until `now`."""
        if self._since is None:
            self._since = now
            return
        self._bytes += size
        self._waited += waited
        seconds = now - self._since
        enough = _LOOK_RANGES * self.count * RANGE_BYTES if self.count > 1 else 0
        if seconds < _LOOK_SECONDS or self._bytes < enough:
            return
        rate, waiting = self._bytes / seconds, self._waited / seconds
        self._since, self._bytes, self._waited = now, 0, 0.0
        if self._trial and rate < self._rate * _GAIN:
            self.count -= 1
            self._trial = False
            self._not_before, self._pause = now + self._pause, 2 * self._pause
            # What comes first was asked for by one connection more.
            self._since = None
            return
        self._trial = waiting > _WAITING and self.count < self.most and now >= self._not_before
        if self._trial:
            self._rate, self._since = rate, None
            self.count += 1


class _Range:
    """What has come of a range and is not taken yet: as many bytes as there may be, and one chunk at least."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._chunks, self._bytes = deque[bytes](), 0
        self._ended = False
        self._error: BaseException | None = None
        self.is_whole = False
        """Whether all of it has come."""
        self._changed = threading.Condition()

    def fill(self, chunks: Iterator[bytes]) -> None:
        """Read it, until it ends or nobody wants any more of it."""
        try:
            for chunk in chunks:
                if not self._put(chunk):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised where the range is read)
            self.end(error)
        else:
            self.end(is_whole=True)

    def _put(self, chunk: bytes) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._bytes < self._most)
            if not self._ended:
                self._chunks.append(chunk)
                self._bytes += len(chunk)
                self._changed.notify_all()
            return not self._ended

    def end(self, error: BaseException | None = None, *, is_whole: bool = False) -> None:
        """No more than what has come belongs to it; the first to say so tells why."""
        with self._changed:
            if not self._ended:
                self._ended, self._error, self.is_whole = True, error, is_whole
                self._changed.notify_all()

    def take(self) -> bytes | None:
        """The next chunk, waited for; None at the end. Raises what broke the reading."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._chunks)
            if self._chunks:
                chunk = self._chunks.popleft()
                self._bytes -= len(chunk)
                self._changed.notify_all()
                return chunk
            if self._error:
                raise self._error
            return None


def ahead(
    read: Callable[[int, int], Iterator[bytes]], start: int, stop: int, connections: Connections
) -> Generator[bytes, None, None]:
    """The bytes from `start` to before `stop` in their order, by `read(start, stop)`: of all at once over one connection, of
    several ranges over more. An error of `read` is raised in its place.
    """
    ranges = deque[_Range]()

    def begin(end: int, most: float = math.inf) -> None:
        ranges.append(_Range(most))
        # A process whose reader was forgotten, by an exception that is being told, does not wait for it.
        threading.Thread(target=ranges[-1].fill, args=(read(start, end),), name="range", daemon=True).start()

    try:
        while start < stop or ranges:
            if is_all := connections.count == 1 and not ranges:
                begin(stop, AHEAD_BYTES)
            while start < stop and len(ranges) < connections.count > 1:
                end = min(start + RANGE_BYTES, stop)
                begin(end)
                start = end
            while (found := ranges[0].take()) is not None:
                yield found
                if is_all:
                    start += len(found)
                    if connections.count > 1:
                        # What has come already is taken; the next range begins behind it.
                        ranges[0].end()
            if is_all and ranges[0].is_whole:
                return
            ranges.popleft()
    finally:
        # Who reads has nothing to wait for: a thread ends with its next chunk, and nothing is seen of it outside.
        for each in ranges:
            each.end()
