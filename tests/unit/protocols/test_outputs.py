"""What is made of the outputs in a model's answer."""

from typing import Any

import pytest

from scoring.protocols import outputs
from scoring.protocols.outputs import Output


def tensor(name: str, shape: list[int], datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def read(*listed: Any) -> list[Output]:
    return outputs.read({"outputs": list(listed)})


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_data_may_be_flat_or_nested(data: list[Any]) -> None:
    (found,) = read(tensor("p", [2, 3], "INT64", data))
    assert (found.columns(), found.elements) == (["p_0", "p_1", "p_2"], [1, 2, 3, 4, 5, 6])
    assert found.values() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("shape", [[2], [2, 1], [2, 1, 1]])
def test_one_value_of_each_record_is_a_column_of_the_outputs_name(shape: list[int]) -> None:
    (found,) = read(tensor("p", shape, "BYTES", ["a", "b"]))
    assert (found.columns(), found.values()) == (["p"], ["a", "b"])


def test_deeper_tensors_keep_their_shape_in_json() -> None:
    (found,) = read(tensor("p", [1, 2, 2], "INT64", [1, 2, 3, 4]))
    assert (found.columns()[-1], found.values()) == ("p_3", [[[1, 2], [3, 4]]])


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"outputs": []}, "no outputs"),
        ({"outputs": [tensor("p", [2], "FP64", [1])]}, "p has 1 elements in the shape [2]"),
        ({"outputs": [tensor("p", [], "FP64", [1])]}, "in the shape []"),
        ({"outputs": [tensor("p", [-1, -1], "FP64", [1])]}, "in the shape [-1, -1]"),
        ({"outputs": [tensor("p", [2, 0], "FP64", [])]}, "p has no value for a record, in the shape [2, 0]"),
        ({"outputs": [tensor("p", [0, 2, 0], "FP64", [])]}, "p has no value for a record, in the shape [0, 2, 0]"),
        ({"outputs": [tensor("p", [1], "FP64", [1]), tensor("p", [1], "FP64", [2])]}, "two outputs are called p"),
        ({"outputs": [tensor("p", [2], "FP64", [1, [2]])]}, "nested unevenly"),
        ({"outputs": [tensor("p", [1], "FP64", [1]), tensor("q", [2], "FP64", [1, 2])]}, "different numbers of rows"),
    ],
)
def test_an_answer_that_does_not_add_up_is_refused(document: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        outputs.read(document)
    assert sentence in str(refused.value)
