"""One connection for who is slower than it, more while they help: and what comes over them is in order, or an error."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from scoring.files import ranges
from scoring.files.ranges import Connections, ahead

MB = 1_000_000


class Reader:
    """Reads chunks of a MB from a network of so many `together` MB/s over all connections, and `each` over one, and works
    on them at `works` MB/s meanwhile. Time passes as it says.
    """

    def __init__(self, each: float, together: float, works: float) -> None:
        self.each, self.together, self.works = each, together, works
        self.connections, self.now = Connections(), 0.0

    def reads(self, megabytes: int) -> list[int]:
        """How many connections there were for each MB."""
        counts = []
        for _ in range(megabytes):
            comes = 1 / min(self.each * self.connections.count, self.together)
            # What comes while it works is there when it asks again.
            waited = max(comes - 1 / self.works, 0.0)
            self.now += max(comes, 1 / self.works)
            self.connections.brought(MB, waited, self.now)
            counts.append(self.connections.count)
        return counts


def test_one_connection_is_enough_for_a_model_that_is_slower_than_it() -> None:
    assert set(Reader(each=90, together=1_000, works=70).reads(5_000)) == {1}
    assert set(Reader(each=90, together=1_000, works=1).reads(500)) == {1}


@pytest.mark.parametrize(("works", "count"), [(170, 2), (250, 3), (2_000, 4)])
def test_a_reader_that_waits_gets_as_many_connections_as_it_needs(works: float, count: int) -> None:
    counts = Reader(each=90, together=1_000, works=works).reads(1_000)
    assert counts[-1] == max(counts) == count
    assert counts[:300][-1] == count, "within some seconds"


def test_a_connection_that_makes_nothing_faster_is_given_up_and_tried_more_and_more_rarely() -> None:
    """A Lambda's network is the limit, or the loopback."""
    reader = Reader(each=90, together=93, works=1_000)
    counts = reader.reads(20_000)
    assert set(counts) == {1, 2}
    trials = sum(before < after for before, after in pairwise(counts))
    assert 3 <= trials <= 6, f"in {reader.now:.0f} s"
    assert counts.count(2) < len(counts) / 20


def test_a_reader_that_becomes_faster_gets_more() -> None:
    reader = Reader(each=90, together=1_000, works=20)
    assert set(reader.reads(500)) == {1}
    reader.works = 400
    assert reader.reads(500)[-1] == 4


CONTENT = bytes(range(200))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 30)
    return Connections(count=3)


def pieces(start: int, stop: int) -> Iterator[bytes]:
    return (CONTENT[place : min(place + 7, stop)] for place in range(start, stop, 7))


def test_ranges_are_read_side_by_side_and_come_in_their_order(connections: Connections) -> None:
    """Of three that are under way the first one ends last."""
    ended = {start: threading.Event() for start in range(10, 200, 30)}

    def backwards(start: int, stop: int) -> Iterator[bytes]:
        if (start - 10) % 90 < 60 and start + 30 < 200:
            assert ended[start + 30].wait(30)
        yield from pieces(start, stop)
        ended[start].set()

    assert b"".join(ahead(backwards, 10, 200, connections)) == CONTENT[10:]


def test_no_more_is_read_ahead_than_there_are_connections(connections: Connections) -> None:
    begun = list[int]()

    def read(start: int, stop: int) -> Iterator[bytes]:
        begun.append(start)
        yield from pieces(start, stop)

    chunks = ahead(read, 0, 200, connections)
    for _ in range(4):
        next(chunks)
    assert sorted(begun) <= [0, 30, 60]
    next(chunks)
    next(chunks)
    chunks.close()
    assert sorted(begun) <= [0, 30, 60, 90]


def test_an_error_is_raised_where_it_belongs(connections: Connections) -> None:
    def read(start: int, stop: int) -> Iterator[bytes]:
        for chunk in pieces(start, stop):
            if start == 60:
                raise KeyError(start)
            yield chunk

    come = b""
    with pytest.raises(KeyError):
        for chunk in ahead(read, 0, 200, connections):
            come += chunk
    assert come == CONTENT[:60]


def test_when_one_connection_is_enough_what_is_under_way_comes_and_then_all_the_rest_over_one(
    connections: Connections,
) -> None:
    begun = list[tuple[int, int]]()

    def read(start: int, stop: int) -> Iterator[bytes]:
        begun.append((start, stop))
        return pieces(start, stop)

    chunks = ahead(read, 0, 200, connections)
    come = next(chunks)
    connections.count = 1
    come += b"".join(chunks)
    assert come == CONTENT
    assert begun == [(0, 30), (30, 60), (60, 90), (90, 200)]


def test_one_connection_brings_on_while_the_reader_works_but_no_more_than_there_is_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranges, "AHEAD_BYTES", 14)
    come = threading.Semaphore(0)

    def read(start: int, stop: int) -> Iterator[bytes]:
        for chunk in pieces(start, stop):
            come.release()
            yield chunk

    chunks = ahead(read, 0, 200, Connections())
    found = next(chunks)
    # Two that wait to be taken, and one that waits for room.
    for _ in range(4):
        assert come.acquire(timeout=30)
    assert not come.acquire(timeout=0.1)
    assert found + b"".join(chunks) == CONTENT


def test_where_more_connections_are_needed_what_the_one_has_brought_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch, connections: Connections
) -> None:
    monkeypatch.setattr(ranges, "AHEAD_BYTES", 14)
    connections.count, begun, three = 1, list[tuple[int, int]](), threading.Event()

    def read(start: int, stop: int) -> Iterator[bytes]:
        begun.append((start, stop))
        for chunk in pieces(start, stop):
            yield chunk
            if chunk == CONTENT[14:21]:
                three.set()

    chunks = ahead(read, 0, 200, connections)
    come = next(chunks)
    assert three.wait(30)
    connections.count = 3
    come += b"".join(chunks)
    assert come == CONTENT
    assert sorted(begun)[:4] == [(0, 200), (21, 51), (51, 81), (81, 111)]


def test_who_goes_away_leaves_nobody_reading(connections: Connections) -> None:
    """A range that is under way ends with its next chunk, and its connection is closed."""
    closed, go = list[int](), threading.Event()

    def read(start: int, stop: int) -> Iterator[bytes]:
        try:
            yield CONTENT[start : start + 1]
            assert go.wait(30)
            yield CONTENT[start + 1 : stop]
            raise AssertionError("nobody reads on")
        finally:
            closed.append(start)

    before = set(threading.enumerate())
    chunks = ahead(read, 0, 200, connections)
    next(chunks)
    chunks.close()
    go.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert sorted(closed) == [0, 30, 60]


def test_what_ends_before_it_should_is_not_asked_for_again() -> None:
    """Whoever holds it against its size or its checksum tells; nothing would come of it for ever."""
    begun = list[int]()

    def read(start: int, stop: int) -> Iterator[bytes]:
        begun.append(start)
        return pieces(start, 100)

    assert b"".join(ahead(read, 0, 200, Connections())) == CONTENT[:100]
    assert begun == [0]


FORGOTTEN = """
from scoring.files.ranges import Connections, ahead
chunks = ahead(lambda start, stop: iter([bytes(1 << 20)] * 100), 0, 100 << 20, Connections())
next(chunks)
raise SystemExit(3)
"""


def test_a_reader_that_was_forgotten_keeps_no_process_alive() -> None:
    """As one is that an exception on its way to the terminal still holds."""
    where = Path(ranges.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", FORGOTTEN], cwd=where, timeout=30, check=False)
    assert done.returncode == 3
