"""Inputs of the Open Inference Protocol: which columns of a file go where, and the request that they make (pure).

Source: "Open Inference Protocol Specification", version 2, HTTP/REST: Model Metadata, Inference Request JSON Object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scoring.errors import InvalidFile, ModelFailed
from scoring.protocols import elements
from scoring.protocols.elements import NUMBER

_SHOWN = 30

Row = Sequence[Any] | dict[str, Any]
"""A record: the fields of CSV in the order of the columns, or an object of JSON."""


@dataclass(frozen=True)
class Input:
    """An input of a model. `shape` is what it has of each record: () or (1,) for one value, (n,) for n of them in a row; -1
    is any number.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """How many elements it has of each record; -1 for any number."""
        return -1 if -1 in self.shape else math.prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """What goes where: each of the `columns` that are sent into the input of its name or, as a `is_matrix`, all of them into
    the only one.

    Where the model says nothing of its inputs (`is_guessed`), `content_type` tells MLServer how to take them together.
    """

    inputs: tuple[Input, ...]
    columns: tuple[str, ...]
    is_matrix: bool = False
    is_guessed: bool = False
    content_type: str = ""


def inputs_of(metadata: Mapping[str, Any], model: str) -> tuple[Input, ...]:
    """The inputs that a model's metadata lists; none where it says nothing of them.

    Raises
    ------
    ModelFailed
        They cannot be filled with records.
    """
    listed = metadata.get("inputs") or ()
    try:
        return tuple(_input(entry) for entry in listed)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFailed(
            f"The inputs of the model {model} cannot be filled with records: {error}",
            "The model's metadata must give each input a name, a datatype and a shape whose first dimension, that of the "
            "records, is -1. Correct it in the model's configuration, push the image and drop the file again.",
            inputs=json.dumps(listed)[:2_000],
        ) from error


def _input(entry: Any) -> Input:
    name, datatype, shape = str(entry["name"]), str(entry["datatype"]).upper(), [int(size) for size in entry["shape"]]
    if datatype not in elements.DATATYPES:
        raise ValueError(f"{name} has the datatype {datatype}.")
    if not shape or shape[0] != -1 or any(size < 1 for size in shape[1:] if size != -1):
        raise ValueError(f"{name} has the shape {shape}.")
    return Input(name, datatype, tuple(shape[1:]))


def plan(inputs: Sequence[Input], columns: Sequence[str], *, is_named: bool, is_json: bool = False) -> Plan:
    """Columns → inputs: each by its name, or all columns to the one input that takes rows of a table.

    Parameters
    ----------
    columns
        What is sent of the file; without names (`is_named`), their positions.
    is_json
        Whether a value may be a list, for an input that has several elements of each record.

    Raises
    ------
    InvalidFile
        It cannot be told which column belongs where.
    """
    names = [one.name for one in inputs]
    fit = [one.width == 1 or (is_json and one.width > 1) for one in inputs]
    if is_named and all(fit) and set(names) <= set(columns):
        if twice := [name for name in names if columns.count(name) > 1]:
            raise InvalidFile(f"Two columns are called {twice[0]!r}, as an input of the model is.")
        return Plan(tuple(inputs), tuple(columns))
    if len(inputs) == 1 and len(inputs[0].shape) == 1:
        if inputs[0].width not in (-1, len(columns)):
            raise InvalidFile(
                f"The model's input {names[0]!r} takes {inputs[0].width} columns, but it is sent {len(columns)}"
                f"{_listed(columns) if is_named else ''}.",
                "Leave out what the model has not seen in training with the tag exclude, or choose with include, and drop "
                "the file again.",
            )
        return Plan((replace(inputs[0], shape=(len(columns),)),), tuple(columns), is_matrix=True)
    if not is_named:
        raise InvalidFile(
            f"The file has no header, and the model's inputs have names{_listed(names)}: it cannot be told which column "
            "belongs to which.",
            "Write a header with these names, and drop the file again.",
        )
    if missing := [name for name in names if name not in columns]:
        raise InvalidFile(
            f"The model has an input {missing[0]!r}, but no column that is sent is called so{_listed(columns)}.",
            f"Name the columns as the model's inputs are called{_listed(names)}, and drop the file again.",
        )
    odd = inputs[fit.index(False)]
    raise InvalidFile(
        f"The model's input {odd.name!r} has the shape {[-1, *odd.shape]}: a column cannot fill it.",
        "Write JSON Lines with a list of that shape under each such name, and drop the file again.",
    )


