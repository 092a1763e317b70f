"""Pod → its endpoint, once the pod is ready and its route carries to the model."""

from typing import Any

from scoring.cluster import api as clusters
from scoring.cluster import readiness
from scoring.intake import clusters as configured
from scoring.observability import observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Wait for the pod; gives the `endpoint` of the state: `status` PENDING (come back) or READY, then with `url` and `pod`.

    Raises
    ------
    ImagePullFailed, PodCrashed, PodLost, PodNotReady, PodRefused, PodUnschedulable, RouteNotReady
    """
    request, pod = event["state"]["request"], event["state"]["pod"]
    api = clusters.connect(request["cluster"])
    found = readiness.await_ready(api, pod, request, context.get_remaining_time_in_millis() / 1000 - 15)
    if isinstance(found, str):
        return {"status": "PENDING", "waiting_for": found}
    url = readiness.await_route(api, pod, found, request, configured.of_request(request))
    return {"status": "READY", "url": url, "pod": pod["uid"]}
