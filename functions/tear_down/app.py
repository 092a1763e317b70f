"""An attempt that is over → nothing of it left: pod, Service, route, unfinished upload."""

import json
from typing import Any

from scoring import aws, clusters, outcome, pods, settings
from scoring.observability import logger, observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Tear down after the state machine's own call, or after EventBridge tells that an attempt ended without one.

    Raises
    ------
    ClusterUnreachable, ClusterAccessDenied, AccessDenied, AwsThrottled
        Something may be left; the call is repeated.
    """
    if "detail" in event:
        detail = event["detail"]
        logger.append_keys(file_id=json.loads(detail.get("input") or "{}").get("file_id"), attempt_id=detail["name"])
        return {"deleted": _everywhere(detail["name"])}
    state, request = event["state"], event["state"].get("request")
    if not request:
        return {"deleted": []}
    deleted = pods.tear_down(clusters.connect(request["cluster"]), request["namespace"], event["attempt_id"])
    upload_id = state.get("scoring", {}).get("upload_id")
    if upload_id and "output" not in state:
        outcome.abort(aws.client("s3"), request["output"], upload_id)
        deleted.append(f"upload/{upload_id}")
    return {"deleted": deleted}


def _everywhere(attempt_id: str) -> list[str]:
    """An aborted execution no longer tells which cluster it used: look in each that it may have used."""
    return [
        item
        for cluster in settings.current().clusters.values()
        for namespace in cluster.namespaces
        for item in pods.tear_down(clusters.connect(cluster.name), namespace, attempt_id)
    ]