def _listed(names: Sequence[str]) -> str:
    return f" ({some(names)})"


def some(names: Sequence[str]) -> str:
    """Names for a person, the first of many."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def guessed(columns: Sequence[str], rows: Sequence[Row], *, is_named: bool, is_json: bool = False) -> Plan:
    """The plan for a model that says nothing of its inputs: a column is numbers if these rows have nothing else in it.

    Values are held to that afterwards, so that no column is one thing in one batch and another in the next.

    Raises
    ------
    InvalidFile
        Two columns have one name.
    """
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise InvalidFile(f"Two columns are called {twice[0]!r}, and the model takes them by their names.")
    table = [_values(row, columns) for row in rows]
    types = [elements.type_of([row[place] for row in table], is_json=is_json) for place in range(len(columns))]
    if not is_named and set(types) == {NUMBER}:
        return Plan((Input("input-0", NUMBER, (len(columns),)),), tuple(columns), is_matrix=True, is_guessed=True)
    inputs = tuple(Input(name, datatype, (1,)) for name, datatype in zip(columns, types, strict=True))
    return Plan(inputs, tuple(columns), is_guessed=True, content_type="pd")


def _values(row: Row, columns: Sequence[str]) -> Sequence[Any]:
    return [row.get(name) for name in columns] if isinstance(row, dict) else row


class Fit:
    """Makes elements of a plan's inputs of records."""

    def __init__(self, of: Plan, *, is_json: bool = False) -> None:
        self._takes_all, self._known = of.is_matrix or of.is_guessed, frozenset(of.columns)
        self._separator = "," if of.is_matrix else "\n"
        row = of.inputs[0]
        parts = (
            [(name, replace(row, shape=())) for name in of.columns]
            if of.is_matrix
            else [(o.name, o) for o in of.inputs]
        )
        places = list(range(len(parts))) if of.is_matrix else [of.columns.index(name) for name, _ in parts]
        # What it is called, where it is in a record of CSV, its shape, whether that is one value, and what makes elements.
        self._parts = [
            (
                name,
                place,
                one.shape,
                one.width == 1,
                elements.held(one.datatype, is_json=is_json) if of.is_guessed else elements.element(one.datatype),
            )
            for place, (name, one) in zip(places, parts, strict=True)
        ]
        types = {one.datatype for one in of.inputs}
        self._is_record = not is_json and types <= {"FP32", "FP64"} and places == list(range(len(of.columns)))

    def as_it_is(self, record: bytes) -> bytes | None:
        """The same as `elements` of a record of CSV that holds what they are already; None of any other.

        Most records of numbers do, and to take them apart costs ten times as much.
        """
        if not self._is_record or not elements.are_numbers(record):
            return None
        return record if self._separator == "," else record.replace(b",", b"\n")

    def elements(self, row: Row) -> bytes:
        """The JSON of a record's elements: a matrix's between commas, else each input's on a line.

        Raises
        ------
        ValueError
            What is wrong with it.
        """
        if isinstance(row, dict) and self._takes_all and (extra := row.keys() - self._known):
            raise ValueError(f"It has a value called {min(extra)!r}; the first record has none.")
        found = []
        for name, place, shape, is_one, make in self._parts:
            value = row.get(name) if isinstance(row, dict) else row[place]
            try:
                is_single = is_one and not isinstance(value, list)
                found.append(make(value) if is_single else ",".join(map(make, elements.flat(value, shape))))
            except ValueError as error:
                raise ValueError(f"{name} is {error}.") from error
        return self._separator.join(found).encode()


def body(of: Plan, rows: Sequence[bytes]) -> bytes:
    """An inference request for records, of each of which the elements are given (see `Fit`)."""
    columns = [rows] if of.is_matrix else zip(*(row.split(b"\n") for row in rows), strict=True)
    data = [b",".join(column) for column in columns]
    tensors = (
        b'{"name":%b,"shape":%b,"datatype":"%b","data":[%b]}'
        % (
            json.dumps(one.name).encode(),
            json.dumps([len(rows), *one.shape]).encode(),
            one.datatype.encode(),
            of_input,
        )
        for one, of_input in zip(of.inputs, data, strict=True)
    )
    parameters = b',"parameters":{"content_type":"%b"}' % of.content_type.encode() if of.content_type else b""
    return b'{"inputs":[%b]%b}' % (b",".join(tensors), parameters)
