"""An attempt that is over → nothing of it left: pod, Service, route, unfinished upload; its room goes to the next file."""

from typing import Any

from scoring import aws
from scoring.cluster import api as clusters
from scoring.cluster import pods, queue
from scoring.errors import DropscoreError
from scoring.intake import shard
from scoring.intake import state as held
from scoring.observability import logger, observed
from scoring.outcome import files as outcome
from scoring.outcome import history
from scoring.streaming import progress


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Tear down after the state machine's own call, or after EventBridge tells that an attempt ended without one.

    Raises
    ------
    ClusterUnreachable, ClusterAccessDenied, AccessDenied, AwsThrottled
        Something may be left; the call is repeated.
    """
    if "detail" in event:
        # An aborted execution runs no further state; how far it had come is in its history.
        attempt_id, execution = event["detail"]["name"], event["detail"]["executionArn"]
        state = history.last_state(aws.client("stepfunctions"), execution)
        logger.append_keys(file_id=state.get("file_id"), attempt_id=attempt_id)
    else:
        attempt_id, state = event["attempt_id"], event["state"]
    state = shard.own(state)
    request = state.get("request")
    if not request:
        return {"deleted": []}
    deleted: list[str] = []
    failed: DropscoreError | None = None
    if (held.endpoint(state) or state.get("scoring") or request.get("pods", 1) > 1) and not event.get("keep_upload"):
        # First, since it needs no cluster: a cluster that is gone for good must not keep an upload alive.
        try:
            deleted = _forget(aws.client("s3"), state, is_told_of="detail" in event)
        except DropscoreError as error:
            failed = error
    torn_down = pods.tear_down(clusters.connect(request["cluster"]), request["namespace"], attempt_id)
    if failed:
        # Nor must an S3 that refuses keep a pod alive. Tried again, this comes to the queue, which is in S3 as well.
        raise failed
    queue.leave(event, state, attempt_id, torn_down)
    return {"deleted": deleted + torn_down}


def _forget(s3: Any, state: dict[str, Any], *, is_told_of: bool) -> list[str]:
    """Give up what there is in S3 of an attempt on its way, unless it was published; `is_told_of` by EventBridge."""
    deleted: list[str] = []
    output, scoring = state["request"]["output"], state.get("scoring", {})
    if "output" not in state:
        uploads = scoring if scoring.get("upload_id") else _recorded_uploads(s3, output)
        deleted += [f"upload/{upload_id}" for upload_id in outcome.abort(s3, output, uploads)]
    progress.forget(s3, output)
    # EventBridge tells of none that has succeeded.
    if "shard" in state["request"] and ("output" not in state or is_told_of):
        outcome.forget_shard(s3, output)
    if "shards" in scoring:
        outcome.forget_shards(s3, output, len(scoring["shards"]))
    return deleted


def _recorded_uploads(s3: Any, output: dict[str, str]) -> dict[str, str]:
    found = progress.Progress.find(s3, output)
    return {"upload_id": found.upload_id, "rejected_upload_id": found.rejected_upload_id} if found else {}
