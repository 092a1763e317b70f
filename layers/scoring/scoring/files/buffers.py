"""Memory of a part: taken as it is written, and given back whole when it is sent."""

from __future__ import annotations

import mmap
import zlib
from contextlib import suppress

# What is read at once, whatever is asked for: a client asks for 16 KiB to send them, and waits for a busy interpreter each
# time; or for a MiB to sign it, which each thread's heap keeps.
_READ_BYTES = 256 << 10
_PAGE_BYTES = 2 << 20
# From here on large pages are asked for: a fault for each small one costs several times what it costs to write it. Parts are
# smaller than that where S3 is slower than we are, and there are more of them: then it is the memory that counts.
_LARGE_BYTES = 12 << 20


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

    def write(self, data: bytes) -> None:
        end = self._size + len(data)
        if end > len(self._memory):
            smaller, self._memory = self._memory, _pages(end + end // 8)
            with memoryview(smaller) as written:
                self._memory[: self._size] = written[: self._size]
        self._memory[self._size : end] = data
        self._size = end

    def read(self, size: int = -1) -> bytes:
        """Some of the next bytes, as many as are good to send; all of them without a `size`."""
        start, self._position = self._position, self._size
        if size >= 0:
            self._position = min(start + _READ_BYTES, self._size)
        return self._memory[start : self._position]

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
    memory = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Where the kernel has any.
    with suppress(AttributeError, OSError):
        if size >= _LARGE_BYTES:
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
