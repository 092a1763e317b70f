"""Request → a pod of the file's own, its Service and its route, and mostly its endpoint, too; where there is no room, a place in
the queue is next.
"""

from typing import Any

from scoring.cluster import api as clusters
from scoring.cluster import manifest, pods, queue, room
from scoring.cluster.api import Api
from scoring.cluster.start import Start
from scoring.errors import QuotaExceeded
from scoring.intake import clusters as configured
from scoring.intake import identity
from scoring.intake import state as held
from scoring.observability import observed
from scoring.settings import ClusterSettings


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Launch the pod of the attempt, or adopt the one that an earlier call launched, and take a first look at its start: gives
    the `pod` of the state with its `endpoint`. A file that goes on several pods has none of its own: that is empty.

    Raises
    ------
    NoRoom, NoRoomYet
        The namespace is full, or others wait for it already.
    QuotaExceeded
        It is full where a Kueue queues the pods, or for an execution that began before a file could queue: those keep the
        definition that they began with.
    PodRefused, ClusterNotFound, ClusterAccessDenied, ClusterUnreachable, AccessDenied, AwsThrottled
    """
    state = event["state"]
    request = state["request"]
    if request.get("pods", 1) > 1:
        return {}
    api, cluster = clusters.connect(request["cluster"]), configured.of_request(request)
    pod = _launch(event, api, cluster)
    seconds = context.get_remaining_time_in_millis() / 1000 - 15
    return pod | {"endpoint": Start(api, pod, request, cluster, held.endpoint(state)).first_look(seconds)}


def _launch(event: dict[str, Any], api: Api, cluster: ClusterSettings) -> dict[str, Any]:
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
    # The definition of the release before says nothing, and queues nevertheless.
    queues = event.get("queues") or "full" in state
    if cluster.queue or not queues:
        return pods.launch(api, attempt, cluster)
    waiting, called = queue.Queue.of(request["cluster"], request["namespace"]), state.get("called", {})
    place = waiting.place(event["started"], event["attempt_id"])
    if not called.get("freed") and waiting.is_before(place) and not pods.exists(api, attempt):
        raise room.NoRoom("Other files wait for room in the namespace already.")
    try:
        pod = pods.launch(api, attempt, cluster)
    except QuotaExceeded as error:
        raise room.no_room(error, called) from error
    if "full" in state:
        waiting.leave(place)
    is_left, left = room.rest(called, pod["size"])
    if is_left:
        waiting.call(left)
    return pod
