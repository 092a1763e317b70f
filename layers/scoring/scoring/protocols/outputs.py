"""Outputs of the Open Inference Protocol as columns, or as values of JSON (pure).

Source: "Open Inference Protocol Specification", version 2, HTTP/REST: Inference Response JSON Object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """An output of a model: its `elements` row by row, in a tensor of this `shape` (the first is that of the records)."""

    name: str
    shape: tuple[int, ...]
    elements: list[Any]

    @property
    def width(self) -> int:
        """How many elements belong to each record."""
        return math.prod(self.shape[1:])

    def columns(self) -> list[str]:
        """What its columns are called."""
        return [self.name] if self.width == 1 else [f"{self.name}_{number}" for number in range(self.width)]

    def values(self) -> list[Any]:
        """What belongs to each record: a value, or lists of the shape that is left."""
        width = self.width
        if width == 1:
            return self.elements
        return [
            _nested(self.elements[place : place + width], self.shape[1:])
            for place in range(0, len(self.elements), width)
        ]


def _nested(elements: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) == 1:
        return elements
    size = math.prod(shape[1:])
    return [_nested(elements[place : place + size], shape[1:]) for place in range(0, len(elements), size)]


def read(document: Any) -> list[Output]:
    """The outputs of an inference response.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is none, or its outputs cannot be columns beside each other.
    """
    found = list[Output]()
    for entry in document["outputs"]:
        shape, data = tuple(int(size) for size in entry["shape"]), _flat(entry["data"])
        if not shape or min(shape) < 0 or math.prod(shape) != len(data):
            raise ValueError(f"{entry['name']} has {len(data)} elements in the shape {list(shape)}")
        if 0 in shape[1:]:
            raise ValueError(f"{entry['name']} has no value for a record, in the shape {list(shape)}")
        if any(entry["name"] == other.name for other in found):
            raise ValueError(f"two outputs are called {entry['name']}")
        found.append(Output(str(entry["name"]), shape, data))
    if not found:
        raise ValueError("it has no outputs")
    if len({one.shape[0] for one in found}) > 1:
        raise ValueError("its outputs have different numbers of rows")
    return found


def _flat(data: Any) -> list[Any]:
    """Data as it may come, flat or nested, as elements row by row."""
    if not isinstance(data, list):
        raise TypeError("its data is no list")
    found: list[Any] = data
    while found and all(isinstance(part, list) for part in found):
        found = [one for part in found for one in part]
    if any(isinstance(part, list) for part in found):
        raise ValueError("its data is nested unevenly")
    return found
