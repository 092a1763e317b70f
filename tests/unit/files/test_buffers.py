"""A part in memory of its own: what was written is what is read, however it is asked for."""

from __future__ import annotations

import io
import zlib

from hypothesis import given
from hypothesis import strategies as st

from scoring.files import buffers
from scoring.files.buffers import Buffer

CONTENT = bytes(range(256)) * 12_000


@given(sizes=st.lists(st.integers(0, 1_500_000), max_size=6), expected=st.integers(0, 3_000_000))
def test_what_was_written_is_read(sizes: list[int], expected: int) -> None:
    buffer, whole = Buffer(expected), b""
    for size in sizes:
        buffer.write(CONTENT[-size:] if size else b"")
        whole += CONTENT[-size:] if size else b""
    assert (len(buffer), buffer.crc32, buffer.getvalue()) == (len(whole), zlib.crc32(whole), whole)
    assert (buffer.read(), buffer.read(), buffer.read(1)) == (whole, b"", b"")
    buffer.seek(0)
    assert b"".join(iter(lambda: buffer.read(16 << 10), b"")) == whole


def test_it_is_read_by_much_and_from_where_it_is_wound_back_to() -> None:
    """As botocore does before it tries again."""
    buffer = Buffer()
    buffer.write(CONTENT)
    assert buffer.read(10) == CONTENT[: buffers._READ_BYTES]
    assert buffer.tell() == buffers._READ_BYTES
    assert len(buffer.read(1 << 20)) == buffers._READ_BYTES
    assert buffer.getvalue() == CONTENT
    assert (buffer.seek(100), buffer.tell()) == (100, 100)
    assert io.BytesIO(buffer.read()).getvalue() == CONTENT[100:]
