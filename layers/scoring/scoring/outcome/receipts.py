"""The receipt of a file, beside its outcome, where the stack writes such: the event's detail, and what it is not for (docs/events.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from scoring import aws
from scoring.cluster.containers import parse_time
from scoring.errors import DropscoreError
from scoring.intake import identity
from scoring.observability import count, logger
from scoring.outcome import costs, files, history, readback
from scoring.settings import Settings

CHECKSUM = "ChecksumCRC32"
T = TypeVar("T")


def document(
    detail: Mapping[str, Any],
    state: Mapping[str, Any],
    finished: datetime,
    held: Mapping[str, Any],
    prices: Mapping[str, Any],
    sha256: str | None = None,
    sha256_seconds: float = 0.0,
    steps: Mapping[str, float] | None = None,
    missing: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The receipt (pure).

    Parameters
    ----------
    detail
        Of the event that tells of the same outcome.
    held
        What S3 holds of the `.scoreout`: its answer to HeadObject with the mode of checksums; empty where there is none.
    sha256
        Of the `.scoreout`, in hex, and how long that has taken (`sha256_seconds`).
    steps
        Seconds in each state of the attempt.
    missing
        Why there are no `steps` or there is no `sha256`.
    """
    scoring, request = state.get("scoring", {}), state.get("request", {})
    seconds = spent(state, detail, finished)
    told = {name: value for name, value in detail.items() if name != "message"}
    told |= {
        "source": {**detail["source"], "checksum": scoring.get("checksum", {})},
        "output": {**detail["output"], **(_held(held) | {"sha256": sha256} if held else {})},
        "lost_pods": state.get("lost_pods", {}).get("count", 0),
        "seconds": seconds,
        "steps": dict(steps) if steps is not None else None,
    }
    if missing:
        told["missing"] = dict(missing)
    if request:
        told["resources"] = request.get("resources", {})
    # A script that drops or adds rows does not say how many it was given.
    if "rows" in detail and request.get("rows") != "any":
        told["rows_in"] = detail["rows"]
    if "batches" in scoring:
        told["batches"] = scoring["batches"]
    # Without a pod, hardly anything was paid for, and there is nothing to go by.
    if "start" in seconds:
        # The pod is there until the file is read back.
        start, score = seconds["start"], seconds.get("score", 0.0) + sha256_seconds
        pods, parts = request.get("pods", 1), scoring.get("parts", 0)
        told["cost"] = costs.estimate(prices, pods, start, score, parts, request.get("resources", {}))
    return told


def _held(held: Mapping[str, Any]) -> dict[str, Any]:
    if not held:
        return {}
    told: dict[str, Any] = {"etag": held["ETag"].strip('"'), "size": held["ContentLength"]}
    if held.get(CHECKSUM) and held.get("ChecksumType") == "FULL_OBJECT":
        told["checksum"] = {"CRC32": held[CHECKSUM]}
    return told


def spent(state: Mapping[str, Any], detail: Mapping[str, Any], finished: datetime) -> dict[str, float]:
    """Seconds of the attempt, as far as it has come: to `prepare` (request and pod), until the model was ready (`start`), and to
    `score`, its publication included. A file on several pods has none for the pods alone: theirs are in `score`.
    """
    told: dict[str, float] = {}
    moments = [("prepare", detail.get("started")), ("start", state.get("pod", {}).get("created"))]
    moments.append(("score", state.get("scoring", {}).get("started")))
    reached = [(name, parse_time(moment)) for name, moment in moments if moment]
    ends = [*(moment for _, moment in reached[1:]), finished]
    for (name, began), ended in zip(reached, ends, strict=True):
        # The clocks of a cluster and of Lambda are not the same, and Kubernetes tells whole seconds.
        told[name] = max(round((ended - began).total_seconds(), 3), 0.0)
    if "score" in told and "start" not in told:
        told["start"] = 0.0
    return told | ({"total": detail["duration_seconds"]} if "duration_seconds" in detail else {})


def write(
    settings: Settings,
    detail: dict[str, Any],
    state: Mapping[str, Any],
    finished: datetime,
    seconds_left: Callable[[], float] = lambda: 0.0,
) -> None:
    """Write the receipt, if the stack writes such, and note it in the event's `detail`. One that is superseded gets none: beside
    the newer outcome lies the newer receipt.

    What can be found out only with time (`seconds_left` of this function) or leave is null where it was not, and `missing` says why.

    Never raises: a file that has its outcome does not fail for want of a receipt. What cannot be written is logged as an
    error, and counted (`ReceiptsNotWritten`).
    """
    if not settings.receipts or detail.get("superseded"):
        return
    s3, output = aws.client("s3"), detail["output"]
    where = {"Bucket": output["bucket"], "Key": key_of(output["key"])}
    scored = {"Bucket": output["bucket"], "Key": output["key"]} if _is_scored(output["key"]) else None
    missing: dict[str, str] = {}

    def found(name: str, find: Callable[[], T]) -> T | None:
        try:
            return find()
        except Exception as error:  # noqa: BLE001  (the receipt tells it)
            missing[name] = error.summary if isinstance(error, DropscoreError) else str(error) or repr(error)
            logger.warning("missing in the receipt", what=name, reason=missing[name])
            return None

    try:
        held: dict[str, Any] = {}
        sha256, seconds = None, 0.0
        if scored:
            held = s3.head_object(**scored, ChecksumMode="ENABLED")
            # After that: what was looked at was this attempt's, if it is so now.
            if _is_replaced(s3, scored, detail):
                return
            began = time.monotonic()
            which = (scored["Bucket"], scored["Key"], held["ETag"], held["ContentLength"])
            sha256 = found("output.sha256", lambda: readback.sha256(s3, *which, seconds_left))
            seconds = time.monotonic() - began
        steps = found(
            "steps", lambda: history.seconds_by_state(aws.client("stepfunctions"), detail["execution"], _now())
        )
        told = document(detail, state, finished, held, costs.table(), sha256, seconds, steps, missing)
        body = json.dumps(told, indent=2, ensure_ascii=False).encode()
        if scored and _is_replaced(s3, scored, detail):
            return
        s3.put_object(**where, Body=body, ContentType="application/json")
    except Exception as error:  # noqa: BLE001  (as told above)
        logger.error("receipt not written", key=where["Key"], reason=repr(error))
        count("ReceiptsNotWritten")
    else:
        output["receipt_key"] = where["Key"]


def _is_replaced(s3: Any, scored: Mapping[str, str], detail: Mapping[str, Any]) -> bool:
    """Whether the outcome of a newer version of the file has taken the place of this one, and so its receipt will."""
    there = files.tags_of(s3, scored["Bucket"], scored["Key"]).get("execution")
    if there == files.tag_value(detail["execution"]):
        return False
    logger.info("no receipt: the scored file was replaced by a newer one", execution=there)
    return True


def _is_scored(key: str) -> bool:
    return key.endswith(identity.OUTPUT_SUFFIX)


def _now() -> datetime:
    return datetime.now(UTC)


def key_of(outcome: str) -> str:
    """Where the receipt lies of the outcome with this key."""
    suffix = identity.OUTPUT_SUFFIX if _is_scored(outcome) else identity.ERROR_SUFFIX
    return outcome.removesuffix(suffix) + identity.RECEIPT_SUFFIX
