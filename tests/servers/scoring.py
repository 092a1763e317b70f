"""A file's way through the library to a real model server: its tags, its batches, the outcome in S3."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring.intake.identity import rejected_key
from tests.builders import OUTPUT_BUCKET
from tests.scoring import OUTPUT, scored


@dataclass(frozen=True)
class Outcome:
    """What lies in S3 in the end: the `.scoreout`, and the `.rejected` where there is one."""

    scored: bytes
    rejected: bytes
    scoring: Mapping[str, Any]

    @property
    def rejected_rows(self) -> list[int]:
        """The rows that `.rejected` tells of."""
        return [int(row["row"]) for row in csv.DictReader(io.StringIO(self.rejected.decode(), newline=""))]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of a `.scoreout` in JSON Lines, as those see it who know no NaN."""
        return [json.loads(line, parse_constant=_refuse) for line in self.scored.splitlines()]


def score(s3: Any, url: str, protocol: str, file: Path, **tags: str) -> Outcome:
    """Drop a file with its tags and get it scored by the model server at `url`.

    Raises
    ------
    DropscoreError
        What its `.error` would be made of.
    """
    scoring = scored(s3, url, file.name, file.read_bytes(), {"protocol": protocol, **tags})
    return Outcome(_read(s3, OUTPUT["key"]), _read(s3, rejected_key(OUTPUT["key"])), scoring)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _read(s3: Any, key: str) -> bytes:
    if not s3.list_objects_v2(Bucket=OUTPUT_BUCKET, Prefix=key)["KeyCount"]:
        return b""
    body: bytes = s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read()
    return body


def table(text: str, delimiter: str = ",") -> list[list[str]]:
    """The header and the rows of CSV."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def assert_predicted(
    found: Outcome, file: Path, expected: Mapping[str, list[Any]], *, delimiter: str = ",", relative: float = 0.0
) -> None:
    """Hold a `.scoreout` in CSV against the file and the same model's predictions in its own process, column by column.

    `expected` is by the names of the output's columns; None is an empty field. `relative` is how far a number may be off
    where a model adds up in another order for batches of another size.
    """
    header, *rows = table(found.scored.decode(), delimiter)
    own_header, *own_rows = table(file.read_bytes().decode(), delimiter)
    assert header == [*own_header, *expected]
    assert [row[: len(own_header)] for row in rows] == own_rows
    for place, (name, values) in enumerate(expected.items(), len(own_header)):
        wrong = [
            (number, row[place], value)
            for number, (row, value) in enumerate(zip(rows, values, strict=True), 1)
            if not _same(row[place], value, relative)
        ]
        assert not wrong, f"{name} of {len(wrong)} rows, the first three (row, scored, in process): {wrong[:3]}"


def assert_predicted_objects(found: Outcome, file: Path, expected: Mapping[str, list[Any]]) -> None:
    """Hold a `.scoreout` in JSON Lines against the file and the same model's predictions, member by member."""
    own = [json.loads(line) for line in file.read_bytes().splitlines()]
    rows = zip(*expected.values(), strict=True)
    assert found.objects == [
        record | dict(zip(expected, row, strict=True)) for record, row in zip(own, rows, strict=True)
    ]


def _same(text: str, value: Any, relative: float) -> bool:
    if value is None:
        return text == ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text == (str(value).lower() if isinstance(value, bool) else value)
    return math.isclose(float(text), value, rel_tol=relative) or (math.isnan(value) and text == "NaN")
