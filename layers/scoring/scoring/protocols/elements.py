"""Values of records as elements of tensors: each type of the Open Inference Protocol, held to what it can be (pure).

JSON knows no NaN, so a missing value is null, which NumPy and pandas read as NaN or None.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from scoring.files import jsontext

# "FP16" … are the protocol's words; the largest number that still rounds to a finite one of so many bits (IEEE 754).
_MOST = {"FP16": 65_519.99, "FP32": 3.4028235677973362e38, "FP64": math.inf}
_INTEGERS = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}
_BOOLEANS = {"true": "true", "1": "true", "false": "false", "0": "false"}
TEXT, NUMBER = "BYTES", "FP64"
DATATYPES = ("BOOL", *_INTEGERS, *_MOST, TEXT)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"([+-]?[0-9]{1,40})(?:\.0*)?")
# Not 007, which may be a code, nor an integer that no double holds.
_PLAIN_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]{0,14})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
# What any JSON reader and any of us takes for a number, and is finite even in single precision.
_SAFE = r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?"
_SAFE_NUMBER, _SAFE_RECORD = re.compile(_SAFE), re.compile(rb"%b(?:,%b)*" % (_SAFE.encode(), _SAFE.encode()))
_WORDS = {NUMBER: "numbers", TEXT: "text", "BOOL": "true and false"}


def element(datatype: str) -> Callable[[Any], str]:
    """What makes the JSON of an element out of a value: text of CSV, or anything that JSON has.

    It raises ValueError with what is wrong with the value.
    """
    if datatype == TEXT:
        return _text
    if datatype == "BOOL":
        return _boolean
    if datatype in _INTEGERS:
        return partial(_integer, datatype, *_INTEGERS[datatype])
    return partial(_float, datatype, _MOST[datatype])


def are_numbers(record: bytes) -> bool:
    """Whether a record of CSV holds nothing but numbers that are elements of FP32 and FP64 as they are written."""
    return _SAFE_RECORD.fullmatch(record) is not None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _scalar(value: Any, datatype: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise ValueError(_no(value, datatype))


def _shown(value: Any) -> str:
    return jsontext.dumps(value)[:100]


def _no(value: Any, datatype: str) -> str:
    if _is_missing(value):
        return f"empty, and {datatype} has no missing values"
    return f"{_shown(value)}, which is no {datatype}"


def _text(value: Any) -> str:
    if value is None or value == "":
        return "null"
    # In ASCII alone: whatever is in it, no line ends.
    return json.dumps(_scalar(value, TEXT))


def _boolean(value: Any) -> str:
    found = None if _is_missing(value) else _BOOLEANS.get(_scalar(value, "BOOL").strip().lower())
    if found is None:
        raise ValueError(_no(value, "BOOL"))
    return found


def _integer(datatype: str, least: int, most: int, value: Any) -> str:
    found = None if _is_missing(value) else _INTEGER.fullmatch(_scalar(value, datatype).strip())
    if not found or not least <= int(found[1]) <= most:
        raise ValueError(_no(value, datatype))
    return str(int(found[1]))


def _float(datatype: str, most: float, value: Any) -> str:
    if most > 1e15 and isinstance(value, str) and _SAFE_NUMBER.fullmatch(value):
        return value
    if _is_missing(value):
        return "null"
    text = _scalar(value, datatype).strip()
    if text.lower() == "nan":
        return "null"
    is_json = _JSON_NUMBER.fullmatch(text)
    if not is_json and not _NUMBER.fullmatch(text):
        raise ValueError(_no(value, datatype))
    number = float(text)
    if math.isinf(number) or abs(number) > most:
        raise ValueError(_no(value, datatype))
    # As it was written, so that no digit is lost on the way.
    return text if is_json else repr(number)


def flat(value: Any, shape: Sequence[int]) -> list[Any]:
    """The elements of a value of this shape, row by row.

    Raises
    ------
    ValueError
        It has another shape.
    """
    if not shape and not isinstance(value, list):
        return [value]
    if not shape or not isinstance(value, list) or len(value) != shape[0]:
        raise ValueError(f"{_shown(value)}, which has not the shape of the model's input")
    return [one for part in value for one in flat(part, shape[1:])]


def type_of(values: Sequence[Any], *, is_json: bool) -> str:
    """The type that these values have where nobody says: numbers if there is nothing else (nor nothing at all), else text."""
    there = [value for value in values if not _is_missing(value)]
    if is_json and there and all(isinstance(value, bool) for value in there):
        return "BOOL"
    return NUMBER if there and all(_is_plain_number(value, is_json) for value in there) else TEXT


def _is_plain_number(value: Any, is_json: bool) -> bool:
    """Whether a value is a number to everybody: in JSON what is written as one; in CSV not a code such as 007."""
    if is_json and not isinstance(value, jsontext.Number):
        return False
    return bool(_PLAIN_NUMBER.fullmatch(value.strip()))


def held(datatype: str, *, is_json: bool) -> Callable[[Any], str]:
    """As `element`, where the beginning of the file has told the type: a value of another one is refused."""
    make = element(datatype)
    if datatype == TEXT and not is_json:
        return make

    def held_to(value: Any) -> str:
        is_empty = value in (None, "") or (not is_json and _is_missing(value))
        if not is_empty and type_of([value], is_json=is_json) != datatype:
            raise ValueError(f"{_shown(value)}, but only {_WORDS[datatype]} at the beginning of the file")
        return make(value)

    return held_to
