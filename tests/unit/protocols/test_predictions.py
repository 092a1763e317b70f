"""Cells of predictions as the scored file has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.files.jsontext import Number
from scoring.protocols.predictions import field, names_of, written

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(st.sampled_from('ab é,;"\r\n\ud800'), max_size=4),
    st.sampled_from(["1", "-0.5e300", "NaN"]).map(Number),
    st.lists(st.booleans(), max_size=2),
)


@pytest.mark.parametrize("delimiter", [b",", b";"])
@given(
    cells=st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=4)
    )
)
def test_cells_looked_at_together_are_written_as_each_by_itself(delimiter: bytes, cells: list[list[Any]]) -> None:
    names = names_of(len(cells[0]) if cells else 1)
    expected = [delimiter.join(field(value, delimiter) for value in row) for row in cells]
    assert written(names, cells, delimiter) == (names, expected)
