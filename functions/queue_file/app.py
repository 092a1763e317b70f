"""A file that finds no room → its place in the queue of the namespace, where a tear_down calls it."""

from typing import Any

from scoring.cluster import queue, room
from scoring.errors import Failure
from scoring.observability import observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Put the token of the Task at the attempt's place; whoever makes room answers it with the `called` of the state.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    state = event["state"]
    request, called = state["request"], state.get("called", {})
    waiting = queue.Queue.of(request["cluster"], request["namespace"])
    place, awake = waiting.place(event["started"], event["attempt_id"]), called.get("awake", "")
    told = room.sleeper(event["token"], Failure.from_state(state["full"]).details.get("lacks", {}))
    etag, was_called = waiting.enter(place, told, awake)
    if room.tries_by_itself(place, waiting.first(), awake=bool(awake), was_called=was_called):
        waiting.rouse(place, told, etag)
    elif "pod" in state and not called:
        # Its own is lost, and others were before it: the room is the first one's.
        waiting.call(room.of_attempt(state))
    elif "Error" in called:
        # It has slept for as long as it may: nobody looks after those before it.
        waiting.call(None)
    return {"place": place}
