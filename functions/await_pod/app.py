"""Pod → its endpoint, once the pod is ready and its route carries to the model."""

from typing import Any

from scoring.cluster import api as clusters
from scoring.cluster.start import Start
from scoring.intake import clusters as configured
from scoring.intake import state as held
from scoring.observability import observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Wait for the pod and the model's ping; gives the `endpoint` of the pod in the state: `status` PENDING (come back in
    `wait_seconds`) or READY, then with `url` and `protocol`; with the uid of the `pod` either way.

    Raises
    ------
    ClusterNotFound, ImagePullFailed, InvalidFile, InvalidTags, PodCrashed, PodLost, PodNotReady, PodRefused, PodUnschedulable,
    RouteNotReady
    """
    state = event["state"]
    request = state["request"]
    api, cluster = clusters.connect(request["cluster"]), configured.of_request(request)
    seconds = context.get_remaining_time_in_millis() / 1000 - 15
    return Start(api, state["pod"], request, cluster, held.endpoint(state)).await_endpoint(seconds)
