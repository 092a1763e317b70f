"""Columns of the file and columns of the model, side by side."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.files.joining import joined, new_names, quoted


@pytest.mark.parametrize(
    ("own", "names", "columns"),
    [
        ([b"a", b"b"], ["p"], [b"p"]),
        ([b"p", b"b"], ["p", "q"], [b"p_model", b"q"]),
        ([b"p", b"p_model"], ["p"], [b"p_model_model"]),
        ([b"a"], ["p", "p"], [b"p", b"p_model"]),
        ([b"a"], ["\ud800"], [b"?"]),
    ],
)
def test_the_models_columns_get_names_that_the_file_does_not_have(
    own: list[bytes], names: list[str], columns: list[bytes]
) -> None:
    assert new_names(own, names) == columns


def test_records_and_predictions_are_joined_line_by_line() -> None:
    assert joined([b"1;a", b"2;b"], [b"x", b"y"], b";", b"\r\n") == b"1;a;x\r\n2;b;y\r\n"
    with pytest.raises(ValueError, match="1 predictions are not for 2"):
        joined([b"1", b"2"], [b"x"], b",", b"\n")


@given(st.text(), st.sampled_from(",;\t|"))
def test_a_quoted_field_is_read_as_it_was(text: str, delimiter: str) -> None:
    line = quoted(text.encode(), delimiter.encode()).decode()
    assert list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter)) == ([[text]] if text else [])
