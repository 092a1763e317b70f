"""Records of CSV as the JSON that MLflow's server casts by the model's signature (pure).

It reads no CSV where the signature has a date (pandas: `read_csv` has no dtype for one) or is a tensor's. The same texts in
JSON it casts by itself, but not all of them well: any text is True to a column of booleans, and how a date is written is
guessed from the first one of a request.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scoring.errors import ModelFailed
from scoring.protocols.model import Answer

# What `pandas.read_csv` takes for missing (its parameter `na_values`), with and without quotes.
_MISSING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
_FLAGS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_DATE = re.compile(
    r"([0-9]{4})[-/]?([0-9]{2})[-/]?([0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
# What MLflow (3.17) says of CSV that it cannot read, and the reason behind it: pandas' (3.1) or its own. Where another version
# says something else, its refusal stays what it is.
_NOT_READ = b"Failed to parse input as a Pandas DataFrame"
_OF_A_DATE, _OF_A_TENSOR = b"parse_dates", b"TensorSpec"
_NO_NUMBER, _NOT_CAST = "no number", (b"could not convert string to float", b"invalid literal for int")
REMEDY = (
    "Write dates as 2026-01-31 or 2026-01-31T13:45:00, and what is true or false as True and False; or drop the file as JSON "
    "Lines, where values have types."
)


def is_of_a_date(refusal: bytes, sent: bytes = b"") -> bool:
    """Whether MLflow refuses CSV because a column is a date by the model's signature. What was `sent` may be quoted in it."""
    return _NOT_READ in refusal and _OF_A_DATE in refusal and _OF_A_DATE not in sent


def is_of_a_tensor(refusal: bytes, sent: bytes) -> bool:
    """Whether MLflow refuses CSV because the model's signature is a tensor's."""
    return _NOT_READ in refusal and _OF_A_TENSOR in refusal and _OF_A_TENSOR not in sent


def table(records: Iterable[bytes]) -> list[list[str]]:
    """The fields of records of CSV."""
    return list(csv.reader(record.decode() for record in records))


class Tensor:
    """A signature without columns: rows of numbers."""

    @staticmethod
    def probe(width: int) -> bytes:
        """A row that no tensor of numbers takes: nobody tells the type, and any text is True to one of booleans."""
        return json.dumps({"inputs": [[_NO_NUMBER] * width]}).encode()

    @staticmethod
    def is_of_numbers(answer: Answer) -> bool:
        """Whether the answer to the probe is the refusal of what is no number."""
        return answer.status // 100 != 2 and any(words in answer.body for words in _NOT_CAST)

    @staticmethod
    def body(records: Iterable[bytes]) -> bytes:
        """What is sent for records."""
        return json.dumps({"inputs": [list(map(_text, row)) for row in table(records)]}).encode()


class Frame:
    """A signature with columns, of which some are dates or booleans (`makers`)."""

    def __init__(self, columns: Sequence[str], makers: Sequence[Callable[[str], Any]]) -> None:
        self._columns, self._makers = columns, makers

    @staticmethod
    def probe(column: bytes) -> bytes:
        """CSV of one column by itself (in its CSV form) with what is a number and a text, and no boolean."""
        return (column or b'""') + b"\n2\n"

    @staticmethod
    def maker(answer: Answer) -> Callable[[str], Any]:
        """What makes values of a column's texts, by the answer to its probe (others miss the rest of the columns)."""
        if is_of_a_date(answer.body):
            return _date
        return _flag if _NOT_READ in answer.body else _text

    def body(self, records: Iterable[bytes]) -> bytes:
        """What is sent for records.

        Raises
        ------
        ModelFailed
            A value is no date or no boolean, as its column is.
        """
        data = []
        for row in table(records):
            values = []
            for column, make, text in zip(self._columns, self._makers, row, strict=True):
                try:
                    values.append(make(text))
                except ValueError as error:
                    raise ModelFailed(f"{column} is {error}.", REMEDY) from error
            data.append(values)
        return json.dumps({"dataframe_split": {"columns": self._columns, "data": data}}).encode()


def _text(text: str) -> Any:
    # As JSON has it in Python, which is MLflow's reader: of null, some columns would make None or False.
    return math.nan if text in _MISSING else text


def _flag(text: str) -> Any:
    if text not in _FLAGS:
        raise ValueError(f"{json.dumps(text)}, which the model's signature has as a boolean")
    return _FLAGS[text]


def _date(text: str) -> Any:
    """A date in one form, since a request with several is refused, whatever the batch has beside it."""
    if text in _MISSING:
        return math.nan
    found = _DATE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{json.dumps(text)}, which is no date as ISO 8601 has it; any other may be read in two ways")
    year, month, day, minute, second, fraction, zone = found.groups()
    return f"{year}-{month}-{day}T{minute or '00:00'}:{second or '00'}.{fraction or '0'}{zone or ''}"
