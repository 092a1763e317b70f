"""What is gathered for the `.error` after something went wrong; nothing here may hide the first error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws
from scoring.cluster import api as clusters
from scoring.cluster import containers, diagnosis, readiness
from scoring.errors import UNNAMED_ENDS, DropscoreError, Failure
from scoring.intake import shard
from scoring.intake import state as held
from scoring.observability import logger
from scoring.outcome import files, history

_EVENTS = 20


def stage(state: Mapping[str, Any]) -> str:
    """The step that failed, told by what the state holds so far (a Catch does not say where it caught)."""
    if "request" not in state:
        return "resolve_request"
    if state["request"].get("pods", 1) > 1:
        planned = state.get("scoring", {}).get("status") == "PLANNED"
        return "persist_output" if "shards" in state else "score_shards" if planned else "plan_shards"
    # After a lost pod, the state still holds that one and its endpoint until there are new ones.
    replaced = state.get("lost_pods", {}).get("count", 0) - (state.get("error", {}).get("Error") == "PodLost")
    if "pod" not in state or state["pod"].get("replaces", 0) < replaced:
        return "launch_pod"
    endpoint = held.endpoint(state)
    if endpoint.get("status") != "READY" or endpoint.get("pod") != state["pod"]["uid"]:
        return "await_pod"
    return "persist_output" if state.get("scoring", {}).get("status") == "DONE" else "stream_file"


def of_failure(s3: Any, state: Mapping[str, Any]) -> tuple[Failure, str, dict[str, Any]]:
    """What an attempt failed with, in which step, and its pod's evidence; of a file with shards, those of the shard."""
    failure, where = Failure.from_state(state["error"]), stage(state)
    if where != "score_shards":
        return failure, where, of_pod(state)
    return _of_shards(s3, state) or (_of_child(state["error"]) or failure, where, {})


def _of_shards(s3: Any, state: Mapping[str, Any]) -> tuple[Failure, str, dict[str, Any]] | None:
    """What the `.error` of a shard that failed tells; None if none can be read.

    Several may fail, and each tells by itself: the one that is first in the file is what one pod would have failed with.
    """
    output = state["request"]["output"]
    for each in state["scoring"]["shards"]:
        key = files.error_key(shard.output(output, each["number"])["key"])
        try:
            told = json.loads(s3.get_object(Bucket=output["bucket"], Key=key)["Body"].read())
            failure = Failure(told["error"], told["summary"], told["remedy"], told.get("details", {}))
            return failure, told["stage"], told.get("pod", {})
        except Exception as error:  # noqa: BLE001
            # What the file failed with is to be told all the same, by what Step Functions knows of it.
            if not (isinstance(error, ClientError) and aws.code(error) == "NoSuchKey"):
                logger.warning("no evidence", what=f"s3://{output['bucket']}/{key}", reason=_reason(error))
    return None


def _of_child(error: Mapping[str, Any]) -> Failure | None:
    """What the attempt of a shard ended with, by the description that is the cause of States.TaskFailed (Step Functions
    Developer Guide, "Integrating services", startExecution.sync); None for any other error.
    """
    if error.get("Error") != "States.TaskFailed":
        return None
    try:
        child = json.loads(error["Cause"])
        status, details = str(child["Status"]), {"attempt": str(child["ExecutionArn"])}
    except (TypeError, ValueError, KeyError):
        # A cause may have been cut.
        status, child, details = "", {}, {}
    remedy = "Redrive the score_file execution."
    if status == "FAILED" and child.get("Error"):
        found = Failure.from_state(child)
        if found.details.get("message") == child.get("Cause") and "." not in found.name:
            # The words of its Fail state, which are those of its `.error`.
            found = Failure(found.name, str(child["Cause"]), remedy)
        return replace(found, details=found.details | details)
    name = UNNAMED_ENDS.get(status, UNNAMED_ENDS["ABORTED"])
    ended = {"TIMED_OUT": "has timed out", "ABORTED": "was stopped"}.get(status, "was stopped, or has timed out")
    return Failure(name, f"The execution that scored a part of the file {ended}.", remedy, details)


def unreported(detail: Mapping[str, Any], stepfunctions: Any) -> dict[str, Any] | None:
    """The state of an execution that ended without a `.error` or a `.scoreout`, with the `error` that it ended with.

    Parameters
    ----------
    detail
        Of the EventBridge event "Step Functions Execution Status Change".

    Returns
    -------
    dict or None
        None when the file has its outcome: from the attempt itself, or, for a parent, from the attempt it started.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    state = history.last_state(stepfunctions, detail["executionArn"])
    if "shard" in state:
        # The attempt of the file tells of its shards.
        return None
    if "source" not in state or "failure" in state or "output" in state:
        return None
    # A parent that has had an attempt leaves the word to it.
    if history.STARTED_BY not in state and history.has_started_a_child(stepfunctions, detail["executionArn"]):
        return None
    return {"error": {"Error": ends(detail)["error"], "Cause": detail.get("cause")}} | state


def ends(detail: Mapping[str, Any]) -> dict[str, str]:
    """The `error` and the `cause` that an execution has ended with, as EventBridge tells of it; either may be empty."""
    name = detail.get("error") or UNNAMED_ENDS.get(detail["status"], "")
    return {"error": name, "cause": detail.get("cause") or ""}


def of_pod(state: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions, containers' states, events and log tail of the attempt's pod, as far as they can be had.

    `container` and `log_tail` are the model's; where another container kept it from starting, `log_of` names that one.
    """
    pod = state.get("pod")
    if not pod:
        return {}
    gathered: dict[str, Any] = {"name": pod["name"], "namespace": pod["namespace"]}
    missing: list[str] = []

    def gather(name: str, read: Callable[[], Any]) -> None:
        try:
            gathered[name] = read()
        except Exception as error:  # noqa: BLE001
            # The error that brought us here is the one to report; this only tells why its evidence is thin.
            reason = _reason(error)
            logger.warning("no evidence", what=name, reason=reason)
            missing.append(f"{name}: {reason}")

    try:
        api = clusters.connect(state["request"]["cluster"])
    except Exception as error:  # noqa: BLE001  (as above)
        return gathered | {"missing": [_reason(error)]}
    current: dict[str, Any] = {}

    def status() -> dict[str, Any]:
        current.update(readiness.get(api, pod))
        return _status(current)

    gather("status", status)
    gather("events", lambda: [_line(event) for event in readiness.events(api, pod)[-_EVENTS:]])
    culprit = diagnosis.culprit(current)
    if culprit != containers.MODEL:
        gathered["log_of"] = culprit
    gather("log_tail", lambda: readiness.log(api, pod, culprit).splitlines())
    return gathered | ({"missing": missing} if missing else {})


def _reason(error: Exception) -> str:
    return error.summary if isinstance(error, DropscoreError) else repr(error)


def _status(pod: Mapping[str, Any]) -> dict[str, Any]:
    status = pod.get("status", {})
    told = {
        name: {key: state[key] for key in ("state", "lastState") if state.get(key)}
        for name in (*containers.before_the_model(pod), *containers.beside_the_model(pod), containers.MODEL)
        if (state := containers.status(pod, name))
    }
    return {
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "conditions": [
            {key: condition[key] for key in ("type", "status", "reason", "message") if condition.get(key)}
            for condition in status.get("conditions") or ()
        ],
        "container": told.pop(containers.MODEL, {}),
        **({"other_containers": told} if told else {}),
    }


def _line(event: Mapping[str, Any]) -> str:
    times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    return f"{event.get('type')} {event.get('reason')}{times}: {event.get('message')}"
