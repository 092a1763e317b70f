"""The seam between files and models: what a format knows of a file, and the batches that it hands to a protocol.

A format reads a header (or none) and records, says what a model gets for them, and writes the scored file: the file's own
columns as they were, and the model's beside them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from scoring.files.blocks import Blocks
from scoring.files.content import UTF8
from scoring.files.dialect import Dialect
from scoring.files.rejects import Bad


@dataclass(frozen=True)
class Spec:
    """How a file is to be read: the `format` of an attempt's request, found out before a pod is launched.

    `preamble` is the text before the first record (a byte order mark, Excel's `sep=` line). `escape` is empty where nothing
    is said: then quotes are doubled, and a file that may mean something else is refused. `sent` and `kept` are the columns
    that the model gets and that come back, as positions from 0 (CSV) or names (JSON Lines); None for all. `hidden` are names
    of JSON Lines that it does not get.
    """

    kind: str = "csv"
    compression: str = ""
    encoding: str = UTF8
    preamble: str = ""
    delimiter: str = ","
    escape: str = ""
    decimal: str = "point"
    header: bool = True
    end: str = "\n"
    sent: tuple[int | str, ...] | None = None
    kept: tuple[int | str, ...] | None = None
    hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Spec:
        """What the request of an attempt says; a file that it says nothing of is plain CSV."""
        told = dict(request.get("format", {}))
        for name in ("sent", "kept", "hidden"):
            if told.get(name) is not None:
                told[name] = tuple(told[name])
        return cls(**told)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_own_text(self) -> bool:
        """Whether the object's bytes are the text, so that each place in it is found at once."""
        return not self.compression and self.encoding == UTF8

    @property
    def dialect(self) -> Dialect:
        """Where records end."""
        quotes = self.kind == "csv"
        return Dialect(self.delimiter.encode(), self.escape == "backslash", self.end.encode(), quotes)


Lines = Callable[[], list[bytes]]


@dataclass(frozen=True)
class Batch:
    """A block of `count` whole records, from byte `start` of the text on; the first is the file's `row`th (from 1).

    Its lists are made when they are asked for, and kept by nobody: a batch waits for its model, and short records take
    four times the memory of their block.

    Attributes
    ----------
    records
        As they are written, without their line ends.
    own
        What comes back of them: the same, but with the fields that a short one lacks, and without those too many.
    sent
        What the model gets for them; None where that is the block, byte for byte.
    text
        The same with line ends, where it is found without taking records apart.
    bad
        What is wrong with a record, by its place in the batch: the model does not get it.
    padded
        How many records were short.
    is_held
        Whether its lists are in memory all the same, since they were found by looking at each record.
    spans_lines
        Whether a record may have a line end inside.
    """

    block: bytes
    start: int
    row: int
    count: int
    records: Lines
    own: Lines
    sent: Lines | None
    text: Callable[[], bytes] | None = None
    bad: Mapping[int, str] = field(default_factory=dict)
    padded: int = 0
    crc: int = 0
    is_held: bool = False
    spans_lines: bool = True

    @property
    def end(self) -> int:
        """The byte of the text at which it ends."""
        return self.start + len(self.block)

    @property
    def good(self) -> Sequence[int]:
        """The places of the records that the model gets."""
        if not self.bad:
            return range(self.count)
        return [place for place in range(self.count) if place not in self.bad]

    def size(self, places: Sequence[int]) -> int:
        """How many bytes the records at these places have."""
        if self.is_all(places):
            return len(self.block)
        records = self.records()
        return sum(len(records[place]) + 1 for place in places)

    def is_all(self, places: Sequence[int]) -> bool:
        """Whether these are the places of all records, in their order. (A list of places may have one twice.)"""
        return places == range(self.count)


def held(lines: list[bytes]) -> Lines:
    """Lines that are there already."""
    return lambda: lines


class Format(ABC):
    """One file's format; `open` has to be called before anything else."""

    media_type: ClassVar[str]
    """Of a batch of records by themselves."""
    sent_header: bytes = b""
    """The line of column names that goes before a batch where the protocol wants one."""
    answers: bytes | None = None
    """The delimiter of predictions in the scored file; None where they are JSON."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @property
    @abstractmethod
    def names(self) -> list[bytes]:
        """What the file's columns are called; empty without a header."""

    @abstractmethod
    def values(self, record: bytes) -> list[bytes]:
        """What the fields of a record say, in the order of `names`."""

    @abstractmethod
    def open(self, blocks: Blocks) -> None:
        """Read what comes before the first record.

        Raises
        ------
        EmptyFile, InvalidFile
        """

    @abstractmethod
    def batch(self, block: bytes, start: int, row: int, crc: int = 0) -> Batch:
        """What a block of whole records holds.

        Raises
        ------
        InvalidFile
            It cannot be told where its records end.
        """

    @abstractmethod
    def records(self, batch: Batch, places: Sequence[int]) -> list[bytes]:
        """What the model gets for the records at these places."""

    @abstractmethod
    def body(self, batch: Batch, places: Sequence[int]) -> bytes:
        """The same as one body of the format's media type."""

    @abstractmethod
    def header(self, names: Sequence[str]) -> bytes:
        """What the scored file begins with; `names` are the model's columns."""

    @abstractmethod
    def joined(self, batch: Batch, names: Sequence[str], predictions: Sequence[Any | None]) -> list[bytes]:
        """The records of a batch with their predictions, in pieces; None for one that has none."""

    @abstractmethod
    def starts(self, block: bytes) -> list[int]:
        """Where in a block its records begin."""

    def bad_records(self, batch: Batch, reasons: Mapping[int, str]) -> list[Bad]:
        """The bad records of a batch, by what is wrong with them at their places, in the order of the file."""
        if not reasons:
            return []
        starts, records = self.starts(batch.block), batch.records()
        return [
            Bad(batch.row + place, batch.start + starts[place], reasons[place], records[place])
            for place in sorted(reasons)
        ]
