"""Bytes are UTF-8, or the first that is not is named, as Python's decoder has it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring.files import utf8
from scoring.files.utf8 import NotUtf8
from tests.examples import examples

TEXTS = st.lists(
    st.one_of(st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=3)),
    max_size=6,
).map(b"".join)


def first_wrong(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=TEXTS, places=st.lists(st.integers(0, 40), max_size=6), at_once=st.sampled_from([4, 5, 7, 64]))
def test_the_first_wrong_byte_is_named(
    monkeypatch: pytest.MonkeyPatch, data: bytes, places: list[int], at_once: int
) -> None:
    """However the bytes come, and however few are looked at at once."""
    monkeypatch.setattr(utf8, "_AT_ONCE_BYTES", at_once)
    expected, found, begun, offset = first_wrong(data), None, b"", 0
    try:
        for start, stop in itertools.pairwise([0, *sorted(min(place, len(data)) for place in places), len(data)]):
            begun = utf8.check_on(begun, data[start:stop])
            offset = stop
        found = len(data) - len(begun) if begun else None
    except NotUtf8 as error:
        found = offset + error.place
    assert found == expected
    if expected is None:
        utf8.check(data)
    else:
        with pytest.raises(NotUtf8) as caught:
            utf8.check(data)
        assert caught.value.place == expected
