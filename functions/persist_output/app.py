"""Uploaded parts → `.scoreout` with its tags; a stale `.error` goes."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws
from scoring.cluster.containers import parse_time
from scoring.intake import identity
from scoring.intake import state as held
from scoring.observability import count, observed
from scoring.outcome import files as outcome


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Publish the scored file; gives the `output` of the state.

    Raises
    ------
    ScoringFailed, AccessDenied, AwsThrottled
    """
    state = event["state"]
    request, scoring = held.request(state), state["scoring"]
    duration = (datetime.now(UTC) - parse_time(event["started"])).total_seconds()
    counts = {name: scoring[name] for name in ("rows", "padded", "rejected") if name in scoring}
    more = counts | {"duration_seconds": f"{duration:.1f}"}
    tags = outcome.scored_tags(identity.Source.from_json(state["source"]), request, event["execution"], more)
    published = outcome.publish(aws.client("s3"), request["output"], scoring, tags)
    count("FilesScored")
    uri = f"s3://{request['output']['bucket']}/{request['output']['key']}"
    return {"uri": uri, **counts} | ({} if published else {"superseded": True})
