"""What EventBridge is told of each file: one event an attempt, `File Scored` or `File Failed` (docs/events.md).

The event follows the outcome, and a record in S3 follows the event: a function that is called again, since its answer was
lost or since EventBridge delivers more than once, finds the record and tells nothing anew. One that dies between the event
and the record tells it twice, under the same id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scoring import aws
from scoring.errors import Failure, abridged
from scoring.intake import identity
from scoring.intake import state as held
from scoring.intake.identity import Source
from scoring.observability import count, logger
from scoring.outcome import files, history
from scoring.settings import Settings

SOURCE, SCORED, FAILED = "dropscore", "File Scored", "File Failed"
VERSION = "1"

# An entry may have 256 KiB (Amazon EventBridge User Guide, "Calculating PutEvents event entry size"), and a character up
# to twelve bytes as JSON.
_TEXT_CHARACTERS, _MESSAGE_CHARACTERS = 4_000, 1_000
# Of an entry that EventBridge did not take though it took the call; botocore repeats calls by itself.
_TRIES, _PAUSE_SECONDS = 3, 0.5
# In a text that an input transformer puts between quotes, it escapes nothing.
_PLAIN = str.maketrans({'"': "'", "\\": "/"})


def scored(
    state: Mapping[str, Any], execution: str, started: datetime, finished: datetime, stack: str, superseded: bool
) -> dict[str, Any]:
    """The detail of `File Scored` (pure); `state` holds the `scoring` with what `persist_output` knows of it."""
    source, request, scoring = Source.from_json(state["source"]), held.request(state), state["scoring"]
    output = {"bucket": request["output"]["bucket"], "key": request["output"]["key"]}
    counts = {name: scoring[name] for name in ("rows", "padded", "rejected", "bytes") if name in scoring}
    if scoring.get("rejected"):
        output["rejected_key"] = identity.rejected_key(output["key"])
    words = f"{source.uri} is scored: {scoring['rows']} rows in s3://{output['bucket']}/{output['key']}"
    if scoring.get("rejected"):
        words += f", {scoring['rejected']} of them rejected"
    if superseded:
        words = f"{source.uri} was scored, but a newer version of it has its outcome already"
    return {
        **_common(state, execution, "scored", started, finished, stack),
        "output": output,
        **counts,
        **({"superseded": True} if superseded else {}),
        "message": _plain(f"{words}."),
    }


def failed(
    state: Mapping[str, Any],
    execution: str,
    started: datetime | None,
    finished: datetime,
    stack: str,
    failure: Failure,
    stage: str,
    output: Mapping[str, str],
    superseded: bool,
) -> dict[str, Any]:
    """The detail of `File Failed` (pure); `output` is where the `.error` lies, and a `superseded` one was not written."""
    source = Source.from_json(state["source"])
    words = f"{source.uri} is not scored ({failure.name}): {failure.summary} {failure.remedy}"
    return {
        **_common(state, execution, "failed", started, finished, stack),
        "output": dict(output),
        "error": failure.name,
        "stage": stage,
        "summary": _text(failure.summary),
        "remedy": _text(failure.remedy),
        **({"superseded": True} if superseded else {}),
        "message": _plain(words),
    }


def _common(
    state: Mapping[str, Any], execution: str, outcome: str, started: datetime | None, finished: datetime, stack: str
) -> dict[str, Any]:
    attempt = execution.rsplit(":", 1)[-1]
    # An execution that was ended before it had an attempt tells of itself.
    file_execution = state.get(history.STARTED_BY, execution)
    told: dict[str, Any] = {
        "version": VERSION,
        "id": f"{attempt}/{outcome}",
        "stack": stack,
        "file_id": state.get("file_id"),
        "attempt": attempt,
        "execution": execution,
        "file_execution": file_execution,
        "console": files.console_link(file_execution),
        "source": Source.from_json(state["source"]).to_json(),
        "finished": finished.isoformat(timespec="milliseconds"),
    }
    if started:
        told |= {
            "started": started.isoformat(timespec="milliseconds"),
            "duration_seconds": round((finished - started).total_seconds(), 3),
        }
    if "request" in state:
        told |= _of_request(held.request(state))
    return told


def _of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the file was, or was to be, scored with; nothing of a profile's `env`."""
    image, _, digest = request["image"].partition("@")
    return {
        "model_image": image,
        "model_digest": digest,
        "profile": request.get("profile", ""),
        "protocol": request["protocol"],
        "eks_cluster": request["cluster"],
        "k8s_namespace": request["namespace"],
        "pods": request.get("pods", 1),
    }


def _text(text: str) -> str:
    """At most so much of it, and no half of a surrogate pair, which is no JSON to EventBridge."""
    return abridged(text, _TEXT_CHARACTERS).encode("utf-8", "replace").decode()


def _plain(text: str) -> str:
    """One line that may stand between quotes as it is."""
    line = " ".join(abridged(text, _MESSAGE_CHARACTERS).translate(_PLAIN).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def tell(settings: Settings, kind: str, detail: Mapping[str, Any]) -> None:
    """Put the event of a file's outcome, unless it was put already. Never raises: a file that has its outcome does not fail
    for want of a messenger. What cannot be told is logged as an error, and counted (`EventsNotPut`).
    """
    try:
        if is_told(settings, detail["id"]):
            return
        _put(detail, kind)
    except Exception as error:  # noqa: BLE001  (as told above)
        logger.error("event not put", kind=kind, event_id=detail["id"], reason=repr(error))
        count("EventsNotPut")
        return
    try:
        aws.client("s3").put_object(**_record_of(settings, detail["id"]), Body=detail["id"].encode())
    except (ClientError, BotoCoreError) as error:
        logger.warning("event put without a record: a repeated call will put it again", reason=repr(error))


def is_told(settings: Settings, event_id: str) -> bool:
    """Whether there is a record that this event was put. Never raises: better an event too many than none."""
    try:
        found = aws.client("s3").get_object(**_record_of(settings, event_id))["Body"].read()
    except (ClientError, BotoCoreError) as error:
        if not (isinstance(error, ClientError) and aws.code(error) == "NoSuchKey"):
            logger.warning("cannot tell whether the event was put", reason=repr(error))
        return False
    return bool(found == event_id.encode())


def _record_of(settings: Settings, event_id: str) -> dict[str, str]:
    attempt = event_id.partition("/")[0]
    return {"Bucket": settings.output_bucket, "Key": identity.told_key(attempt, settings)}


def _put(detail: Mapping[str, Any], kind: str) -> None:
    entry = {
        "Source": SOURCE,
        "DetailType": kind,
        "Detail": json.dumps(detail),
        "Resources": [detail["execution"]],
    }
    for left in reversed(range(_TRIES)):
        answer = aws.client("events").put_events(Entries=[entry])
        if not answer["FailedEntryCount"]:
            return
        if not left:
            refused = answer["Entries"][0]
            raise RuntimeError(f"{refused.get('ErrorCode')}: {refused.get('ErrorMessage')}")
        time.sleep(_PAUSE_SECONDS * (_TRIES - left))
