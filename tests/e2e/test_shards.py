"""A file on several pods comes back as from one; what goes wrong with one of them is told as of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.pipeline import Pipeline, wait_for

SAMPLE = (Path(__file__).parents[2] / "models/sagemaker-wine/sample.csv").read_bytes()
# More than is looked at before a pod is launched.
HEADER, *RECORDS = SAMPLE.splitlines(keepends=True)
RECORDS *= -(-(1_300 << 10) // len(SAMPLE))
WINE = HEADER + b"".join(RECORDS)
WINE_TAGS = {"model_image": "sagemaker-wine", "protocol": "sagemaker"}


def test_a_file_on_three_pods_is_that_of_one_byte_for_byte(pipeline: Pipeline) -> None:
    alone = pipeline.drop("shards/one.csv", WINE, **WINE_TAGS)
    together = pipeline.drop("shards/three.csv", WINE, **WINE_TAGS, pods="3")
    outcome = pipeline.outcome(together)
    assert outcome.lines
    assert outcome.body == pipeline.outcome(alone).body
    assert (outcome.tags["pods"], outcome.tags["rows"]) == ("3", str(len(WINE.splitlines()) - 1))
    assert len(set(pipeline.shards(together))) == 3
    pipeline.assert_nothing_left(together)


def test_an_error_names_the_row_of_the_file_and_ends_the_other_shards(pipeline: Pipeline) -> None:
    records = [*RECORDS]
    records[-2] = b"1," * 40 + b"\n"
    execution = pipeline.drop("shards/long-row.csv", HEADER + b"".join(records), **WINE_TAGS, pods="3")
    outcome = pipeline.outcome(execution)
    assert (outcome.error["error"], outcome.error["stage"]) == ("InvalidFile", "stream_file"), outcome.body.decode()
    assert f"Row {len(records) - 1}: " in outcome.error["summary"]
    assert outcome.error["details"]["row"] == len(records) - 1
    assert outcome.error["attempt"] == pipeline.attempt(execution).rpartition(":")[2]
    pipeline.assert_nothing_left(execution)


def test_bad_records_of_all_shards_count_together(pipeline: Pipeline) -> None:
    records = [*RECORDS]
    for place in (len(records) // 3 - 9, len(records) // 2, -2):
        records[place] = b"1," * 40 + b"\n"
    bad = [len(records) // 3 - 8, len(records) // 2 + 1, len(records) - 1]
    body = HEADER + b"".join(records)
    put_up_with = pipeline.drop("shards/three-bad.csv", body, **WINE_TAGS, pods="3", max_errors="3")
    one_too_many = pipeline.drop("shards/two-allowed.csv", body, **WINE_TAGS, pods="3", max_errors="2")
    outcome = pipeline.outcome(put_up_with)
    assert outcome.tags["rejected"] == "3"
    assert len(outcome.lines) == len(records) + 1
    listed = pipeline.read(outcome.key.removesuffix(".scoreout") + ".rejected")
    assert listed
    rows = [line.partition(b",")[0] for line in listed.splitlines()]
    assert rows == [b"row", *(b"%d" % row for row in bad)]
    refused = pipeline.outcome(one_too_many)
    assert (refused.error["error"], refused.error["stage"]) == ("InvalidFile", "persist_output")
    assert "3 of " in refused.error["summary"]
    assert [told["row"] for told in refused.error["details"]["rejected"]] == bad
    pipeline.assert_nothing_left(one_too_many)


def test_the_stacks_s3_heeds_the_conditions_that_a_join_relies_on(pipeline: Pipeline) -> None:
    """As S3 does (moto looks at none of a part that is copied)."""
    place = {"Bucket": pipeline.stack.output_bucket, "Key": "conditions/1.scoreout"}
    etag = pipeline.s3.put_object(**place, Body=b"one")["ETag"]
    upload = place | {"UploadId": pipeline.s3.create_multipart_upload(**place)["UploadId"]}
    copy = upload | {"PartNumber": 1, "CopySource": place, "CopySourceRange": "bytes=0-1", "CopySourceIfMatch": etag}
    assert pipeline.s3.upload_part_copy(**copy)
    pipeline.s3.put_object(**place, Body=b"two")
    refused: tuple[Callable[[], Any], ...] = (
        lambda: pipeline.s3.upload_part_copy(**copy),
        lambda: pipeline.s3.get_object(**place, IfMatch=etag, Range="bytes=0-1"),
        lambda: pipeline.s3.put_object(**place, Body=b"three", IfNoneMatch="*"),
    )
    for call in refused:
        with pytest.raises(ClientError, match="PreconditionFailed"):
            call()
    pipeline.s3.abort_multipart_upload(**upload)
    pipeline.s3.delete_object(**place)


def test_whoever_stops_the_attempt_of_a_file_stops_its_shards(
    pipeline: Pipeline, misbehaving: Callable[[str], str]
) -> None:
    tags = {"model_image": misbehaving("slow"), "protocol": "sagemaker", "pods": "2"}
    execution = pipeline.drop("shards/stopped.csv", b"a,b\n" + b"1,2\n" * 50_000, **tags)
    attempts = pipeline.scoring_shards(execution, 2)
    pipeline.sfn.stop_execution(executionArn=pipeline.attempt(execution))
    document = wait_for("the .error", partial(pipeline.read, "scored/shards/stopped.csv.error"), 30)
    assert json.loads(document)["error"] == "Aborted"
    for attempt in attempts:
        assert pipeline.ended(attempt)["status"] == "ABORTED"
    pipeline.assert_nothing_left(execution)
