"""Records and fields of CSV: split, counted and cut where Python's csv module would, whatever the bytes."""

import csv
import io
import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scoring.errors import InvalidFile
from scoring.files import blocks
from scoring.files.blocks import Blocks, Counter
from scoring.files.dialect import RFC4180, Dialect
from tests.examples import examples

DIALECTS = st.builds(
    Dialect,
    st.sampled_from([b",", b";", b"\t", b"|"]),
    st.booleans(),
    st.sampled_from([b"\n", b"\r"]),
)
# Whatever makes CSV hard, often; D is the delimiter, E the end of a line.
WORDS = ["a", "b", "ü", '"', '""', "D", "E", "\r\n", " ", "\\", 'E"', 'D"', '"D', '"E', '\\"', "\\D", '5" x']
TEXTS = st.one_of(st.lists(st.sampled_from(WORDS), max_size=40).map("".join), st.text(max_size=30))


@st.composite
def documents(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """Any text, with one kind of line end; no quote in it stays open."""
    dialect = draw(DIALECTS)
    text = draw(TEXTS).replace("D", dialect.delimiter.decode())
    text = text.replace("\r\n", "E").replace("\r", "E").replace("\n", "E")
    text = text.replace("E", dialect.end.decode() if dialect.end == b"\r" else draw(st.sampled_from(["\n", "\r\n"])))
    data = text.encode("utf-8", "replace")
    assume(not dialect.is_open(dialect.pieces(data)))
    return dialect, data


def parsed(dialect: Dialect, data: bytes) -> list[list[str]]:
    """What Python's csv module reads; blank lines are no records."""
    escape = "\\" if dialect.backslash else None
    reader = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=dialect.delimiter.decode(), escapechar=escape)
    return [row for row in reader if not is_blank(dialect, row)]


def is_blank(dialect: Dialect, row: list[str]) -> bool:
    return len(row) < 2 and dialect.is_blank("".join(row).encode())


@settings(max_examples=examples(250))
@given(documents())
def test_records_and_fields_are_those_that_python_reads(document: tuple[Dialect, bytes]) -> None:
    dialect, data = document
    found = [[value.decode() for value in dialect.values(record)] for record in dialect.records(data)]
    # A field that is quoted and blank is a record, and looks to csv.reader as a blank line does.
    assert [row for row in found if not is_blank(dialect, row)] == parsed(dialect, data)
    for record in dialect.records(data):
        fields = dialect.fields(record)
        assert dialect.delimiter.join(fields) == record, "as they are written"
        assert len(fields) == len(dialect.values(record))


@settings(max_examples=examples(150))
@given(documents())
def test_any_beginning_is_cut_where_a_record_ends(document: tuple[Dialect, bytes]) -> None:
    dialect, data = document
    lines = dialect.lines(data)
    for size in range(len(data) + 1):
        cut = dialect.cut(data[:size])
        assert dialect.lines(data[:cut]) + dialect.lines(data[cut:]) == lines
        assert dialect.cut(data[cut:size]) == 0
    first = dialect.first_end(data)
    assert len(dialect.lines(data[:first])) == 1 if first else dialect.cut(data) == 0


@st.composite
def in_chunks(draw: st.DrawFn) -> tuple[Dialect, bytes, list[bytes]]:
    dialect, data = draw(documents())
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return dialect, data, [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)])]


@given(in_chunks(), st.integers(1, 200))
def test_blocks_hold_every_byte_in_order_and_split_no_record(
    given_: tuple[Dialect, bytes, list[bytes]], size: int
) -> None:
    dialect, data, chunks = given_
    cut = Blocks(iter(chunks), size, dialect)
    first = cut.first()
    assert not first or first in data
    handed_out = list(cut)
    assert data.endswith(first + b"".join(handed_out))
    assert cut.position == len(data)
    found = [*dialect.records(first), *(record for block in handed_out for record in dialect.records(block))]
    assert found == dialect.records(data)
    assert all(len(block) <= size or dialect.first_end(block) in (0, len(block)) for block in handed_out)
    starts = [start for block in handed_out for start in dialect.starts(block)]
    assert len(starts) == sum(len(dialect.records(block)) for block in handed_out)


@given(in_chunks())
def test_the_first_record_may_be_looked_at_and_left_there(given_: tuple[Dialect, bytes, list[bytes]]) -> None:
    dialect, data, chunks = given_
    cut = Blocks(iter(chunks), 50, dialect)
    first = cut.first(keep=True)
    assert dialect.records(first) == dialect.records(data)[:1]
    assert [record for block in cut for record in dialect.records(block)] == dialect.records(data)


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(in_chunks(), st.sampled_from([0, 128]))
def test_a_count_goes_on_elsewhere_after_any_chunk(
    monkeypatch: pytest.MonkeyPatch, given_: tuple[Dialect, bytes, list[bytes]], long_bytes: int
) -> None:
    """Whether its lines are taken for long or for short ones."""
    monkeypatch.setattr(blocks, "_LONG_BYTES", long_bytes)
    dialect, data, chunks = given_
    counter = Counter(dialect)
    for chunk in chunks:
        counter = Counter(dialect, counter.records, counter.begun.decode().encode())
        assert list(itertools.islice(counter.pass_on([chunk]), 1)) == [chunk]
        assert len(counter.begun) < 4
    list(counter.pass_on([]))
    assert counter.records == len(dialect.records(data))


@settings(max_examples=examples(200))
@given(documents())
def test_quotes_as_rfc_4180_has_them_are_found_without_parsing(document: tuple[Dialect, bytes]) -> None:
    """Or nothing is said of them."""
    dialect, data = document
    quotes = dialect.regular_quotes(data)
    if quotes is not None:
        sections = [section.span() for section in dialect.sections(data)]
        assert list(zip(quotes[::2], quotes[1::2], strict=True)) == [(start, end - 1) for start, end in sections]
        assert not dialect.is_irregular(dialect.pieces(data))
    elif not (dialect.backslash and b"\\" in data):
        pieces = dialect.pieces(data)
        assert dialect.is_irregular(pieces) or b'"' in b"".join(pieces[::2]) or data.count(b'"') >= 64


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'1,5" pipe\n2,6" pipe\n', [b'1,5" pipe', b'2,6" pipe']),
        (b'1,"a"b"c\n2,x\n', [b'1,"a"b"c', b"2,x"]),
        (b"a\r\r\nb\r\n", [b"a", b"b"]),
        (b" \n\t\n1\n", [b"1"]),
        (b'""\n1\n', [b'""', b"1"]),
    ],
)
def test_what_people_have(data: bytes, records: list[bytes]) -> None:
    assert RFC4180.records(data) == records


# A quote that is never closed makes one record of the rest of a file; it must neither take hours nor all memory.
def stray_file(mebibytes: int) -> Iterator[bytes]:
    yield b'h,i\n1,2\n"5 pipe,1\n'
    for _ in range(mebibytes):
        yield (b"abc,def,ghi\n" * 100_000)[: 1 << 20]


def test_a_quote_that_is_never_closed_ends_with_a_sentence_that_says_where() -> None:
    began = time.monotonic()
    cut = Blocks(stray_file(64), 1 << 20, start=1000)
    cut.first()
    cut.row = 2
    with pytest.raises(InvalidFile, match="Row 2, at byte 1008, begins a quote that is never closed"):
        list(cut)
    assert time.monotonic() - began < 10


def test_a_counter_keeps_nothing_of_a_record_that_never_ends() -> None:
    counter = Counter()
    assert max(len(counter.begun) for _ in counter.pass_on(stray_file(4))) < 4
    assert counter.records == 3
