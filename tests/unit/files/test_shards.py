"""Cut at many places at once, a file has the same records, with the same numbers, as read from its beginning."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.files import shards
from scoring.files.blocks import Blocks, Counter
from scoring.files.dialect import Dialect
from scoring.files.shards import Range, Shard, aligned, edges, gathered, look, look_through
from tests.examples import examples

DIALECTS = [
    Dialect(delimiter, backslash, end, quotes)
    for delimiter in (b",", b";")
    for backslash in (False, True)
    for end in (b"\n", b"\r")
    for quotes in (True, False)
]
TEXTS = st.lists(
    st.sampled_from(
        [b'"', b'""', b",", b";", b"\n", b"\r", b"\r\n", b"\\", b" ", b"a", b'",', b',"', b"\n\n", b'"\n"']
    ),
    max_size=60,
).map(b"".join)


def records(dialect: Dialect, text: bytes) -> list[bytes]:
    """As one pod reads them."""
    return [record for block in Blocks([text], 1, dialect) for record in dialect.records(block)]


def plan(read: shards.Read, dialect: Dialect, start: int, stop: int, most: int, at_once: int = 1_000) -> list[Shard]:
    """What the ranges come to, as they are kept between two looks that each see about so many chunks `at_once`."""
    parts = -(-shards.AT_ONCE // most) * most
    cut = edges(read, dialect, start, stop, parts)
    looked: list[Range | None] = [None] * len(cut)
    while not all(each and each.stop == edge[1] for each, edge in zip(looked, cut, strict=True)):
        left = iter([True] * at_once)
        looked = look_through(read, dialect, cut, looked, lambda left=left: next(left, False))  # type: ignore[misc]
        kept = json.loads(json.dumps([each and each.to_json() for each in looked]))
        looked = [Range.of(each) if each else None for each in kept]
    return gathered(shards.shards(dialect, [each for each in looked if each]), most)


def reading(text: bytes, chunk: int) -> shards.Read:
    def read(start: int, stop: int) -> Iterator[bytes]:
        return (text[place : min(place + chunk, stop)] for place in range(start, stop, chunk))

    return read


@settings(max_examples=examples(300), deadline=None)
@given(
    text=TEXTS,
    dialect=st.sampled_from(DIALECTS),
    most=st.integers(1, 12),
    chunk=st.integers(1, 40),
    at_once=st.sampled_from([2, 5, 30, 1_000]),
)
@example(text=b'a\n"b\n"\nc\n', dialect=Dialect(), most=4, chunk=3, at_once=1_000)
@example(text=b'"\n\n\n\n\n\n\n\n"\n', dialect=Dialect(), most=8, chunk=1, at_once=1_000)
@example(text=b'""\n"\r\n', dialect=Dialect(end=b"\r"), most=2, chunk=1, at_once=1_000)
@example(text=b"a\\\n\\\n\\\nb\nc\n", dialect=Dialect(backslash=True), most=8, chunk=2, at_once=1_000)
@example(text=b'"a\n"\nb,"\n"\n\n"', dialect=Dialect(), most=1, chunk=1, at_once=2)
def test_shards_have_the_records_of_the_file_under_their_numbers(
    text: bytes, dialect: Dialect, most: int, chunk: int, at_once: int
) -> None:
    whole = records(dialect, text)
    cut = plan(reading(text, chunk), dialect, 0, len(text), most, at_once)
    assert 1 <= len(cut) <= most
    assert [shard.start for shard in cut] + [len(text)] == [0] + [shard.stop for shard in cut]
    assert [each for shard in cut for each in records(dialect, text[shard.start : shard.stop])] == whole
    for shard in cut:
        own = records(dialect, text[shard.start : shard.stop])
        assert own == whole[shard.row - 1 : shard.row - 1 + shard.records]
        assert len(own) == shard.records
        assert own or not whole


@settings(max_examples=examples(150), deadline=None)
@given(before=TEXTS, text=TEXTS, dialect=st.sampled_from(DIALECTS), chunk=st.integers(1, 40))
@example(before=b"", text=b'""\na\\\n"', dialect=Dialect(backslash=True), chunk=1)
def test_one_of_both_looks_is_what_a_count_from_the_beginning_finds(
    before: bytes, text: bytes, dialect: Dialect, chunk: int
) -> None:
    """At each aligned place, whatever comes before it."""
    data = before + text
    way = aligned(dialect, [data[len(before) :]])
    if way is None:
        return
    place = len(before) + way
    counted = Counter(dialect)
    chunks = counted.pass_on([data[:place]])
    next(chunks)
    begun, earlier = counted.begun, counted.records
    found = look(dialect, place, reading(data, chunk)(place, len(data)))
    seen = found.inside if begun else found.outside
    assert begun in (b"", b'"')
    whole = Counter(dialect)
    list(whole.pass_on([data]))
    assert earlier + seen.records + (not dialect.is_blank(seen.begun.rstrip(b"\r"))) == whole.records
    if seen.first is not None and begun:
        assert records(dialect, data[: place + seen.first]) == records(dialect, data)[: earlier + 1]


MANY = b"".join(b'%d,"text %d"\n' % (number, number) for number in range(2_000))


@pytest.mark.parametrize("most", [1, 2, 3, 8, 50])
def test_shards_are_of_about_the_same_size(most: int) -> None:
    cut = plan(reading(MANY, 1_000), Dialect(), 0, len(MANY), most)
    assert len(cut) == most
    assert max(shard.stop - shard.start for shard in cut) < 1.3 * len(MANY) / most + 40


def test_a_file_begins_behind_its_header_and_its_rows_where_the_caller_says() -> None:
    data = b'id,"te\nxt"\n' + MANY
    cut = plan(reading(data, 1_000), Dialect(), 11, len(data), 4)
    assert (cut[0].start, cut[0].row, cut[-1].stop) == (11, 1, len(data))
    assert sum(shard.records for shard in cut) == 2_000


def test_a_record_over_several_ranges_is_in_one_shard() -> None:
    data = b"1,a\n" + b'2,"' + b"\n" * 5_000 + b'"\n' + b"3,c\n"
    cut = plan(reading(data, 100), Dialect(), 0, len(data), 8)
    assert [shard.records for shard in cut] == [2, 1]
    assert data[cut[1].start :] == b"3,c\n"


def test_a_quote_that_is_never_closed_leaves_the_rest_to_the_last_shard() -> None:
    """Who scores that tells it."""
    data = MANY[: MANY.index(b"\n", 1_000) + 1] + b'7,"never closed' + MANY.replace(b'"', b"")
    cut = plan(reading(data, 100), Dialect(), 0, len(data), 16)
    assert data[cut[-1].start : cut[-1].stop].count(b'7,"never closed') == 1


def test_both_looks_become_one_where_they_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each file would be looked through twice."""
    looked = [0]

    def counting(dialect: Dialect, begun: bytes, data: bytes, tally: object = shards.tally) -> tuple[int, bytes]:
        looked[0] += len(data)
        return tally(dialect, begun, data)  # type: ignore[operator,no-any-return]

    monkeypatch.setattr(shards, "tally", counting)
    found = look(Dialect(), 0, reading(MANY, 500)(0, len(MANY)))
    assert looked[0] == len(MANY) + 500
    assert (found.outside.records, found.inside.records) == (2_000, 2_000)


