"""Which files are scored, and the names that follow from an event."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.intake import identity
from tests.builders import OUTPUT_BUCKET, s3_notification, settings, source

# StartExecution's rule for names, and Kubernetes' for label values.
EXECUTION_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def test_a_notification_of_s3_brings_url_encoded_keys() -> None:
    event = s3_notification("incoming/my+loans/%C3%BCber%2Bnacht%2520.csv", versionId="v7")
    (found,) = identity.sources(event)
    assert found.key == "incoming/my loans/über+nacht%20.csv"
    assert (found.version_id, found.etag, found.size, found.sequencer) == (
        "v7",
        "9b2cf535f27731c974343645a3985328",
        15,
        "0065F1A2",
    )


def test_a_notification_of_eventbridge_brings_keys_as_they_are() -> None:
    detail = {
        "bucket": {"name": "dropscore-input"},
        "object": {"key": "incoming/a+b%20.csv", "size": 3, "etag": "e", "sequencer": "1"},
    }
    assert list(identity.sources({"detail": detail})) == [
        identity.Source("dropscore-input", "incoming/a+b%20.csv", "", "e", 3, "1")
    ]
    detail["object"]["version-id"] = "v1"  # type: ignore[index]
    assert next(identity.sources({"detail": detail})).version_id == "v1"


def test_a_notification_may_tell_of_several_files_or_of_none() -> None:
    assert [found.key for found in identity.sources(s3_notification("incoming/a.csv", "incoming/b.csv"))] == [
        "incoming/a.csv",
        "incoming/b.csv",
    ]
    assert not list(identity.sources({"Service": "Amazon S3", "Event": "s3:TestEvent"}))


def test_a_source_survives_the_way_through_the_state() -> None:
    assert identity.Source.from_json(source(version_id="v").to_json()) == source(version_id="v")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"bucket": "another"}, "not in the input bucket"),
        ({"key": "elsewhere/a.csv"}, "not under the input prefix"),
        ({"key": "incoming/2026/"}, "a folder"),
        ({"key": "incoming/a.csv.scoreout"}, "an output of dropscore itself"),
        ({"key": "incoming/a.csv.error"}, "an output of dropscore itself"),
        ({"key": "incoming/a.csv.rejected"}, "an output of dropscore itself"),
        ({"key": "incoming/_SUCCESS"}, "matches _* of"),
        ({"key": "incoming/a/.part-0.csv.crc"}, "matches .* of"),
        ({"key": "incoming/a/_temporary/0/part-0.csv"}, "matches _temporary/ of"),
        ({"key": "incoming/.spark-staging-1/part-0.csv"}, "matches .spark-staging*/ of"),
        # What nobody has asked to leave alone is answered, whatever it is.
        ({"key": "incoming/a.parquet"}, None),
        ({"key": "incoming/UPPER.CSV"}, None),
        ({"key": "incoming/_months/.may/a.csv"}, None),
        ({"key": "incoming/_temporary.d/a_.b.csv"}, None),
    ],
)
def test_every_object_in_the_folder_has_an_outcome_but_those_that_are_ignored(
    changes: dict[str, str], reason: str | None
) -> None:
    refusal = identity.refusal(source(**changes), settings())
    assert (refusal is None) if reason is None else (refusal is not None and refusal.startswith(reason))


def test_outputs_start_nothing_even_if_nothing_is_ignored() -> None:
    configured = settings(ignored_files="")
    assert identity.refusal(source(key="incoming/a.scoreout"), configured) == "an output of dropscore itself"
    assert identity.refusal(source(key="incoming/_temporary/_a.csv"), configured) is None


def test_ignored_names_are_matched_in_their_own_case_and_below_the_input_prefix() -> None:
    configured = settings(input_prefix="_in/", ignored_files="_in/,tmp/,*.TMP")
    ignored = [
        key
        for key in ("_in/a.csv", "_in/_in/a.csv", "_in/tmp", "_in/TMP/a.csv", "_in/tmp/a.csv", "_in/a.tmp", "_in/a.TMP")
        if identity.refusal(source(key=key), configured)
    ]
    assert ignored == ["_in/_in/a.csv", "_in/tmp/a.csv", "_in/a.TMP"]


def test_the_same_event_delivered_twice_has_the_same_name() -> None:
    assert identity.file_id(source()) == identity.file_id(source())


@pytest.mark.parametrize("change", [{"key": "incoming/other/loans.csv"}, {"etag": "e2"}, {"sequencer": "0065F1A3"}])
def test_another_file_or_another_event_has_another_name(change: dict[str, str]) -> None:
    assert identity.file_id(source()) != identity.file_id(source(**change))


def test_keys_that_look_alike_do_not_collide() -> None:
    assert identity.file_id(source(key="incoming/f/a.csv")) != identity.file_id(source(key="incoming/f-a.csv"))


def test_the_version_counts_where_there_is_one() -> None:
    first, second = source(version_id="v1"), source(version_id="v2")
    assert identity.file_id(first) != identity.file_id(second)


@given(st.text(min_size=1, max_size=200))
def test_any_key_gives_a_name_that_step_functions_and_kubernetes_take(key: str) -> None:
    name = identity.file_id(source(key=key))
    assert EXECUTION_NAME.fullmatch(name)
    assert LABEL_VALUE.fullmatch(name)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Q3 Loans_2026.csv", "q3-loans-2026-csv"),
        ("Überweisung.csv", "uberweisung-csv"),
        ("売上", "file"),
        ("", "file"),
    ],
)
def test_a_slug_keeps_what_a_person_recognises(name: str, slug: str) -> None:
    assert identity.slug(name) == slug


def test_the_outcome_lies_where_the_file_lay() -> None:
    assert identity.output_key("incoming/2026/loans.csv", settings()) == "scored/2026/loans.csv.scoreout"
    assert identity.output_key("incoming/a.csv", settings(), identity.ERROR_SUFFIX) == "scored/a.csv.error"
    nested = settings(output_bucket=OUTPUT_BUCKET, output_prefix="incoming/scored/")
    assert identity.output_key("incoming/incoming/a.csv", nested) == "incoming/scored/incoming/a.csv.scoreout"
