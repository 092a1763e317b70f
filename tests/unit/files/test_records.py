"""Records of CSV: whatever Python's csv module writes is split where it would split it, in any chunks."""

import csv
import io
import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import ScoringFailed
from scoring.files import records
from scoring.files.records import Blocks, Counter

# Whatever makes CSV hard, often.
TEXT = st.characters(codec="utf-8", exclude_characters="\ufeff")
FIELDS = st.one_of(st.text('a",;\n\r ü\x00', max_size=6), st.text(TEXT, max_size=6), st.integers().map(str))
ROWS = st.lists(st.lists(FIELDS, min_size=0, max_size=4), max_size=12)
GARBAGE = st.text(alphabet='a",\n\r', max_size=60).map(str.encode)
LINES = st.lists(st.sampled_from([b"a", b'"', b",", b"\n", b"\r\n"]), max_size=60).map(b"".join)


@st.composite
def documents(draw: st.DrawFn, delimiter: str = ",") -> bytes:
    """A CSV document: any fields, blank lines, either line end, with or without a BOM and a last line end."""
    rows, end = draw(ROWS), draw(st.sampled_from(["\n", "\r\n"]))
    # A bare carriage return is a line end to some readers and none to others; quoted, it is none to all.
    quoted = any("\r" in field for row in rows for field in row) or draw(st.booleans())
    output = io.StringIO(newline="")
    csv.writer(
        output, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    ).writerows(rows)
    text = output.getvalue()
    if draw(st.booleans()):
        text = text.removesuffix(end)
    # A BOM in front of a blank line, or of nothing, is a record to some readers and none to others.
    marked = text[:1] not in ("", "\r", "\n") and draw(st.booleans())
    return (records.BOM if marked else b"") + text.encode()


def parsed(data: bytes) -> list[list[str]]:
    """What Python's csv module reads; blank lines are no records."""
    return [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]


def unquoted(field: bytes) -> str:
    written = field.decode()
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


