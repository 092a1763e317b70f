"""Parts of an upload on their way, while the work goes on: as many at once as the network falls behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Sender:
    """Sends parts in threads of its own, `most_parts` of `part_bytes` at a time, or fewer larger ones.

    A part that is not there yet when the next one is full gets company: where S3 takes 20 MB/s of each, a model that
    answers 60 MB/s has some four under way, and one that answers 10 has one. By Little's law that is found out without
    any measuring. (AWS's transfer manager divides the throughput it is to reach by that of one connection, which is a
    guess of either.)

    As a context: nothing is under way any more when it ends. What failed then is not told: who waits for a part asks it.
    """

    def __init__(self, part_bytes: int, most_parts: int) -> None:
        self.part_bytes, self._most_parts = part_bytes, most_parts
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[Future[Any], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def bytes_under_way(self) -> int:
        """Memory of the parts that are not there yet."""
        self._forget()
        return sum(self._under_way.values())

    def send(self, part: Callable[[], T], size: int) -> Future[T]:
        """Have `part` called, once there is room for its `size`."""
        # One of them may be larger by what ends with it.
        most = self.part_bytes * (self._most_parts + 1)
        while self.bytes_under_way and self.bytes_under_way + size >= most:
            wait(self._under_way, return_when=FIRST_COMPLETED)
        sent = self.run(part)
        self._under_way[sent] = size
        if size >= most:
            wait([sent])
        return sent

    def run(self, call: Callable[[], T]) -> Future[T]:
        """Have something called that takes no room."""
        if not self._pool:
            # One for each part that can be under way, and one for what takes no room.
            self._pool = ThreadPoolExecutor(self._most_parts + 1, thread_name_prefix="part")
        return self._pool.submit(call)

    def _forget(self) -> None:
        for sent in [sent for sent in self._under_way if sent.done()]:
            del self._under_way[sent]
