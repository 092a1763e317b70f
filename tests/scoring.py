"""A file's way through the library, from its tags to its outcome in S3, as the functions take it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from scoring import streaming
from scoring.files import inspection
from scoring.files.rejects import Limit
from scoring.intake import request as asked
from scoring.outcome import files as outcome
from scoring.protocols.model import Model
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, settings, source

OUTPUT = {"bucket": OUTPUT_BUCKET, "key": "scored/file.scoreout"}


def scored(s3: Any, url: str, name: str, body: bytes, tags: Mapping[str, str]) -> Mapping[str, Any]:
    """Drop a file with its tags and get it scored by the model at `url`; its `scoring`. The outcome is at `OUTPUT`.

    Raises
    ------
    DropscoreError
        What its `.error` would be made of.
    """
    key = f"incoming/{name}"
    etag = s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=body)["ETag"].strip('"')
    found = source(key=key, etag=etag, size=len(body))
    configured = settings()
    wanted = asked.from_tags({"model_image": "model", **tags}, configured)
    strict = not Limit.of(wanted.max_errors)
    spec = inspection.of_object(s3, found, wanted.reading, configured.input_suffix, wanted.protocol, strict=strict)
    # An attempt of its own: it would go on with what an earlier one has begun.
    output = OUTPUT | {"progress": f"scored/.progress/{uuid4()}"}
    # As the state holds it between two functions.
    request = json.loads(json.dumps(asked.to_json(wanted, "model@sha256:0", output, spec.to_json(), configured)))
    given = outcome.scored_tags(found, request, "execution-1")
    scoring: Mapping[str, Any] = streaming.open_upload(s3, found, request, given, datetime.now(UTC))
    while scoring.get("status") != "DONE":
        scoring = streaming.advance(
            streaming.Job(
                s3=s3,
                model=Model(url),
                source=found,
                request=request,
                pod_uid="uid-1",
                scoring=scoring,
                seconds_left=lambda: 900.0,
                now=lambda: datetime.now(UTC),
            )
        )
    outcome.publish(s3, output, scoring, given)
    return scoring
