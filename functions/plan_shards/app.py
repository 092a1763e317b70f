"""A large file → its shards, one for each of its pods, and the upload that they are put together in."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, streaming
from scoring.intake import identity
from scoring.observability import observed
from scoring.outcome import files as outcome
from scoring.outcome import history
from scoring.streaming import planning


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Go on with the look through the file; gives the `scoring` of the state: `status` PLANNING (come back) or PLANNED, then
    with the `shards`.

    Raises
    ------
    EmptyFile, InvalidFile, SourceGone, SourceChanged, ScoringFailed, AccessDenied, AwsThrottled
    """
    s3, state = aws.client("s3"), event["state"]
    source, request = identity.Source.from_json(state["source"]), state["request"]
    planned = planning.plan(
        s3, source, request, state.get("scoring", {}), lambda: context.get_remaining_time_in_millis() / 1000
    )
    if planned["status"] == "PLANNING":
        return planned
    tags = outcome.scored_tags(source, request, event["execution"])
    version = {"state_machine": history.version_of(aws.client("stepfunctions"), event["execution"])}
    return streaming.open_upload(s3, source, request, tags, datetime.now(UTC)) | planned | version