def test_neighbours_are_gathered_and_none_is_lost() -> None:
    fine = [Shard(10 * number, 10 * number + 10, number + 1, 1) for number in range(10)]
    assert gathered(fine, 2) == [Shard(0, 50, 1, 5), Shard(50, 100, 6, 5)]
    assert gathered(fine, 20) == fine
    assert gathered([Shard(0, 90, 1, 9), *fine[9:]], 4) == [Shard(0, 90, 1, 9), Shard(90, 100, 10, 1)]


def test_an_aligned_place_is_behind_a_line_end_that_nothing_escapes() -> None:
    assert aligned(Dialect(), [b"a", b"b\nc"]) == 3
    assert aligned(Dialect(), [b"\n", b"b\nc"]) == 3, "what is before the first byte is not known"
    assert aligned(Dialect(backslash=True), [b"a\\", b"\nb\n", b"c"]) == 5
    assert aligned(Dialect(end=b"\r"), [b"a\nb\rc"]) == 4
    assert aligned(Dialect(), [b"ab"]) is None
    assert aligned(Dialect(), []) is None


def test_a_look_knows_nothing_of_what_is_before() -> None:
    found = look(Dialect(), 100, [b'a",b\n"c"\n'])
    assert (found.outside.records, found.outside.first) == (2, 5)
    assert (found.inside.records, found.inside.first) == (2, 5)
    assert isinstance(found, Range)
