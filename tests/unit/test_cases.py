"""Each file that people drop gets what it must get: read, scored by a model over real HTTP, published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from scoring.errors import DropscoreError
from tests.builders import OUTPUT_BUCKET
from tests.cases import CASES, Case
from tests.models_of_cases import answer
from tests.scoring import OUTPUT, scored
from tests.unit.servers import Reply, Request, Server


def score(s3: Any, server: Server, case: Case) -> Mapping[str, Any]:
    """The way of a file from its tags to its outcome; its `scoring`."""
    return scored(s3, server.url, case.file, case.body, {"protocol": case.protocol, **case.tags})


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
