"""The files that the benchmarks score: CSV made on the fly, the same bytes for the same size, readable from any offset.

A file with inch marks has one in every tenth record, in a field without quotes, as exports of parts lists have it. A file
of numbers has nothing else: what model servers from PyPI take without more ado.

A file is a header and a block of a thousand different records, over and over: no file is ever stored, and what a model
has to answer is known from the size alone. A record in sixteen has a quoted field with a comma in it, as exports have.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_RECORDS = 1_000
_NUMBERS = 16
_PLACES = ("Springfield", "Rivière-du-Loup", "Ulm", '"Washington, D.C."')
_FEW_NUMBERS = 8
HEADER = ("account,segment,opened,place," + ",".join(f"measure_{n}" for n in range(_NUMBERS)) + "\n").encode()
_HEADER_OF_NUMBERS = (",".join(f"measure_{n}" for n in range(_FEW_NUMBERS)) + "\n").encode()


def _record(chance: random.Random, number: int) -> str:
    place = _PLACES[-1] if number % 16 == 0 else chance.choice(_PLACES[:-1])
    measures = ",".join(f"{chance.gauss(100, 30):.4f}" for _ in range(_NUMBERS))
    opened = f"20{chance.randrange(10, 26)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    return f"{chance.randrange(10**9, 10**10)},{chance.choice('ABCD')},{opened},{place},{measures}\n"


def _block() -> bytes:
    chance = random.Random(0)
    return "".join(_record(chance, number) for number in range(BLOCK_RECORDS)).encode()


def _with_inch_marks(block: bytes) -> bytes:
    lines = block.splitlines(keepends=True)
    lines[::10] = [
        line.replace(b",Ulm,", b',5" Ulm,').replace(b",Springfield,", b',5" Springfield,') for line in lines[::10]
    ]
    return b"".join(lines)


def _numbers() -> bytes:
    chance = random.Random(1)
    lines = (",".join(f"{chance.gauss(0, 30):.4f}" for _ in range(_FEW_NUMBERS)) + "\n" for _ in range(BLOCK_RECORDS))
    return "".join(lines).encode()


BLOCK = _block()
# By the suffix of a file's name. What is handed out at once: whole blocks, about a MiB.
BLOCKS = {"": BLOCK, "-inch-marks": _with_inch_marks(BLOCK), "-numbers": _numbers()}
_CHUNKS = {kind: memoryview(block * max(1, (1 << 20) // len(block))) for kind, block in BLOCKS.items()}


@dataclass(frozen=True)
class File:
    """A file of so many blocks of a kind."""

    blocks: int
    kind: str = ""

    @classmethod
    def of(cls, size: int, kind: str = "") -> File:
        """Give the largest file of at most `size` bytes, one block at least."""
        return cls(max(1, (size - len(cls(0, kind).header)) // len(BLOCKS[kind])), kind)

    @property
    def header(self) -> bytes:
        """The line of column names."""
        return _HEADER_OF_NUMBERS if self.kind == "-numbers" else HEADER

    @property
    def size(self) -> int:
        """Bytes, the header included."""
        return len(self.header) + self.blocks * len(BLOCKS[self.kind])

    @property
    def records(self) -> int:
        """Records below the header."""
        return self.blocks * BLOCK_RECORDS

    @property
    def name(self) -> str:
        """A key that says it all: the S3 stand-in needs to know nothing else."""
        return f"{self.blocks}{self.kind}.csv"

    @classmethod
    def named(cls, name: str) -> File:
        """Give the file that a key names."""
        blocks, mark, kind = name.rpartition("/")[2].removesuffix(".csv").partition("-")
        return cls(int(blocks), mark + kind)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """Give the bytes from `start` to before `stop`, in chunks of at most a MiB."""
        stop = self.size if stop is None else min(stop, self.size)
        header = self.header
        if start < min(stop, len(header)):
            yield header[start:stop]
        start = max(start, len(header))
        while start < stop:
            within = (start - len(header)) % len(BLOCKS[self.kind])
            chunk = _CHUNKS[self.kind][within : within + stop - start]
            yield chunk
            start += len(chunk)
