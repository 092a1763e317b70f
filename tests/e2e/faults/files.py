"""Files that are odd, and events that come twice or together."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e import models
from tests.e2e.faults.case import Case, Stage, judge_scored
from tests.e2e.pipeline import Outcome, wait_for

RECORD = b"a,b\n1,2\n"


def drop_each(*names: str) -> Any:
    """Drop the same content under each of these names, at once."""

    def inject(stage: Stage) -> Iterable[str]:
        with ThreadPoolExecutor(len(names)) as pool:
            yield from pool.map(stage.drop, names)

    return inject


def under_its_own_name(stage: Stage, _execution: str, outcome: Outcome) -> None:
    judge_scored(outcome, stage.case.body)
    assert outcome.key.startswith(f"scored/{stage.case.name}/")


def event(*sources: dict[str, Any]) -> dict[str, Any]:
    """What S3 tells start_scoring of these files."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": source["bucket"]},
                    "object": {
                        "key": source["key"].replace("+", "%2B").replace(" ", "+"),
                        "size": source["size"],
                        "eTag": source["etag"],
                        "sequencer": source["sequencer"],
                        **({"versionId": source["version_id"]} if source["version_id"] else {}),
                    },
                },
            }
            for source in sources
        ]
    }


def repeat_the_event(stage: Stage) -> Iterable[str]:
    """The event twice more at once while the file is scored, and again after the end."""
    pipeline = stage.pipeline
    execution = stage.drop()
    source = json.loads(pipeline.sfn.describe_execution(executionArn=execution)["input"])["source"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: pipeline.invoke("StartScoring", event(source)), range(2)))
    pipeline.ended(execution)
    pipeline.invoke("StartScoring", event(source))
    assert pipeline.executions(stage.key()) == [execution]
    yield execution


def three_in_one_event(stage: Stage) -> Iterable[str]:
    """S3's own notification is off meanwhile; what start_scoring gets is one event of three records."""
    pipeline, bucket = stage.pipeline, stage.pipeline.stack.input_bucket
    usual = pipeline.s3.get_bucket_notification_configuration(Bucket=bucket)
    usual.pop("ResponseMetadata")
    pipeline.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    sources = []
    try:
        for number in range(3):
            put = {"Bucket": bucket, "Key": stage.key(f"{number}.csv"), "Body": stage.case.body}
            tagging = "&".join(f"{name}={value}" for name, value in stage.tags({}).items())
            etag = pipeline.s3.put_object(**put, Tagging=tagging)["ETag"].strip('"')
            source = {"bucket": bucket, "key": put["Key"], "version_id": "", "etag": etag}
            sources.append(source | {"size": len(stage.case.body), "sequencer": f"{number:018}"})
        assert len(pipeline.invoke("StartScoring", event(*sources))["started"]) == 3
    finally:
        pipeline.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=usual)
    for source in sources:
        yield pipeline.execution(source["key"], "")


def overwrite(stage: Stage) -> Iterable[str]:
    """Two versions: the first is being scored when the second comes."""
    pipeline = stage.pipeline
    first = stage.drop()
    stage.scoring(first)
    second = stage.drop(body=stage.case.body + b"7,8\n")
    assert pipeline.ended(first)["status"] == "SUCCEEDED"
    pipeline.assert_nothing_left(first)
    yield second


def overtake(stage: Stage) -> Iterable[str]:
    """Two versions: the model of the first answers when the second is done."""
    pipeline = stage.pipeline
    first = stage.drop(model_image=models.push(pipeline, "held"))
    endpoint = stage.scoring(first)["pod"]["endpoint"]["url"]
    second = stage.drop(body=stage.case.body + b"7,8\n")
    pipeline.ended(second)
    models.release(endpoint)
    pipeline.ended(first)
    pipeline.assert_nothing_left(first)
    yield second


