"""Requests to a model, as many at a time as it shall have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """Lets threads through, `most()` of them at a time: what comes next waits here, made ready, and goes at once."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, and have it."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self._most())
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify_all()

    def look_again(self) -> None:
        """There may be more turns than before."""
        with self._changed:
            self._changed.notify_all()
