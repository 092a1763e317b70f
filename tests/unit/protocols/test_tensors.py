"""Columns of a file and inputs of a model: what goes where."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import InvalidFile, ModelFailed
from scoring.files import jsontext
from scoring.protocols import tensors
from scoring.protocols.tensors import Fit, Input, Plan

A, B, Q, ROW = Input("a", "FP64", (1,)), Input("b", "BYTES"), Input("q", "FP32"), Input("x", "FP32", (2,))


def request(of: Plan, *rows: Any, is_json: bool = False) -> dict[str, Any]:
    fit = Fit(of, is_json=is_json)
    document: dict[str, Any] = json.loads(tensors.body(of, [fit.elements(row) for row in rows]))
    return document


def tensor(name: str, shape: list[int], datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def test_inputs_are_read_from_the_metadata() -> None:
    listed = [
        {"name": "a", "datatype": "fp64", "shape": [-1, 1], "parameters": {"content_type": "np"}},
        {"name": "b", "datatype": "BYTES", "shape": ["-1"]},
        {"name": "rows", "datatype": "FP32", "shape": [-1, -1]},
    ]
    assert tensors.inputs_of({"inputs": listed}, "m") == (A, B, Input("rows", "FP32", (-1,)))
    assert tensors.inputs_of({"inputs": []}, "m") == tensors.inputs_of({}, "m") == ()


@pytest.mark.parametrize(
    "listed",
    [
        [{"name": "a", "datatype": "FP64", "shape": [4]}],
        [{"name": "a", "datatype": "FP64", "shape": [1, 4]}],
        [{"name": "a", "datatype": "FP64", "shape": []}],
        [{"name": "a", "datatype": "FP64", "shape": [-1, 0]}],
        [{"name": "a", "datatype": "STRING", "shape": [-1]}],
        [{"name": "a", "datatype": "FP64"}],
        ["a"],
        {"a": "FP64"},
    ],
)
def test_inputs_that_records_cannot_fill_are_a_failure_of_the_model(listed: Any) -> None:
    with pytest.raises(ModelFailed, match="of the model wine cannot be filled with records") as failed:
        tensors.inputs_of({"inputs": listed}, "wine")
    assert "first dimension" in failed.value.remedy


def test_columns_go_into_the_inputs_of_their_names_whatever_else_there_is() -> None:
    of = tensors.plan((A, B), ["b", "id", "a"], is_named=True)
    assert request(of, ["x", "1", "0.50"], ["", "2", ""]) == {
        "inputs": [tensor("a", [2, 1], "FP64", [0.5, None]), tensor("b", [2], "BYTES", ["x", None])]
    }


@pytest.mark.parametrize(
    "record", ["1.50,-2", "0,0.10", "1,", "+1,2", "1e3,2", "a,2", '"1",2', "1234567890123456,2", " 1,2"]
)
@pytest.mark.parametrize(
    "of", [Plan((ROW,), ("p", "q"), is_matrix=True), tensors.plan((A, Q), ["a", "q"], is_named=True)]
)
def test_a_record_that_is_taken_as_it_is_says_the_same_as_its_fields(of: Plan, record: str) -> None:
    short = Fit(of).as_it_is(record.encode())
    assert (short is not None) == (record in ("1.50,-2", "0,0.10"))
    assert short in (None, Fit(of).elements(record.split(",")) if short else None)


@pytest.mark.parametrize(
    "of",
    [
        tensors.plan((Q, A), ["a", "q"], is_named=True),
        tensors.plan((A,), ["a", "q"], is_named=True),
        Plan((Input("x", "FP16", (2,)),), ("a", "q"), is_matrix=True),
        Plan((Input("x", "INT8", (2,)),), ("a", "q"), is_matrix=True),
    ],
)
def test_no_record_is_taken_as_it_is_whose_fields_have_to_be_looked_at(of: Plan) -> None:
    assert Fit(of).as_it_is(b"1,2") is None


def test_a_record_of_json_is_never_taken_as_it_is() -> None:
    assert Fit(tensors.plan((A, Q), ["a", "q"], is_named=True), is_json=True).as_it_is(b"1.50,-2") is None


@pytest.mark.parametrize("shape", [(2,), (-1,)])
@pytest.mark.parametrize("is_named", [True, False])
def test_all_columns_go_into_the_one_input_that_takes_rows(shape: tuple[int, ...], is_named: bool) -> None:
    of = tensors.plan((Input("x", "FP32", shape),), ["p", "q"], is_named=is_named)
    assert request(of, ["1", "2"], ["3", "4"]) == {"inputs": [tensor("x", [2, 2], "FP32", [1, 2, 3, 4])]}


def test_lists_of_json_go_into_inputs_of_their_shape() -> None:
    deep = Input("d", "INT8", (2, 1))
    of = tensors.plan((ROW, deep), ["x", "d"], is_named=True, is_json=True)
    row = {"x": [jsontext.Number("1.0"), None], "d": [[jsontext.Number("3")], [jsontext.Number("4")]], "more": True}
    assert request(of, row, is_json=True) == {
        "inputs": [tensor("x", [1, 2], "FP32", [1.0, None]), tensor("d", [1, 2, 1], "INT8", [3, 4])]
    }
    for wrong in ([None], None, [None, [None]], jsontext.Number("1")):
        with pytest.raises(ValueError, match=r"x is .* not the shape"):
            Fit(of, is_json=True).elements({**row, "x": wrong})


@pytest.mark.parametrize(
    ("inputs", "columns", "is_named", "sentence"),
    [
        ((ROW,), ["a", "b", "c"], True, "'x' takes 2 columns, but it is sent 3 (a, b, c)"),
        ((ROW,), ["0"], False, "'x' takes 2 columns, but it is sent 1."),
        ((A, B), ["0", "1"], False, "no header, and the model's inputs have names (a, b)"),
        ((Input("0", "BYTES"), Input("1", "BYTES")), ["0", "1"], False, "no header, and the model's inputs have names"),
        ((A, B), ["a", "B"], True, "an input 'b', but no column that is sent is called so (a, B)"),
        ((A, B), ["a", "b", "a"], True, "Two columns are called 'a'"),
        ((A, ROW), ["a", "x"], True, "'x' has the shape [-1, 2]: a column cannot fill it"),
        ((Input("x", "FP32", (2, 2)),), ["x"], True, "'x' has the shape [-1, 2, 2]: a column cannot fill it"),
    ],
)
def test_what_cannot_be_told_apart_is_an_error_in_words(
    inputs: tuple[Input, ...], columns: list[str], is_named: bool, sentence: str
) -> None:
    with pytest.raises(InvalidFile) as refused:
        tensors.plan(inputs, columns, is_named=is_named)
    assert sentence in refused.value.summary
    assert "drop" in refused.value.remedy


def test_a_list_of_one_is_the_value_of_an_input_of_one() -> None:
    of = tensors.plan((A,), ["a"], is_named=True, is_json=True)
    for value in (jsontext.Number("1.5"), [jsontext.Number("1.5")]):
        assert request(of, {"a": value}, is_json=True) == {"inputs": [tensor("a", [1, 1], "FP64", [1.5])]}


def test_a_list_of_any_length_fills_no_input_of_its_own() -> None:
    """The next record's may have another length."""
    with pytest.raises(InvalidFile, match=r"'x' has the shape \[-1, -1\]: a column cannot fill it"):
        tensors.plan((A, Input("x", "FP32", (-1,))), ["a", "x"], is_named=True, is_json=True)