def fail_after_a_newer_one(stage: Stage) -> Iterable[str]:
    """Two versions: the second has failed already when the first is stopped."""
    pipeline = stage.pipeline
    first = stage.drop(model_image=models.push(pipeline, "stuck"))
    stage.scoring(first)
    second = stage.drop(body=b"")
    pipeline.ended(second)
    pipeline.sfn.stop_execution(executionArn=first)
    told = f"{pipeline.stack.output_prefix}.progress/.told/{pipeline.attempt(first).rpartition(':')[2]}"
    wait_for("the older version to be told of", lambda: pipeline.read(told), 60)
    pipeline.assert_nothing_left(first)
    yield second


def delete(for_good: bool) -> Any:
    """Delete the file while its pod starts: a marker on top of its versions, or the version itself."""

    def inject(stage: Stage) -> Iterable[str]:
        pipeline = stage.pipeline
        execution = stage.drop()
        version = pipeline.starting(execution)["source"]["version_id"]
        which = {"VersionId": version} if for_good else {}
        pipeline.s3.delete_object(Bucket=pipeline.stack.input_bucket, Key=stage.key(), **which)
        yield execution

    return inject


def padded(_stage: Stage, _execution: str, outcome: Outcome) -> None:
    assert outcome.lines == [b"a,b,prediction", b"1,2,1", b"3,,1"]
    assert outcome.tags["padded"] == "1"


def rejected(stage: Stage, _execution: str, outcome: Outcome) -> None:
    assert outcome.lines == [b"a,b,prediction", b"1,2,1", b"3,4,", b"6,7,1"]
    listed = stage.pipeline.read(outcome.key.removesuffix(".scoreout") + ".rejected")
    assert listed == b'row,offset,reason,record\n2,8,"It has 3 fields, the header has 2.","3,4,5"\n'


