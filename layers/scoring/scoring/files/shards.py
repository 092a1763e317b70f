"""A file of text cut into shards of whole records, by looks at many places of it at once.

Whether a line end in the middle of a file ends a record is known only from what is before it: it may lie in quotes. So each
range is looked through for both, as if it began at a record and as if it began inside of quotes; what was so is known when
the ranges are put together. (Ge, Li, Eilebrecht, Chandramouli, Kossmann: "Speculative Distributed CSV Data Parsing for Big
Data Analytics", SIGMOD 2019, guess which one; here both are known. It costs little: most often a quoted field or two make
one of the two.)

Pure, but for `edges` and `look_through`, which read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from scoring.files.blocks import MOST_RECORD_BYTES, tally
from scoring.files.dialect import BACKSLASH, QUOTE, Dialect

AT_ONCE = 8
"""So many ranges are looked through at once, over a connection each."""


@dataclass(frozen=True)
class Shard:
    """Bytes `start` to before `stop` of the file: `records` of them, whole, of which the first one is `row` of the file."""

    start: int
    stop: int
    row: int
    records: int


@dataclass(frozen=True)
class Seen:
    """What is in a range: `records` that end in it, the `first` of them so many bytes behind its start (None if there is
    none), and what has `begun` at its end, as `blocks.tally` has it.
    """

    records: int
    first: int | None
    begun: bytes

    def to_json(self) -> list[Any]:
        return [self.records, self.first, self.begun.decode("latin-1")]

    @classmethod
    def of(cls, told: Sequence[Any]) -> Seen:
        records, first, begun = told
        return cls(records, first, begun.encode("latin-1"))


@dataclass(frozen=True)
class Range:
    """What is in bytes `start` to before `stop`, if they begin at a record or blank line, and if they begin `inside`."""

    start: int
    stop: int
    outside: Seen
    inside: Seen

    def to_json(self) -> list[Any]:
        return [self.start, self.stop, self.outside.to_json(), self.inside.to_json()]

    @classmethod
    def of(cls, told: Sequence[Any]) -> Range:
        start, stop, outside, inside = told
        return cls(start, stop, Seen.of(outside), Seen.of(inside))


def aligned(dialect: Dialect, chunks: Iterable[bytes]) -> int | None:
    """How many bytes in there is the first place that either a record begins at or that is inside of quotes: behind a line
    end that no backslash is before. None if none is near.
    """
    seen, place = b"", 0
    for chunk in chunks:
        seen += chunk
        while (end := seen.find(dialect.end, max(place, 1))) != -1:
            place = end + 1
            if not (dialect.backslash and seen[end - 1 : end] == BACKSLASH):
                return place
        place = len(seen)
        if place > MOST_RECORD_BYTES:
            break
    return None


def look(dialect: Dialect, start: int, chunks: Iterable[bytes], so_far: Range | None = None) -> Range:
    """Look through a range that begins at an `aligned` place (or at the first record), as far as there are chunks. It may be
    gone on with: then they are on from the `stop` of what is known `so_far`.
    """
    if so_far is None:
        so_far = Range(start, start, Seen(0, None, b""), Seen(0, None, QUOTE))
    outside, inside, place = so_far.outside, so_far.inside, so_far.stop - start
    apart = inside.first is None or inside.begun != outside.begun
    for chunk in chunks:
        outside, before = _with(dialect, outside, place, chunk), outside
        if apart:
            inside = _with(dialect, inside, place, chunk)
            # From the end of a record on, what has begun alike goes on alike.
            apart = inside.first is None or inside.begun != outside.begun
        else:
            inside = replace(inside, records=inside.records + outside.records - before.records, begun=outside.begun)
        place += len(chunk)
    return Range(start, start + place, outside, inside)


def _with(dialect: Dialect, seen: Seen, place: int, chunk: bytes) -> Seen:
    if seen.begun == QUOTE and QUOTE not in chunk and not (dialect.backslash and BACKSLASH in chunk) and dialect.quotes:
        # Nothing ends, as in all of a file without quotes.
        return seen
    records, begun = tally(dialect, seen.begun, chunk)
    first = seen.first
    if records and first is None:
        first = place + dialect.first_end(seen.begun + chunk) - len(seen.begun)
    return Seen(seen.records + records, first, begun)


def shards(dialect: Dialect, ranges: Sequence[Range], row: int = 1) -> list[Shard]:
    """Ranges that lie side by side, from the first record to the end of the file, as shards that each have records.

    A range that a record goes through from end to end is no shard of its own. `row` is the number of the first record.
    """
    found: list[Shard] = []
    begun, start, first_row = b"", ranges[0].start, row
    for each in ranges:
        seen = each.inside if begun else each.outside
        if not begun:
            cut, cut_row = each.start, row
        elif seen.first is not None:
            # That ends the record that was begun before, whose row is counted where it ends.
            cut, cut_row = each.start + seen.first, row + 1
        else:
            cut, cut_row = start, first_row
        if cut_row > first_row:
            found.append(Shard(start, cut, first_row, cut_row - first_row))
            start, first_row = cut, cut_row
        row, begun = row + seen.records, seen.begun
    row += not dialect.is_blank(begun.rstrip(b"\r"))
    if row > first_row or not found:
        return [*found, Shard(start, ranges[-1].stop, first_row, row - first_row)]
    # Blank lines at the end.
    return [*found[:-1], replace(found[-1], stop=ranges[-1].stop)]


def gathered(fine: Sequence[Shard], most: int) -> list[Shard]:
    """Neighbours joined to `most` shards, of about the same size."""
    start, stop = fine[0].start, fine[-1].stop
    coarse: list[Shard] = []
    for each in fine:
        # As many as there should be where the middle of this one is.
        number = ((each.start + each.stop) // 2 - start) * most // max(stop - start, 1)
        if coarse and number < len(coarse):
            last = coarse.pop()
            each = Shard(last.start, each.stop, last.row, last.records + each.records)
        coarse.append(each)
    return coarse


Read = Callable[[int, int], Iterator[bytes]]
"""Gives bytes `start` to before `stop` of the file, in chunks; called from several threads at once, and left in the middle."""


def edges(read: Read, dialect: Dialect, start: int, stop: int, parts: int) -> list[tuple[int, int]]:
    """Cut what is from the first record, at `start`, to the end at `stop` into at most so many ranges to look through."""
    places = sorted({start + (stop - start) * part // parts for part in range(1, parts)} - {start, stop})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ways = pool.map(lambda place: aligned(dialect, read(place, stop)), places)
        starts = {place + way for place, way in zip(places, ways, strict=True) if way is not None}
    return list(pairwise([start, *sorted(starts - {start, stop}), stop]))


def look_through(
    read: Read,
    dialect: Dialect,
    edges: Sequence[tuple[int, int]],
    looked: Sequence[Range | None],
    goes_on: Callable[[], bool] = lambda: True,
) -> list[Range | None]:
    """Look through ranges, side by side and on from what is known of each, while it `goes_on`: asked before each range and
    after each chunk of it.
    """

    def look_on(edge: tuple[int, int], so_far: Range | None) -> Range | None:
        start, stop = edge
        place = so_far.stop if so_far else start
        if (so_far and place == stop) or not goes_on():
            return so_far
        return look(dialect, start, _while(goes_on, read(place, stop)), so_far)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(look_on, edges, looked))


def _while(goes_on: Callable[[], bool], chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        if not goes_on():
            return