def test_a_value_that_does_not_fit_is_told_with_its_column() -> None:
    of = tensors.plan((ROW,), ["p", "q"], is_named=True)
    with pytest.raises(ValueError, match=r'^q is "abc", which is no FP32\.$'):
        Fit(of).elements(["1", "abc"])


def test_a_model_that_says_nothing_of_its_inputs_gets_columns_of_numbers_and_of_text() -> None:
    of = tensors.guessed(["n", "t"], [["1", "a"], ["", "2"]], is_named=True)
    assert request(of, ["2.50", "7"]) == {
        "inputs": [tensor("n", [1, 1], "FP64", [2.5]), tensor("t", [1, 1], "BYTES", ["7"])],
        "parameters": {"content_type": "pd"},
    }
    with pytest.raises(ValueError, match='n is "b", but only numbers at the beginning'):
        Fit(of).elements(["b", "a"])


def test_columns_of_numbers_without_names_are_a_matrix() -> None:
    of = tensors.guessed(["0", "1"], [["1", "2"]], is_named=False)
    assert request(of, ["3", ""]) == {"inputs": [tensor("input-0", [1, 2], "FP64", [3, None])]}
    assert not tensors.guessed(["0", "1"], [["1", "a"]], is_named=False).is_matrix
    assert not tensors.guessed(["a", "b"], [["1", "2"]], is_named=True).is_matrix, "names are the model's to know"


def test_columns_of_one_name_cannot_be_guessed() -> None:
    with pytest.raises(InvalidFile, match="Two columns are called 'a'"):
        tensors.guessed(["a", "a"], [], is_named=True)


def test_a_value_of_json_that_the_first_record_lacks_is_bad_where_all_are_sent() -> None:
    first = {"a": jsontext.Number("1"), "b": True}
    of = tensors.guessed(["a", "b"], [first], is_named=True, is_json=True)
    assert [one.datatype for one in of.inputs] == ["FP64", "BOOL"]
    for each in (of, Plan((ROW,), ("a", "b"), is_matrix=True)):
        with pytest.raises(ValueError, match="a value called 'c'"):
            Fit(each, is_json=True).elements({**first, "c": None})


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.text(max_size=5), min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(TABLES, st.booleans())
def test_no_value_changes_its_place_or_its_record(table: list[list[str]], is_matrix: bool) -> None:
    columns = [f"c{place}" for place in range(len(table[0]))]
    single = (Input("all", "BYTES", (len(columns),)),)
    inputs = single if is_matrix else tuple(Input(name, "BYTES", (1,)) for name in reversed(columns))
    document = request(tensors.plan(inputs, columns, is_named=True), *table)
    data = [one["data"] for one in document["inputs"]]
    width = len(columns)
    found = (
        [data[0][start : start + width] for start in range(0, len(data[0]), width)]
        if is_matrix
        else zip(*data, strict=True)
    )
    expected = [[value or None for value in row] for row in table]
    assert [list(row) if is_matrix else list(row)[::-1] for row in found] == expected
