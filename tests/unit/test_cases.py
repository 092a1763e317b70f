"""Each file that people drop gets what it must get: read, scored by a model over real HTTP, published."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from scoring import streaming
from scoring.errors import DropscoreError
from scoring.files import inspection
from scoring.files.rejects import Limit
from scoring.intake import request as asked
from scoring.outcome import files as outcome
from scoring.protocols.model import Model
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, settings, source
from tests.cases import CASES, Case
from tests.models_of_cases import answer
from tests.unit.servers import Reply, Request, Server

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
OUTPUT = {"bucket": OUTPUT_BUCKET, "key": "scored/file.scoreout", "progress": "scored/.progress/attempt-1"}
SUFFIXES = (".csv", ".csv.gz", ".jsonl")


def score(s3: Any, server: Server, case: Case) -> dict[str, Any]:
    """The way of a file from its tags to its outcome; its `scoring`."""
    key = f"incoming/{case.file}"
    etag = s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=case.body)["ETag"].strip('"')
    found = source(key=key, etag=etag, size=len(case.body))
    configured = settings()
    wanted = asked.from_tags({"model_image": "echo", "protocol": case.protocol, **case.tags}, configured)
    strict = not Limit.of(wanted.max_errors)
    spec = inspection.of_object(s3, found, wanted.reading, SUFFIXES, wanted.protocol, strict=strict)
    # As the state holds it between two functions.
    request = json.loads(json.dumps(asked.to_json(wanted, "echo@sha256:0", OUTPUT, spec.to_json(), configured)))
    scoring = streaming.open_upload(s3, found, request, {}, NOW)
    while scoring["status"] != "DONE":
        scoring = streaming.advance(
            streaming.Job(
                s3=s3,
                model=Model(server.url),
                source=found,
                request=request,
                pod_uid="uid-1",
                scoring=scoring,
                seconds_left=lambda: 900.0,
                now=lambda: NOW,
            )
        )
    outcome.publish(s3, request["output"], scoring, {"execution": "1", "sequencer": "1"})
    return scoring


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_gets_what_it_must_get(s3: Any, server: Server, case: Case) -> None:
    def reply(request: Request) -> Reply:
        status, body, headers = answer(case.model, request.method, request.path, dict(request.headers), request.body)
        return Reply(status, body, headers=headers)

    server.answers["GET"] = server.answers["POST"] = reply
    if case.error:
        with pytest.raises(DropscoreError) as raised:
            score(s3, server, case)
        error = raised.value
        assert type(error).__name__ == case.error
        assert all(words in error.summary for words in case.summary), error.summary
        assert all(words in error.remedy for words in case.remedy), error.remedy
        assert all(words in map(str, error.details.values()) for words in case.details), error.details
        assert bool(server.requests) != case.is_refused_early
        return
    scoring = score(s3, server, case)
    assert s3.get_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT["key"])["Body"].read() == case.scored
    assert {name: str(scoring[name]) for name in case.tags_out} == case.tags_out
    kept = s3.list_objects_v2(Bucket=OUTPUT_BUCKET, Prefix="scored/file.rejected").get("KeyCount")
    if case.rejected:
        rejected = s3.get_object(Bucket=OUTPUT_BUCKET, Key="scored/file.rejected")["Body"].read()
        assert rejected == case.rejected
    assert kept == bool(case.rejected)
