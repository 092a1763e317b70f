"""Request → a pod of the file's own, its Service and its route."""

from typing import Any

from scoring.cluster import api as clusters
from scoring.cluster import manifest, pods
from scoring.intake import clusters as configured
from scoring.intake import identity
from scoring.observability import observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Launch the pod of the attempt, or adopt the one that an earlier call launched; gives the `pod` of the state.

    Raises
    ------
    QuotaExceeded, PodRefused, ClusterNotFound, ClusterAccessDenied, ClusterUnreachable
    """
    state = event["state"]
    request = state["request"]
    attempt = manifest.Attempt(
        event["attempt_id"],
        event["file_id"],
        event["execution"],
        identity.Source.from_json(state["source"]).uri,
        request,
        state["lost_pods"]["count"],
    )
    return pods.launch(clusters.connect(request["cluster"]), attempt, configured.of_request(request))
