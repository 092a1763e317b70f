"""Columns of the file and columns of the model, side by side."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.files.joining import joined, joined_header, quoted


@pytest.mark.parametrize(
    ("header", "names", "joined"),
    [
        (b"a,b\n", ["p"], b"a,b,p\n"),
        (b"a,b", ["p"], b"a,b,p\n"),
        (b"\xef\xbb\xbfp,b\r\n", ["p", "q"], b"\xef\xbb\xbfp,b,p_model,q\r\n"),
        (b'"p", q\n', ["p", "q"], b'"p", q,p_model,q_model\n'),
        (b"p,p_model\n", ["p"], b"p,p_model,p_model_model\n"),
        (b"a\n", ["p", "p"], b"a,p,p_model\n"),
        (b"a\n", ["x,y", 'say "z"', "\ud800"], b'a,"x,y","say ""z""",?\n'),
    ],
)
def test_the_header_gets_the_models_columns_under_new_names(header: bytes, names: list[str], joined: bytes) -> None:
    assert joined_header(header, names, b",") == joined


@pytest.mark.parametrize(
    ("header", "delimiter", "joined"),
    [
        (b"a;p\r\n", b";", b"a;p;p_model;x,y\r\n"),
        (b"a\tb\n", b"\t", b"a\tb\tp\tx,y\n"),
        (b"p;q\n", b",", b'p;q,p,"x,y"\n'),
    ],
)
def test_the_header_is_joined_with_the_delimiter_of_the_file(header: bytes, delimiter: bytes, joined: bytes) -> None:
    assert joined_header(header, ["p", "x,y"], delimiter) == joined


def test_records_and_predictions_are_joined_line_by_line() -> None:
    assert joined([b"1;a", b"2;b"], [b"x", b"y"], b";", b"\r\n") == b"1;a;x\r\n2;b;y\r\n"
    with pytest.raises(ValueError, match="shorter"):
        joined([b"1", b"2"], [b"x"], b",", b"\n")


@given(st.text(), st.sampled_from(",;\t|"))
def test_a_quoted_field_is_read_as_it_was(text: str, delimiter: str) -> None:
    line = quoted(text.encode(), delimiter.encode()).decode()
    assert list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter)) == ([[text]] if text else [])
