"""The files of the benchmarks: the same bytes from whatever offset they are read."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from bench import data


def content(file: data.File, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join(file.read(start, stop))


def test_a_file_is_a_csv_of_the_size_and_records_it_says() -> None:
    file = data.File.of(1 << 20)
    body = content(file)
    header, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert (len(body), len(rows)) == (file.size, file.records)
    assert file.size <= 1 << 20 < file.size + len(data.BLOCK)
    assert {len(row) for row in rows} == {len(header)}


def test_even_the_smallest_file_has_records() -> None:
    assert data.File.of(1).records == data.BLOCK_RECORDS


def test_its_name_says_it_all() -> None:
    file = data.File(7)
    assert data.File.named(f"incoming/{file.name}") == file


def test_chunks_are_of_a_mebibyte_at_most_whatever_the_size() -> None:
    chunks = data.File.of(10 << 30).read(5 << 30, (5 << 30) + (64 << 20))
    sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


_SIZE = data.File(9).size


@given(st.integers(0, _SIZE), st.integers(0, 2 * _SIZE))
def test_any_range_is_that_part_of_the_whole(start: int, stop: int) -> None:
    file = data.File(9)
    assert content(file, start, stop) == content(file)[start:stop]
