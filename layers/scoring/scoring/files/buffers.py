"""Memory of a part: taken as it is written, and used again for another one."""

from __future__ import annotations

import mmap
import zlib

# What is read at once, whatever is asked for: a client asks for 16 KiB to send them, and waits for a busy interpreter each
# time.
_READ_BYTES = 1 << 20
_PAGE_BYTES = 64 << 10


class Buffer:
    """A file in memory that is written to its end and then read, as a client reads the body of a request. It will be about
    as large as `expected`.

    Of pages of its own: what the heap is given back of parts of many sizes it keeps, about half as much again as is in use.
    """

    def __init__(self, expected: int = 0) -> None:
        self._size = self._position = 0
        self._memory = _pages(expected)

    def __len__(self) -> int:
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        end = self._size + len(data)
        if end > len(self._memory):
            smaller, self._memory = self._memory, _pages(end + end // 8)
            with memoryview(smaller) as written:
                self._memory[: self._size] = written[: self._size]
        self._memory[self._size : end] = data
        self._size = end

    def read(self, size: int = -1) -> bytes | memoryview:
        """Some of the next bytes, as many as are good to send, and not copied; all of them without a `size`."""
        start, self._position = self._position, self._size
        if size < 0:
            return self._memory[start : self._position]
        self._position = min(start + _READ_BYTES, self._size)
        return memoryview(self._memory)[start : self._position]

    def split(self, size: int, rest: Buffer) -> None:
        """End behind the first `size` bytes; what is behind them is all that `rest` holds then."""
        rest._size = rest._position = 0
        with memoryview(self._memory) as memory:
            rest.write(memory[size : self._size])
        self._size = size

    def getvalue(self) -> bytes:
        """All that is written, wherever a reader is."""
        return self._memory[: self._size]

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        self._position = position
        return position

    @property
    def crc32(self) -> int:
        with memoryview(self._memory) as memory:
            return zlib.crc32(memory[: self._size])


def _pages(size: int) -> mmap.mmap:
    """Memory for so many bytes; none is taken before it is written to."""
    whole = max(-(-size // _PAGE_BYTES), 1) * _PAGE_BYTES
    return mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
