"""What a model answers to a batch, told by what it is and not by what was asked for.

Servers write the same predictions as lines of CSV (with a header or without), as a JSON list, as `{"predictions": …}`, as
lines of JSON, as a list in brackets on each line, or all on one line, and call it what they like: Flask calls everything
text/html. What cannot be told apart is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from scoring.errors import ModelFailed, RowCountMismatch
from scoring.protocols import csv_answers, json_answers
from scoring.protocols.model import Answer
from scoring.protocols.predictions import BEGINNING_CHARACTERS, ONE_EACH, Rows

# A page begins with a tag, a declaration or a comment; a label may begin with "<=".
_PAGE = re.compile(rb"\s*<[!?/a-zA-Z]")

# As Python ends a traceback: the exception's class at the beginning of a line, with what it says.
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*: \S", re.MULTILINE)


def read(answer: Answer, expected: int, delimiter: bytes | None, columns: Sequence[str] = ()) -> tuple[list[str], Rows]:
    """Names of the prediction columns, and the predictions for each of the `expected` records.

    Parameters
    ----------
    delimiter
        Of the scored file; without one, the predictions come as JSON texts.
    columns
        The names that earlier answers had, if there were any.

    Raises
    ------
    ModelFailed
        The answer cannot be read, or may mean two things.
    RowCountMismatch
    """
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    if body is not answer.body:
        answer = replace(answer, body=body)
    first = (body[:64].lstrip() or body.lstrip())[:1]
    if first == b"<" and _PAGE.match(body):
        raise ModelFailed("The model's answer is a page of HTML or XML and holds no predictions.", answer=answer.text)
    if first in (b"{", b"["):
        names, rows = json_answers.read(answer, expected, delimiter, columns)
    else:
        names, rows = csv_answers.read(answer, expected, delimiter, columns)
    check_count(answer, len(rows) if names else 0, expected)
    return names, rows


def check_count(answer: Answer, found: int, expected: int) -> None:
    """Look whether there is one prediction for each record.

    Raises
    ------
    RowCountMismatch
    """
    if found != expected:
        begins = answer.text[:BEGINNING_CHARACTERS]
        told = f"Its answer begins with {begins!r}." if begins else "Its answer is empty."
        raise RowCountMismatch(
            f"The model answered {found} predictions to {expected} records. {told}", ONE_EACH, answer=answer.text
        )


def said(answer: Answer) -> str:
    """The message in the JSON of an error, as servers word it; empty for any other answer.

    MLflow's is often the same whatever went wrong, and the exception stands at the end of the trace beside it.
    """
    message, raised = _message(answer), _raised(answer)
    return f"{message} ({raised})" if raised and raised not in message else message


def _raised(answer: Answer) -> str:
    """The exception that a `stack_trace` ends with, its lines as one."""
    trace = answer.document.get("stack_trace") if isinstance(answer.document, dict) else None
    if not isinstance(trace, str):
        return ""
    start = max((found.start() for found in _EXCEPTION.finditer(trace)), default=len(trace))
    return " ".join(trace[start:].split())


def _message(answer: Answer) -> str:
    document = answer.document
    for key in ("message", "error_message", "detail", "error", "errorMessage"):
        found = document.get(key) if isinstance(document, dict) else None
        if isinstance(found, dict):
            found = found.get("message")
        if isinstance(found, str) and found.strip():
            return found.strip()
        if isinstance(found, list) and found:
            # FastAPI's: what is wrong, and where.
            return json.dumps(found)
    return ""
