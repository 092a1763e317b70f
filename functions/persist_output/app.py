"""Uploaded parts → `.scoreout` with its tags; a stale `.error` goes."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, settings
from scoring.cluster.containers import parse_time
from scoring.intake import identity
from scoring.intake import state as held
from scoring.observability import count, observed
from scoring.outcome import events, index, joining, receipts
from scoring.outcome import files as outcome

# What the file's attempt puts the shards together by.
_OF_A_SHARD = ("bytes", "rejected_bytes", "crc", "columns", "first")


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Publish the scored file, put together from its shards where it has some; gives the `output` of the state.

    What came of a shard is completed for its file's own attempt to find.

    Raises
    ------
    InvalidFile, ModelFailed, ScoringFailed, AccessDenied, AwsThrottled
    """
    s3, state = aws.client("s3"), event["state"]

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis() / 1000)

    source, request, scoring = identity.Source.from_json(state["source"]), held.request(state), state["scoring"]
    if "shards" in state:
        outcomes = [each["output"] for each in state["shards"]]
        scoring = joining.join(s3, source, request, scoring, outcomes, seconds_left)
        request |= {"protocol": outcomes[0]["protocol"], "pods": len(outcomes)}
    started, finished = parse_time(event["started"]), datetime.now(UTC)
    duration = (finished - started).total_seconds()
    counts = {name: scoring[name] for name in ("rows", "padded", "rejected") if name in scoring}
    more = counts | {"duration_seconds": f"{duration:.1f}"}
    tags = outcome.scored_tags(source, request, event["execution"], more)
    uri = f"s3://{request['output']['bucket']}/{request['output']['key']}"
    if "shard" in state:
        etags = outcome.complete(s3, request["output"], scoring, tags, is_shard=True)
        told = {name: scoring[name] for name in _OF_A_SHARD if name in scoring}
        return {"uri": uri, "protocol": request["protocol"], **counts, **told, **etags}
    published = outcome.publish(s3, request["output"], scoring, tags)
    count("FilesScored")
    configured, whole = settings.current(), state | {"request": request, "scoring": scoring}
    detail = events.scored(whole, event["execution"], started, finished, configured.stack_name, not published)
    receipts.write(configured, detail, whole, finished, seconds_left)
    events.tell(configured, events.SCORED, detail)
    index.write(configured, detail)
    return {"uri": uri, **counts} | ({} if published else {"superseded": True})