@st.composite
def cuts(draw: st.DrawFn, documents: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A document, and the same in chunks."""
    document = draw(documents)
    places = sorted(draw(st.lists(st.integers(0, len(document)), max_size=8)))
    edges = [0, *places, len(document)]
    return document, [document[start:end] for start, end in itertools.pairwise(edges)]


@given(documents())
def test_a_block_is_split_where_python_would_split_it(document: bytes) -> None:
    assert [parsed(record)[0] for record in records.split(document)] == parsed(document)


@given(documents())
def test_records_are_counted_as_python_would_count_them(document: bytes) -> None:
    assert records.count(document) == len(parsed(document))


@given(st.one_of(documents(), GARBAGE))
def test_counting_agrees_with_splitting_whatever_the_bytes(data: bytes) -> None:
    assert records.count(data) == len(records.split(data))


@given(st.one_of(documents(), GARBAGE))
def test_what_is_cut_off_is_whole(data: bytes) -> None:
    end = records.cut(data)
    assert data[:end].endswith(b"\n") or end == 0
    assert data[:end].count(b'"') % 2 == 0
    assert records.cut(data[end:]) == 0


@given(cuts(st.one_of(documents(), LINES)), st.integers(1, 200))
def test_blocks_hold_every_byte_in_order_and_split_no_record(cut: tuple[bytes, list[bytes]], size: int) -> None:
    document, chunks = cut
    blocks = Blocks(iter(chunks), size)
    header = blocks.header()
    begin = document.index(header) if header else len(document)
    assert document[:begin].strip(b"\r\n") == b"", "only blank lines are before the header"
    handed_out = list(blocks)
    assert header + b"".join(handed_out) == document[begin:]
    assert blocks.consumed == len(document)
    expected = records.split(document)
    assert [*records.split(header), *(record for block in handed_out for record in records.split(block))] == expected


@given(cuts(documents()), st.integers(1, 60), st.integers(1, 60))
def test_a_block_is_no_larger_than_asked_for_unless_its_first_record_is(
    cut: tuple[bytes, list[bytes]], first: int, then: int
) -> None:
    document, chunks = cut
    blocks = Blocks(iter(chunks), first)
    for number, block in enumerate(blocks):
        size = then if number else first
        assert len(block) <= size or records.first_end(block) in (0, len(block)), "or it is one record"
        blocks.size = then
    assert blocks.consumed == len(document)


@given(cuts(st.one_of(documents(), GARBAGE)))
def test_a_counter_passes_every_chunk_on_and_counts_all_records(cut: tuple[bytes, list[bytes]]) -> None:
    document, chunks = cut
    counter = Counter()
    assert list(counter.pass_on(chunks)) == chunks
    assert counter.records == len(records.split(document))


@given(cuts(st.one_of(documents(), GARBAGE)))
def test_a_count_goes_on_elsewhere_after_any_chunk(cut: tuple[bytes, list[bytes]]) -> None:
    document, chunks = cut
    counter = Counter()
    for chunk in chunks:
        counter = Counter(counter.records, counter.begun.decode().encode())
        next(counter.pass_on([chunk]))
    list(counter.pass_on([]))
    assert counter.records == len(records.split(document))


@given(st.sampled_from(",;\t").flatmap(lambda mark: st.tuples(st.just(mark), documents(mark))))
def test_fields_are_those_that_python_reads(delimited: tuple[str, bytes]) -> None:
    delimiter, document = delimited
    for record in records.split(document.removeprefix(records.BOM)):
        fields = records.fields(record, delimiter.encode())
        assert delimiter.encode().join(fields) == record
        assert list(map(unquoted, fields)) == next(
            csv.reader(io.StringIO(record.decode(), newline=""), delimiter=delimiter)
        )


@pytest.mark.parametrize(
    ("document", "header"),
    [
        (b"a,b\n1,2\n", b"a,b\n"),
        (b"a,b", b"a,b"),
        (b'"a\nb",c\r\n1,2', b'"a\nb",c\r\n'),
        (b"\n\r\na,b\n1,2", b"a,b\n"),
        (b"", b""),
        (b"\n\n", b""),
    ],
)
def test_the_header_is_the_first_record_with_its_line_end(document: bytes, header: bytes) -> None:
    for chunks in ([document], [document[at : at + 1] for at in range(len(document))]):
        assert Blocks(chunks, 10).header().strip(b"\n") == header.strip(b"\n")


def test_a_record_larger_than_a_block_comes_whole() -> None:
    long = b'"' + b"line\n" * 100 + b'",1\n'
    blocks = Blocks([b"h,i\n", long[:50], long[50:] + b"x,2\n"], 20)
    blocks.header()
    assert next(iter(blocks)).startswith(long)


# A quote that is never closed makes one record of the rest of a file; it must neither take hours nor all memory.
STRAY = b'5" pipe,1\n' + b"abc,def,ghi\n" * 500_000


def test_a_stray_quote_is_cut_in_no_time() -> None:
    began = time.monotonic()
    assert records.cut(STRAY) == 0
    assert records.cut(b"a\n" + STRAY) == 2
    assert time.monotonic() - began < 1


def stray_file(mebibytes: int) -> Iterator[bytes]:
    yield b'h,i\n1,2\n5" pipe,1\n'
    for _ in range(mebibytes):
        yield (b"abc,def,ghi\n" * 100_000)[: 1 << 20]


def test_a_stray_quote_ends_with_a_sentence_that_says_where() -> None:
    blocks = Blocks(stray_file(64), 1 << 20, start=1000)
    blocks.header()
    found = iter(blocks)
    with pytest.raises(ScoringFailed, match="The record at byte 1008 is larger than 16 MiB"):
        list(found)


def test_a_stray_quote_in_the_header_ends_with_the_same_sentence() -> None:
    with pytest.raises(ScoringFailed, match="The record at byte 0 is larger than 16 MiB"):
        Blocks((b'"a' if not number else b"a,b\n" * 100_000 for number in range(64)), 1 << 20).header()


def test_a_counter_keeps_nothing_of_a_record_that_never_ends() -> None:
    counter = Counter()
    longest = max(len(counter.begun) for _ in counter.pass_on(stray_file(4)))
    assert longest < 100
    assert counter.records == 3
