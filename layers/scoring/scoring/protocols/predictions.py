"""Predictions as names and cells: values, lists of one length, or objects with the same members (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoring.errors import ModelFailed
from scoring.files import jsontext
from scoring.files.joining import quoted
from scoring.protocols.model import Answer

Rows = Sequence[Any]
"""Predictions, one for each record: text of CSV, or a list of JSON texts (see `Format.answers`)."""

BEGINNING_CHARACTERS = 80
ONE_EACH = (
    "The model must answer each record with one prediction: as a line of CSV, or as an item of a JSON list or of "
    '{"predictions": […]}. Repair it, then drop the file again.'
)


def names_of(columns: int) -> list[str]:
    """What so many columns are called that the model has no names for."""
    return ["prediction"] if columns == 1 else [f"prediction_{number}" for number in range(columns)]


def table(
    predictions: list[Any], answer: Answer, columns: Sequence[str], delimiter: bytes | None
) -> tuple[list[str], Rows]:
    """Names and rows of predictions that a JSON document holds. Lists are columns in CSV, and stay lists in JSON.

    Parameters
    ----------
    columns
        The names that earlier answers had: members of objects come in their order.

    Raises
    ------
    ModelFailed
        They have different shapes.
    """
    first = predictions[0] if predictions else None
    if isinstance(first, dict):
        known = columns if set(columns) == set(first) else first
        names = [str(name) for name in known]
        cells = [
            [row[name] for name in names] for row in predictions if isinstance(row, dict) and row.keys() == first.keys()
        ]
    elif isinstance(first, list) and delimiter is not None:
        names = names_of(len(first))
        cells = [row for row in predictions if isinstance(row, list) and len(row) == len(names)]
    else:
        names = names_of(1)
        cells = [[value] for value in predictions if delimiter is None or not isinstance(value, list | dict)]
    if len(cells) != len(predictions):
        raise ModelFailed("The model's predictions have different shapes.", answer=answer.text)
    return written(names, cells, delimiter)


def written(names: list[str], cells: list[list[Any]], delimiter: bytes | None) -> tuple[list[str], Rows]:
    """Cells as the scored file has them."""
    if delimiter is None:
        return names, [[jsontext.encoded(value) for value in row] for row in cells]
    # Looked at all together, since most have nothing to be quoted, and a call for each would take longer than the model.
    between = delimiter.decode()
    rows = [between.join([value if isinstance(value, str) else _text(value) for value in row]) for row in cells]
    whole = "\n".join(rows)
    is_plain = '"' not in whole and "\r" not in whole
    if rows and is_plain and (whole.count("\n"), whole.count(between)) == (len(rows) - 1, len(rows) * (len(names) - 1)):
        return names, whole.encode("utf-8", "replace").split(b"\n")
    return names, [delimiter.join(field(value, delimiter) for value in row) for row in cells]


def field(value: Any, delimiter: bytes = b",") -> bytes:
    """A JSON value as a CSV field: nothing for null, quoted where CSV needs it."""
    text = value if isinstance(value, str) else _text(value)
    return quoted(text.encode("utf-8", "replace"), delimiter)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else jsontext.dumps(value)
