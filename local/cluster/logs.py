"""Container logs: written line by line with their times, read as ``pods/log`` asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from local.cluster import clock
from local.cluster.query import flag

# A kubelet starts a new file at 10 MiB and answers from the newest.
_LARGEST_FILE = 10 * 2**20
# A container runtime cuts longer lines into parts of this size.
_LONGEST_LINE = 16 * 2**10
_PARTIAL, _FULL = b"P", b"F"


class LogFile:
    """The log of one container instance: ``<time> F|P <text>`` a line, P when the line goes on in the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._rest = b""
        self._changed = asyncio.Event()
        self.closed = False

    def write(self, data: bytes) -> None:
        """Take output as it comes; a line is written when it is complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write_line(line)
        while len(self._rest) >= _LONGEST_LINE:
            self._write(_PARTIAL, self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]
        self._file.flush()
        self._tell()

    def close(self) -> None:
        if self._rest:
            self._write(_PARTIAL, self._rest)
        self._file.close()
        self.closed = True
        self._tell()

    async def wait(self) -> None:
        """Until more was written, or the log was closed."""
        if not self.closed:
            await self._changed.wait()

    def tail(self, lines: int, limit: int) -> str:
        """The last lines as text, at most ``limit`` bytes of them."""
        text = b"".join(render(self.path.read_bytes(), LogOptions(tail=lines)))
        return text[-limit:].decode(errors="replace")

    def _write_line(self, line: bytes) -> None:
        while len(line) > _LONGEST_LINE:
            self._write(_PARTIAL, line[:_LONGEST_LINE])
            line = line[_LONGEST_LINE:]
        self._write(_FULL, line)

    def _write(self, tag: bytes, text: bytes) -> None:
        time = clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
        self._file.write(b"%s %s %s\n" % (time, tag, text))
        if self._file.tell() > _LARGEST_FILE:
            self._file.close()
            self.path.replace(self.path.with_suffix(".old"))
            self._file = self.path.open("ab")

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True)
class LogOptions:
    """The query of ``pods/log``."""

    tail: int | None = None
    limit_bytes: int | None = None
    since_seconds: int | None = None
    timestamps: bool = False

    @classmethod
    def parse(cls, query: dict[str, str]) -> Self:
        def number(name: str) -> int | None:
            return int(query[name]) if query.get(name) else None

        return cls(
            tail=number("tailLines"),
            limit_bytes=number("limitBytes"),
            since_seconds=number("sinceSeconds"),
            timestamps=flag(query, "timestamps"),
        )


def render(stored: bytes, options: LogOptions) -> list[bytes]:
    """Lines of a log file, as they are answered."""
    lines = stored.splitlines(keepends=True)
    if options.since_seconds is not None:
        since = clock.now() - timedelta(seconds=options.since_seconds)
        oldest = since.strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
        lines = [line for line in lines if line.partition(b" ")[0] >= oldest]
    if options.tail is not None:
        lines = _last(lines, options.tail)
    rendered = []
    for line in lines:
        time, tag, text = line.split(b" ", 2)
        if tag == _PARTIAL:
            text = text.removesuffix(b"\n")
        rendered.append(time + b" " + text if options.timestamps else text)
    return rendered


def _last(lines: list[bytes], count: int) -> list[bytes]:
    """The last whole lines, each with all of its parts."""
    start = len(lines)
    while start > 0:
        ends_line = lines[start - 1].split(b" ", 2)[1] == _FULL or start == len(lines)
        if ends_line:
            if count == 0:
                break
            count -= 1
        start -= 1
    return lines[start:]
