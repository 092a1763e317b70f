"""JSON whose numbers stay the text that somebody wrote: no digit is lost on the way through."""

from __future__ import annotations

import json
import re
from typing import Any

# `json.dumps` makes one for each call that wants anything else than its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class Number(str):
    """A number of a JSON document, as it was written."""


def loads(text: bytes) -> Any:
    """Read a document.

    Raises
    ------
    ValueError
        It is none, or nested too deeply.
    """
    try:
        return json.loads(text, parse_float=Number, parse_int=Number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def dumps(value: Any) -> str:
    """A value as text again, its numbers as they were written."""
    if isinstance(value, Number):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(dumps, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{dumps(name)}: {dumps(item)}' for name, item in value.items())}}}"
    return _ENCODER.encode(value)


def encoded(value: Any) -> bytes:
    """A value as UTF-8; half a surrogate pair, which no UTF-8 has, as its escape."""
    text = dumps(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(rf"\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in text).encode()


_STRICT = {b"NaN": b"null", b"Infinity": b'"Infinity"', b"-Infinity": b'"-Infinity"'}
_TEXT_OR_CONSTANT = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', re.DOTALL)


def strict(text: bytes) -> bytes:
    """A document as every reader of JSON takes it: NaN, which Python writes, is null; the infinities are texts."""
    if b"NaN" not in text and b"Infinity" not in text:
        return text
    return _TEXT_OR_CONSTANT.sub(lambda found: _STRICT.get(found[0], found[0]), text)
