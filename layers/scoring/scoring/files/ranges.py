"""Bytes read ahead in ranges, over as many connections as make the whole faster: found out, never configured."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

# What AWS's transfer manager takes for a range, too. The first of them is read from while it comes: the others are memory.
RANGE_BYTES = 8 << 20
_MOST_CONNECTIONS = 4
# One more is tried where the reader waits for so much of its time, and kept if it makes the whole faster by so much.
_WAITING, _GAIN = 0.2, 1.1
# What is judged: so long, and so many ranges for each connection, since they come in turns.
_LOOK_SECONDS, _LOOK_RANGES = 0.25, 2
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

    def waited_for(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, with note taken of how they come; until another way of reading is due, for another `count`."""
        is_one = self.count == 1
        while True:
            asked = time.monotonic()
            chunk = next(chunks, None)
            if chunk is None:
                return
            now = time.monotonic()
            self.brought(len(chunk), now - asked, now)
            yield chunk
            if is_one and self.count > 1:
                return

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


# What has come of a range: chunks, and at its end None or an error.
_Come = SimpleQueue[bytes | BaseException | None]


def ahead(
    read: Callable[[int, int], Iterator[bytes]], start: int, stop: int, connections: Connections
) -> Generator[bytes, None, None]:
    """The bytes from `start` to before `stop` in their order, by `read(start, stop)` of several ranges at once.

    Ends sooner, at the end of a range, once one connection is enough. An error of `read` is raised in its place.
    """
    given_up, ranges = threading.Event(), deque[_Come]()
    pool = ThreadPoolExecutor(connections.most, thread_name_prefix="range")
    try:
        while True:
            while start < stop and len(ranges) < connections.count > 1:
                end = min(start + RANGE_BYTES, stop)
                ranges.append(SimpleQueue())
                pool.submit(_fill, ranges[-1], read(start, end), given_up)
                start = end
            if not ranges:
                return
            while (found := ranges[0].get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
            ranges.popleft()
    finally:
        # Who reads has nothing to wait for: a thread ends with its next chunk, and nothing is seen of it outside.
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _fill(come: _Come, chunks: Iterator[bytes], given_up: threading.Event) -> None:
    try:
        for chunk in chunks:
            if given_up.is_set():
                return
            come.put(chunk)
        come.put(None)
    except BaseException as error:  # noqa: BLE001  (it is raised where the range is read)
        come.put(error)