EMPTY = "EmptyFile"
FILL_IT = "a header line and at least one record"
KEYS = {
    "spaces": ("with some spaces.csv", " leading and trailing .csv"),
    "unicode": ("größe/ñandú 雪.csv",),
    "upper-case": ("UPPER_Case.CSV.csv",),
    "plus": ("a+b.csv", "a b.csv", "a%2Bb.csv"),
    "200-characters": (f"{'x' * 196}.csv",),
    "quotes-and-dollars": ('it\'s "$(id)" & {a;b}.csv', "-rf.csv", "x..csv"),
    "same-name-in-two-folders": ("one/same.csv", "two/same.csv"),
    "folder-beside-hyphen": ("a/b.csv", "a-b.csv"),
    "deep": ("1/2/3/4/5/6/7/8/9/10.csv",),
}
CASES = (
    Case("file-of-0-bytes", "the file has no byte", EMPTY, "is empty", FILL_IT, body=b""),
    Case(
        "file-of-0-bytes-sas", "the same, for a `sas` container", EMPTY, "is empty", FILL_IT, body=b"", protocol="sas"
    ),
    Case("file-of-a-header", "the file is its header alone", EMPTY, "no record below", FILL_IT, body=b"a,b\n"),
    Case(
        "file-of-a-header-sas",
        "the same, for a `sas` container",
        EMPTY,
        "no record below",
        FILL_IT,
        body=b"a,b\n",
        protocol="sas",
        model="script-well",
    ),
    Case(
        "file-of-blank-lines",
        "the file holds line ends only",
        EMPTY,
        "no header and no record",
        FILL_IT,
        body=b"\n\n\n",
    ),
    Case(
        "file-binary",
        "bytes that are no text, named .csv",
        "InvalidFile",
        "holds zero bytes",
        "export it as CSV",
        body=bytes(range(256)) * 40,
        protocol="sas",
        model="",
        tags={"model_image": "sas-anomaly", "memory": "512Mi"},
    ),
    Case(
        "file-workbook",
        "an Excel workbook",
        "InvalidFile",
        "an Excel workbook",
        "Export it as CSV",
        body=b"PK\x03\x04xl/workbook.xml",
        inject=drop_each("book.xlsx"),
    ),
    Case(
        "file-of-another-suffix",
        "the name has none of the suffixes",
        "InvalidFile",
        "does not end with .csv or .csv.gz or .jsonl",
        "IgnoredFiles",
        inject=drop_each("notes.txt"),
    ),
    Case(
        "file-without-a-header",
        "the first record is data: nothing but numbers",
        "InvalidFile",
        "cannot be told whether it is a header",
        "header=none",
        body=b"1,2\n3,4\n",
    ),
    Case(
        "file-with-a-long-row",
        "a row has more fields than the header",
        "InvalidFile",
        "Row 2: It has 3 fields, the header has 2.",
        "max_errors",
        body=b"a,b\n1,2\n3,4,5\n",
    ),
    Case(
        "file-with-a-short-row",
        "a row has fewer fields than the header",
        but="scored: the missing fields are empty; the tag padded counts such rows",
        body=b"a,b\n1,2\n3\n",
        check=padded,
    ),
    Case(
        "file-with-bad-records-allowed",
        "a row has more fields than the header; the tag max_errors allows for one",
        but="scored: that row has no prediction, and is listed in the .rejected",
        body=b"a,b\n1,2\n3,4,5\n6,7\n",
        tags={"max_errors": "1"},
        check=rejected,
    ),
    Case(
        "file-with-an-open-quote",
        "a quote is never closed",
        "InvalidFile",
        "Row 2, at byte 8, begins a quote that is never closed",
        "Close the quote",
        body=b'a,b\n1,2\n"3,4\n5,6\n',
    ),
    Case(
        "file-gzip-cut-short",
        "the upload of a compressed file was cut short",
        "InvalidFile",
        "is cut short",
        "Upload the whole file",
        body=gzip.compress(b"a,b\n" + b"1,2\n" * 1_000, mtime=0)[:-9],
        inject=drop_each("file.csv.gz"),
    ),
    Case(
        "file-without-last-line-end",
        "the last record has no line end",
        but="scored, every record",
        body=b"a,b\n1,2\n3,4",
    ),
    Case(
        "event-repeated",
        "the same event twice more at once while the file is scored, and again after the end",
        but="scored once: nothing else is started",
        model="slow",
        inject=repeat_the_event,
    ),
    Case(
        "event-of-three-records",
        "one event tells of three files",
        but="scored, each on its own",
        inject=three_in_one_event,
        rough=True,
    ),
    Case(
        "version-overwritten",
        "the file is overwritten while it is scored, in a bucket with versions",
        but="both are scored, each as it was dropped; the newer's result stays",
        model="slow",
        inject=overwrite,
    ),
    Case(
        "version-overtaken",
        "the same, and the newer one is done first",
        but="both are scored; the older does not replace the newer's result",
        inject=overtake,
    ),
    Case(
        "version-fails-later",
        "the file is overwritten with an empty one while it is scored, and the older version fails when the newer has failed",
        EMPTY,
        "is empty",
        FILL_IT,
        inject=fail_after_a_newer_one,
    ),
    Case(
        "version-deleted",
        "the file is deleted while its pod starts, in a bucket with versions",
        but="scored: the version is there still",
        model="slow-to-start",
        inject=delete(for_good=False),
    ),
    Case(
        "version-deleted-for-good",
        "the version itself is deleted while its pod starts",
        "SourceGone",
        "is not there any more",
        "Drop the file again",
        model="slow-to-start",
        inject=delete(for_good=True),
    ),
    *(
        Case(
            f"key-{name}",
            " and ".join(f"`{key if len(key) < 60 else key[:20] + '…'}`" for key in keys) + " dropped at once",
            but="scored, each under its own name",
            body=RECORD,
            inject=drop_each(*keys),
            check=under_its_own_name,
        )
        for name, keys in KEYS.items()
    ),
)
