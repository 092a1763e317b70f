"""Records of RFC 4180 CSV, found by searching bytes: a newline inside quotes does not end one.

Blank lines are no records. Nothing here parses a field: that keeps every byte as it is, and the work in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BOM = b"\xef\xbb\xbf"


def cut(data: bytes) -> int:
    """How many bytes of `data` (which begins at a record) are whole records; 0 when not even one is."""
    end = data.rfind(b"\n")
    # An odd number of quotes before it means that this newline lies inside a quoted field.
    while end != -1 and data.count(b'"', 0, end) % 2:
        end = data.rfind(b"\n", 0, end)
    return end + 1


def split(block: bytes) -> list[bytes]:
    """The records of a block of whole ones, without their line ends."""
    lines = block.split(b"\n")
    if b'"' in block:
        lines = list(_joined(lines))
    if b"\r" in block:
        lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    return [line for line in lines if line] if b"" in lines else lines


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that a quoted newline took apart, put together again."""
    open_record: list[bytes] = []
    for line in lines:
        odd = line.count(b'"') % 2
        if not open_record and not odd:
            yield line
            continue
        open_record.append(line)
        if odd and len(open_record) > 1:
            yield b"\n".join(open_record)
            open_record = []
    if open_record:
        yield b"\n".join(open_record)


def count(block: bytes) -> int:
    """How many records a block of whole ones holds."""
    blank = block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block
    if blank:
        return len(split(block))
    outside = block.split(b'"')[::2] if b'"' in block else (block,)
    return sum(part.count(b"\n") for part in outside) + (not block.endswith(b"\n") and bool(block))


class Blocks:
    """Bytes as they come → blocks of whole records of about `size` bytes each (one record at least).

    `size` may be changed between two blocks; `consumed` is how many bytes have been handed out or skipped.
    """

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        self.size, self.consumed = size, 0
        self._chunks = iter(chunks)
        self._pending = b""
        self._ended = False

    def header(self) -> bytes:
        """The first record with its line end, blank lines before it skipped; empty at the end of the data."""
        while True:
            end = self._first_record_end()
            if not end and not self._ended:
                self._read()
                continue
            header = self._take(end or len(self._pending))
            if header.strip() or not self._pending:
                return header

    def __iter__(self) -> Iterator[bytes]:
        while True:
            while len(self._pending) < self.size and not self._ended:
                self._read()
            whole = self._ended and len(self._pending) <= self.size
            end = len(self._pending) if whole else cut(self._pending[: self.size])
            while not end:
                # One record is larger than a block: take bytes until it is whole.
                if self._ended:
                    end = len(self._pending)
                    break
                self._read()
                end = cut(self._pending)
            if not end:
                return
            yield self._take(end)

    def _take(self, end: int) -> bytes:
        taken, self._pending = self._pending[:end], self._pending[end:]
        self.consumed += end
        return taken

    def _first_record_end(self) -> int:
        end = self._pending.find(b"\n")
        while end != -1 and self._pending.count(b'"', 0, end) % 2:
            end = self._pending.find(b"\n", end + 1)
        return end + 1

    def _read(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
        else:
            self._pending += chunk


class Counter:
    """Counts the records of a stream that passes by, the header included."""

    def __init__(self) -> None:
        self.records = 0
        self._pending = b""

    def pass_on(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            data = self._pending + chunk
            end = cut(data)
            self.records += count(data[:end])
            self._pending = data[end:]
            yield chunk
        self.records += count(self._pending)
        self._pending = b""
