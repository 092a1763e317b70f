"""What a model answers as JSON is written as JSON: numbers as they were, and nothing that only Python reads."""

import json

import pytest

from scoring.files import jsontext


def strictly(text: bytes) -> object:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (b"NaN", b"null"),
        (b"-Infinity", b'"-Infinity"'),
        (b'[0.10, NaN, {"p": [Infinity]}]', b'[0.10, null, {"p": ["Infinity"]}]'),
        (rb'["NaN", "to \"Infinity", "\\", NaN]', rb'["NaN", "to \"Infinity", "\\", null]'),
        (b"1e400", b"1e400"),
    ],
)
def test_what_is_written_is_json_for_every_reader(read: bytes, written: bytes) -> None:
    assert jsontext.strict(read) == written
    strictly(written)
