"""What the user finds: `.scoreout` or `.error`, and the tags on it."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import AccessDenied, AwsThrottled, Failure, ScoringFailed
from scoring.files import objects
from scoring.files.seals import sealed
from scoring.outcome import files as outcome
from tests.builders import (
    ATTEMPT_ID,
    CLUSTER,
    DIGEST,
    EXECUTION,
    NAMESPACE,
    OUTPUT_BUCKET,
    REGISTRY,
    request,
    source,
    state,
)

OUTPUT = request()["output"]
NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
# S3 User Guide, "Categorizing your storage using tags".
TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")


def document_of(failure: Failure, **pod: Any) -> bytes:
    links = {"arn": EXECUTION, "console": outcome.console_link(EXECUTION)}
    whole = state(request=request(), attempt_id=ATTEMPT_ID)
    return outcome.error_document(failure, "await_pod", whole, pod, links, NOW)


def test_a_scored_file_is_tagged_with_where_it_comes_from() -> None:
    tags = outcome.scored_tags(source(), request(), EXECUTION, {"rows": 3, "duration_seconds": "1.5"})
    assert tags == {
        "source": "s3://dropscore-input/incoming/2026/loans.csv",
        "model_image": f"{REGISTRY}/sas-anomaly",
        "model_digest": DIGEST,
        "sequencer": source().sequencer,
        "eks_cluster": CLUSTER,
        "k8s_namespace": NAMESPACE,
        "execution": EXECUTION,
        "protocol": "sas",
        "rows": "3",
        "duration_seconds": "1.5",
    }
    assert len(tags) <= 10, "S3 takes no more"


@pytest.mark.parametrize(
    ("profile", "counts", "given_way"),
    [
        ("", {"rows": 3}, set()),
        ("", {"rows": 3, "padded": 1}, {"duration_seconds"}),
        ("", {"rows": 3, "padded": 1, "rejected": 1}, {"duration_seconds", "protocol"}),
        ("wine:3", {"rows": 3}, {"duration_seconds"}),
        ("wine:3", {"rows": 3, "rejected": 1}, {"duration_seconds", "protocol"}),
        ("wine:3", {"rows": 3, "padded": 1, "rejected": 1}, {"duration_seconds", "protocol", "k8s_namespace"}),
    ],
)
def test_where_there_are_more_than_ten_tags_those_give_way_that_the_execution_tells(
    profile: str, counts: dict[str, int], given_way: set[str]
) -> None:
    more = counts | {"duration_seconds": "1.5"}
    tags = outcome.scored_tags(source(), request(profile=profile), EXECUTION, more)
    whole = (
        outcome.scored_tags(source(), request(), EXECUTION).keys() | more.keys() | ({"profile"} if profile else set())
    )
    assert tags.keys() == whole - given_way
    assert tags.get("profile", "") == profile
    assert len(tags) <= 10, "S3 takes no more"


def test_of_all_tags_there_may_be_ten_are_left() -> None:
    asked = request(profile="risk:1", asked_pods="8", pods=8)
    counts = {"rows": 1, "padded": 1, "rejected": 1, "duration_seconds": "1.5"}
    tags = outcome.scored_tags(source(), asked, EXECUTION, counts)
    assert len(tags) == 10, "S3 takes no more"
    assert tags.keys() >= {"rows", "padded", "rejected", "profile", "model_digest", "execution", "sequencer", "source"}
    assert outcome.scored_tags(source(), asked | {"profile": ""}, EXECUTION, {"rows": 1})["pods"] == "8"
    assert "pods" not in outcome.scored_tags(source(), request(pods=1, asked_pods="1"), EXECUTION)


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_becomes_the_value_of_a_tag(text: str) -> None:
    assert TAG_VALUE.fullmatch(outcome.tag_value(text))


@pytest.mark.parametrize(
    ("text", "value"), [("s3://b/a b+ü@1.csv", "s3://b/a b+ü@1.csv"), ("a&b=c?d\n", "a_b=c_d_"), (7, "7")]
)
def test_a_tag_keeps_what_s3_allows(text: object, value: str) -> None:
    assert outcome.tag_value(text) == value


def scored(s3: Any, *parts: bytes, tags: dict[str, str] | None = None) -> dict[str, Any]:
    """The `scoring` of the state once all parts are uploaded."""
    tags = tags or outcome.scored_tags(source(), request(), EXECUTION)
    upload_id = objects.Upload.create(s3, OUTPUT["bucket"], OUTPUT["key"], tags)
    etags = [part_of(s3, upload_id, number, part) for number, part in enumerate(parts, 1)]
    size = sum(map(len, parts))
    return {"upload_id": upload_id, "parts": len(parts), "bytes": size, "seal": sealed(etags), "rows": 2}


def part_of(s3: Any, upload_id: str, number: int, body: bytes) -> str:
    """Upload a part; its ETag."""
    where = {"Bucket": OUTPUT["bucket"], "Key": OUTPUT["key"], "UploadId": upload_id}
    return str(s3.upload_part(**where, PartNumber=number, Body=body)["ETag"])


def published(s3: Any) -> tuple[bytes, dict[str, str]]:
    found = s3.get_object(Bucket=OUTPUT["bucket"], Key=OUTPUT["key"])
    return found["Body"].read(), tags_of(s3, OUTPUT["key"])


def tags_of(s3: Any, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=OUTPUT_BUCKET, Key=key)["TagSet"]}


TAGS = outcome.scored_tags(source(), request(), EXECUTION, {"rows": 2})


def test_nothing_is_there_until_all_of_it_is(s3: Any) -> None:
    scoring = scored(s3, b"x" * (5 << 20), b"y")
    assert "Contents" not in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)
    outcome.publish(s3, OUTPUT, scoring, TAGS)
    body, tags = published(s3)
    assert body == b"x" * (5 << 20) + b"y"
    assert tags == TAGS


def test_a_part_that_a_killed_function_left_does_not_get_into_the_file(s3: Any) -> None:
    """A repeated step may cut fewer parts; what lies beyond its own would be rows twice over."""
    scoring = scored(s3, b"x" * (5 << 20), b"y")
    part_of(s3, scoring["upload_id"], 3, b"stale rows")
    outcome.publish(s3, OUTPUT, scoring, TAGS)
    assert published(s3)[0] == b"x" * (5 << 20) + b"y"


def test_publishing_twice_is_publishing_once(s3: Any) -> None:
    """The answer of the first call may have been lost."""
    scoring = scored(s3, b"x")
    outcome.publish(s3, OUTPUT, scoring, TAGS)
    outcome.publish(s3, OUTPUT, scoring, TAGS | {"duration_seconds": "2.0"})
    body, tags = published(s3)
    assert (body, tags["duration_seconds"]) == (b"x", "2.0")


def test_publishing_is_a_success_when_its_own_answer_was_lost(s3: Any) -> None:
    """The client repeats a call whose answer does not come, and the upload is gone by then."""

    class Repeating:
        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

        def complete_multipart_upload(self, **call: Any) -> Any:
            s3.complete_multipart_upload(**call)
            return s3.complete_multipart_upload(**call)

    outcome.publish(Repeating(), OUTPUT, scored(s3, b"x"), TAGS)
    assert published(s3)[0] == b"x"


def test_what_a_shard_completed_is_told_by_its_etag_and_nothing_is_done_to_what_takes_its_place(s3: Any) -> None:
    scoring, place = scored(s3, b"x"), {"Bucket": OUTPUT["bucket"], "Key": OUTPUT["key"]}
    told = outcome.complete(s3, OUTPUT, scoring, TAGS, is_shard=True)
    assert told == {"etag": s3.head_object(**place)["ETag"]}
    assert "rows" not in published(s3)[1], "they might be put on another object"
    assert outcome.complete(s3, OUTPUT, scoring, TAGS, is_shard=True) == told, "the answer was lost"
    s3.put_object(**place, Body=b"y", Tagging="execution=another")
    with pytest.raises(ScoringFailed, match="aborted by somebody else"):
        outcome.complete(s3, OUTPUT, scoring, TAGS, is_shard=True)
    s3.delete_object(**place)
    with pytest.raises(ScoringFailed, match="aborted by somebody else"):
        outcome.complete(s3, OUTPUT, scoring, TAGS, is_shard=True)


def test_a_success_removes_a_stale_error(s3: Any) -> None:
    outcome.put_error(s3, OUTPUT_BUCKET, "scored/2026/loans.csv.error", b"{}", {})
    outcome.publish(s3, OUTPUT, scored(s3, b"x"), TAGS)
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]]
    assert keys == ["scored/2026/loans.csv.scoreout"]


def test_an_upload_that_is_gone_is_no_success_even_if_an_older_file_is_there(s3: Any) -> None:
    older = scored(s3, b"old", tags=TAGS | {"execution": "another"})
    outcome.publish(s3, OUTPUT, older, TAGS | {"execution": "another"})
    aborted = scored(s3, b"new")
    outcome.abort(s3, OUTPUT, aborted)
    with pytest.raises(ScoringFailed, match="aborted by somebody else"):
        outcome.publish(s3, OUTPUT, aborted, TAGS)
    assert published(s3)[0] == b"old"


def test_an_upload_that_is_gone_is_no_success_where_no_file_is(s3: Any) -> None:
    aborted = scored(s3, b"new")
    outcome.abort(s3, OUTPUT, aborted)
    with pytest.raises(ScoringFailed, match="aborted by somebody else"):
        outcome.publish(s3, OUTPUT, aborted, TAGS)


def test_a_part_in_the_place_of_one_that_counts_is_never_published(s3: Any) -> None:
    """A function that was given up wrote on: rows of the same length, but others."""
    scoring = scored(s3, b"x" * (5 << 20), b"1,right")
    part_of(s3, scoring["upload_id"], 2, b"7,wrong")
    with pytest.raises(ScoringFailed, match="are not those that were uploaded"):
        outcome.publish(s3, OUTPUT, scoring, TAGS)
    part_of(s3, scoring["upload_id"], 2, b"1,right")
    assert outcome.publish(s3, OUTPUT, scoring, TAGS)


@pytest.mark.parametrize("changes", [{"parts": 3}, {"bytes": 7}])
def test_parts_that_are_not_those_that_were_uploaded_are_never_published(s3: Any, changes: dict[str, int]) -> None:
    """A function that was given up may write on, with other cuts."""
    scoring = scored(s3, b"x" * (5 << 20), b"y") | changes
    with pytest.raises(ScoringFailed, match="are not those that were uploaded"):
        outcome.publish(s3, OUTPUT, scoring, TAGS)
    assert "Contents" not in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)


def test_the_outcome_of_a_newer_version_stays(s3: Any) -> None:
    newer = TAGS | {"sequencer": "0065F1A3", "execution": "newer"}
    assert outcome.publish(s3, OUTPUT, scored(s3, b"new", tags=newer), newer)
    older = scored(s3, b"old")
    assert not outcome.publish(s3, OUTPUT, older, TAGS | {"sequencer": "0065F1A2FF"})
    assert published(s3)[0] == b"new"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=OUTPUT_BUCKET)
    assert outcome.tags_of(s3, OUTPUT_BUCKET, OUTPUT["key"]) == newer
    assert outcome.tags_of(s3, OUTPUT_BUCKET, "scored/none.scoreout") == {}


def test_the_error_of_a_newer_version_stays(s3: Any) -> None:
    key = "scored/2026/loans.csv.error"
    outcome.put_error(s3, OUTPUT_BUCKET, key, b"{}", {"sequencer": "FF"})
    outcome.publish(s3, OUTPUT, scored(s3, b"x"), TAGS)
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read() == b"{}"


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [
        ("02", "01", True),
        ("01", "01", False),
        ("01", "02", False),
        ("011", "01", True),
        ("01", "0100", False),
        ("", "01", False),
    ],
)
def test_sequencers_tell_which_event_came_later(one: str, other: str, newer: bool) -> None:
    assert outcome.is_newer(one, other) is newer


def test_aborting_twice_is_aborting_once(s3: Any) -> None:
    scoring = scored(s3, b"x")
    for _ in range(2):
        outcome.abort(s3, OUTPUT, scoring)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=OUTPUT_BUCKET)


def test_aborting_what_is_published_leaves_it_there(s3: Any) -> None:
    scoring = scored(s3, b"x")
    outcome.publish(s3, OUTPUT, scoring, TAGS)
    outcome.abort(s3, OUTPUT, scoring)
    assert published(s3)[0] == b"x"


@pytest.mark.parametrize("verb", ["abort_multipart_upload", "get_paginator"])
def test_other_refusals_of_s3_are_not_swallowed(verb: str) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)

    with pytest.raises(Exception, match="Not allowed: s3:"):
        if verb == "get_paginator":
            outcome.publish(Refusing(), OUTPUT, {"upload_id": "u", "parts": 1}, TAGS)
        else:
            outcome.abort(Refusing(), OUTPUT, {"upload_id": "u"})


def test_an_error_reads_from_what_happened_to_what_may_help() -> None:
    failure = Failure("PodCrashed", "It crashed.", "Repair it.", {"exit_code": 1})
    document = json.loads(document_of(failure, log_tail=["über"]))
    assert list(document) == [
        "summary",
        "remedy",
        "stage",
        "error",
        "details",
        "source",
        "request",
        "pod",
        "execution",
        "attempt",
        "time",
    ]
    assert document["time"] == "2026-11-22T10:05:00+00:00"
    assert document["request"] == {name: value for name, value in request().items() if name != "cluster_settings"}
    assert "über" in document_of(failure, log_tail=["über"]).decode(), "for a person, not for a parser"


def test_an_error_leaves_out_what_is_not_known() -> None:
    body = outcome.error_document(Failure("E", "s", "r"), "resolve_request", state(), {}, {}, NOW)
    assert list(json.loads(body)) == ["summary", "remedy", "stage", "error", "source", "time"]


def test_an_error_lies_where_the_scored_file_would_with_its_tags(s3: Any) -> None:
    key = outcome.error_key(OUTPUT["key"])
    assert key == "scored/2026/loans.csv.error"
    outcome.put_error(s3, OUTPUT_BUCKET, key, b"{}", {"error": "PodCrashed", "stage": "await pod+x"})
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["ContentType"] == "application/json"
    assert tags_of(s3, key) == {"error": "PodCrashed", "stage": "await pod+x"}


def test_the_console_link_names_the_execution_in_its_region() -> None:
    assert outcome.console_link(EXECUTION) == (
        "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/" + EXECUTION
    )


@pytest.mark.parametrize(("code", "error"), [("AccessDenied", AccessDenied), ("SlowDown", AwsThrottled)])
def test_what_s3_does_not_delete_of_many_is_told_though_the_call_as_a_whole_is_taken(
    code: str, error: type[Exception]
) -> None:
    class Refusing:
        def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  (boto3's names)
            last = Delete["Objects"][-1]
            return {"Errors": [{**last, "Code": code, "Message": "no"}]}

    with pytest.raises(
        error, match=r"s3:DeleteObject of s3://dropscore-output/scored/\.progress/attempt-1/2\.error: no"
    ):
        outcome.forget_shards(Refusing(), OUTPUT, 2)
