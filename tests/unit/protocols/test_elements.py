"""What each type of the Open Inference Protocol makes of a value, and what it refuses."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.files import jsontext
from scoring.protocols import elements


@pytest.mark.parametrize(
    ("datatype", "value", "found"),
    [
        ("FP64", "5.10", "5.10"),
        ("FP64", "0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("FP64", " +.5 ", "0.5"),
        ("FP64", "007", "7.0"),
        ("FP64", "1.", "1.0"),
        ("FP64", "1e3", "1e3"),
        ("FP64", "", "null"),
        ("FP64", " ", "null"),
        ("FP64", "NaN", "null"),
        ("FP32", "3.4028235e38", "3.4028235e38"),
        ("FP16", "65519", "65519"),
        ("FP64", jsontext.Number("1.50"), "1.50"),
        ("FP64", None, "null"),
        ("INT8", "-128", "-128"),
        ("UINT8", "255.00", "255"),
        ("UINT64", "18446744073709551615", "18446744073709551615"),
        ("INT64", " +07 ", "7"),
        ("INT32", jsontext.Number("3.0"), "3"),
        ("BOOL", "True", "true"),
        ("BOOL", "0", "false"),
        ("BOOL", False, "false"),
        ("BYTES", 'say "ü"\n', json.dumps('say "ü"\n')),
        ("BYTES", " ", '" "'),
        ("BYTES", "007", '"007"'),
        ("BYTES", "", "null"),
        ("BYTES", None, "null"),
        ("BYTES", jsontext.Number("5"), '"5"'),
    ],
)
def test_a_value_is_an_element_as_it_is_written(datatype: str, value: Any, found: str) -> None:
    assert elements.element(datatype)(value) == found


@pytest.mark.parametrize(
    ("datatype", "value", "sentence"),
    [
        ("FP64", "abc", '"abc", which is no FP64'),
        ("FP64", "1,5", "no FP64"),
        ("FP64", "1e999", "no FP64"),
        ("FP64", "inf", "no FP64"),
        ("FP64", "1_000", "no FP64"),
        ("FP64", "٣", "no FP64"),
        ("FP64", "0x10", "no FP64"),
        ("FP64", True, "true, which is no FP64"),
        ("FP64", {}, "no FP64"),
        ("FP32", "3.5e38", "no FP32"),
        ("FP16", "65520", "no FP16"),
        ("INT8", "128", '"128", which is no INT8'),
        ("INT8", "-129", "no INT8"),
        ("UINT8", "-1", "no UINT8"),
        ("INT64", "9223372036854775808", "no INT64"),
        ("INT64", "9" * 5_000, "no INT64"),
        ("INT64", "1.5", "no INT64"),
        ("INT64", "1e3", "no INT64"),
        ("INT64", "", "empty, and INT64 has no missing values"),
        ("INT64", None, "empty, and INT64 has no missing values"),
        ("BOOL", "", "empty, and BOOL has no missing values"),
        ("BOOL", "yes", "no BOOL"),
        ("BYTES", ["a"], "no BYTES"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_with_the_value(datatype: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        elements.element(datatype)(value)
    assert sentence in str(refused.value)


@given(st.text() | st.floats().map(str) | st.integers().map(str), st.sampled_from(elements.DATATYPES))
def test_no_element_is_another_value_than_what_was_written(text: str, datatype: str) -> None:
    try:
        found = json.loads(elements.element(datatype)(text))
    except ValueError as refused:
        assert f"no {datatype}" in str(refused) or "missing" in str(refused)
        return
    if found is None:
        assert text.strip().lower() in ("", "nan")
    elif datatype == "BYTES":
        assert found == text
    elif datatype == "BOOL":
        assert text.strip().lower() in (("true", "1") if found else ("false", "0"))
    else:
        assert math.isclose(float(text), found, rel_tol=0.0)


@pytest.mark.parametrize(
    ("values", "is_json", "datatype"),
    [
        (["1", "-2.5e3", ""], False, "FP64"),
        (["0", ".5", "10."], False, "FP64"),
        (["007", "1"], False, "BYTES"),
        (["12345678901234567"], False, "BYTES"),
        (["1", "a"], False, "BYTES"),
        (["1_0"], False, "BYTES"),
        (["nan"], False, "BYTES"),
        (["", " "], False, "BYTES"),
        ([jsontext.Number("1"), None], True, "FP64"),
        (["1"], True, "BYTES"),
        ([True, False, None], True, "BOOL"),
        ([None], True, "BYTES"),
    ],
)
def test_a_column_is_numbers_only_if_it_can_be_nothing_else(values: list[Any], is_json: bool, datatype: str) -> None:
    assert elements.type_of(values, is_json=is_json) == datatype


@pytest.mark.parametrize(
    ("datatype", "value", "is_json", "found"),
    [
        ("FP64", "1.5", False, "1.5"),
        ("FP64", " ", False, "null"),
        ("FP64", "007", False, None),
        ("FP64", "a", False, None),
        ("BYTES", "1", False, '"1"'),
        ("FP64", "1", True, None),
        ("BYTES", "1", True, '"1"'),
        ("BYTES", jsontext.Number("1"), True, None),
        ("BYTES", None, True, "null"),
        ("BOOL", True, True, "true"),
        ("BOOL", jsontext.Number("1"), True, None),
    ],
)
def test_a_value_is_held_to_what_the_beginning_of_the_file_has_told(
    datatype: str, value: Any, is_json: bool, found: str | None
) -> None:
    make = elements.held(datatype, is_json=is_json)
    if found is not None:
        assert make(value) == found
        return
    with pytest.raises(ValueError, match="at the beginning of the file"):
        make(value)
