"""The records of files that have ended: what a line of a list shows, in the keys of empty objects."""

import json
import zlib
from base64 import urlsafe_b64encode
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from scoring import aws, settings
from scoring.outcome import index
from tests.builders import FILE_ID, OUTPUT_BUCKET, source
from tests.unit.outcome.test_events import FINISHED, scored

PREFIX = "scored/"
FOLDER = "scored/.progress/.ended/"
SCORED = {"key": source().key, "size": 15, "cluster": "dropscore-local", "rows": 3}


def detail(**changes: Any) -> dict[str, Any]:
    whole = scored()
    return whole | {"file_execution": f"arn:aws:states:::execution:score_file:{FILE_ID}"} | changes


def failed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in detail(**changes).items() if name != "rows"} | {"error": "Any"}


def key_of(told: dict[str, Any], *ends: str) -> str:
    key = index.key_of(told, settings.current(), *ends)
    assert key is not None
    return key


def packed(document: bytes) -> str:
    return f"{FOLDER}2026-11-22T10:05:00.000Z/a/{urlsafe_b64encode(zlib.compress(document)).decode().rstrip('=')}"


def test_a_key_tells_when_which_execution_has_ended_and_with_what() -> None:
    key = key_of(detail(rejected=2, superseded=True))
    assert key.startswith(f"{FOLDER}2026-11-22T10:06:01.500Z/{FILE_ID}/")
    assert index.execution_of(key, PREFIX) == FILE_ID
    assert index.read(key, PREFIX) == index.Ended(**SCORED, rejected=2, superseded=True)


def test_of_a_failed_one_it_tells_what_its_execution_ends_with_and_what_a_newer_one_is_told_by() -> None:
    key = key_of(failed(), "PodCrashed", "It has\nended. Read on.")
    told = {"key": source().key, "size": 15, "error": "PodCrashed", "cause": "It has ended."}
    assert index.read(key, PREFIX) == index.Ended(**told, sequencer=source().sequencer)


def test_a_later_end_comes_later_wherever_the_clock_is() -> None:
    there = (FINISHED + timedelta(milliseconds=1)).astimezone(timezone(timedelta(hours=-5))).isoformat()
    assert key_of(detail()) < index.begin(FINISHED + timedelta(milliseconds=1), PREFIX) < key_of(detail(finished=there))
    assert index.begin(FINISHED.astimezone(UTC), PREFIX) < key_of(detail())


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        (detail(source=source(key="".join(chr(0x4E00 + each * 7919 % 20_000) for each in range(341))).to_json()), ()),
        # Its own words are not those of an attempt.
        (detail(file_execution=detail()["execution"]), ()),
        (failed(), ()),
        (detail(), ("PodCrashed", "It died.")),
    ],
)
def test_what_does_not_fit_or_would_be_told_otherwise_has_no_record(
    told: dict[str, Any], ends: tuple[str, ...]
) -> None:
    assert index.key_of(told, settings.current(), *ends) is None


def test_a_long_key_has_a_record() -> None:
    long = source(key="incoming/" + "folder/of/many/letters/" * 40 + "a.csv")
    found = index.read(key_of(detail(source=long.to_json())), PREFIX)
    assert found
    assert found.key == long.key


WELL = json.dumps(SCORED).encode()
NONE = [
    b"",
    b"\xff",
    b"3",
    b"[]",
    b"null",
    b"[" * 8_000,
    b'{"key":"a"}',
    WELL.replace(b"3}", b"true}"),
    WELL.replace(b"3}", b"-3}"),
    WELL.replace(b"3}", b"NaN}"),
    WELL.replace(b"3}", b"9" * 5_000 + b"}"),
    WELL.replace(b"loans", b"\\ud800"),
    # A bomb.
    WELL + b" " * 50_000_000,
]


@pytest.mark.parametrize(
    "key",
    [
        *map(packed, NONE),
        "",
        "scored/a",
        FOLDER,
        FOLDER + "a/b/c",
        FOLDER + "a/b/AAAA",
        FOLDER + "a/b/ä",
        FOLDER + "/" * 9,
    ],
)
def test_what_is_no_record_is_none(key: str) -> None:
    assert index.read(key, PREFIX) is None


def test_what_a_later_release_may_add_is_no_harm() -> None:
    assert index.read(packed(json.dumps(SCORED | {"more": [1]}).encode()), PREFIX) == index.Ended(**SCORED)
    assert index.read(packed(WELL), "other/") is None


def test_it_is_an_empty_object_and_no_matter_if_it_cannot_be_put(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index.write(settings.current(), detail())
    (found,) = s3.list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]
    assert (found["Key"], found["Size"]) == (key_of(detail()), 0)
    monkeypatch.setattr(aws, "client", lambda service: None)
    index.write(settings.current(), detail())
    index.write(settings.current(), {})
