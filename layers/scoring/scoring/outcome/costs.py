"""What a file has cost, estimated by what its attempt knows of itself (pure). bench/cost.py foretells it, by the same prices.

An estimate from above: functions count as awake for as long as the pod starts and scores, though they sleep where a Wait can
do the waiting, and the pod counts by its requests. Logs, storage, traffic and the cluster itself are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from scoring.intake.quantities import quantity

_TABLE = Path(__file__).with_name("prices.json")
# Of both state machines, for a file that nothing is waited for; and of one more round of waiting (docs/cost.md).
_TRANSITIONS, _OF_A_ROUND = 14, 3
# Seconds from one round to the next: await_pod watches for less than a minute and leaves the pod alone for some, stream_file
# uses the time of a function up.
_START_ROUND_SECONDS, _SCORE_ROUND_SECONDS = 65, 880
# Of the functions, in GiB (template.yaml), and for how long those work together that wait for nothing.
_USUAL_GIB, _STREAM_GIB, _SHORT_SECONDS = 0.5, 1769 / 1024, 0.6
# Requests beside those for parts: tags, checksum, beginning, progress, what the receipt asks for; and upload, completion,
# records, that of the index included.
_READS, _WRITES, _CALLS = 12, 7, 7
# What the price of a node buys (prices.json: node_hour), of which a pod pays for its larger share.
_NODE_CORES, _NODE_BYTES = 2, 8 << 30


@cache
def table() -> dict[str, Any]:
    """The prices, with their date and region."""
    found: dict[str, Any] = json.loads(_TABLE.read_text())
    return found


def estimate(
    prices: Mapping[str, Any],
    pods: int,
    start_seconds: float,
    score_seconds: float,
    parts: int,
    resources: Mapping[str, Any],
) -> dict[str, Any]:
    """US dollars: each part's, and together. Where a GPU was asked for, the pod's price is not known and left out.

    Parameters
    ----------
    prices
        As in `prices.json`.
    pods
        How many were at work side by side, each for so many seconds.
    parts
        Of the scored file, on its way to S3.
    resources
        What a pod requests: `cpu` and `memory` as Kubernetes writes them, and `gpu`, if any.
    """
    usd = {name: price["usd"] / price["per"] for name, price in prices["prices"].items()}
    rounds = int(start_seconds // _START_ROUND_SECONDS) + int(score_seconds // _SCORE_ROUND_SECONDS)
    # The attempts of shards are beside that of their file.
    attempts = pods if pods == 1 else pods + 1
    gb_seconds = attempts * _SHORT_SECONDS * _USUAL_GIB
    gb_seconds += pods * (start_seconds * _USUAL_GIB + score_seconds * _STREAM_GIB)
    told = {
        "states": (attempts * _TRANSITIONS + pods * rounds * _OF_A_ROUND) * usd["state_transition"],
        "lambda": gb_seconds * usd["lambda_gb_second"] + attempts * (_CALLS + rounds) * usd["lambda_request"],
        # A record of progress goes with each part at most; for the receipt it is read back in two ranges.
        "s3": (attempts * _WRITES + 2 * parts) * usd["s3_write"] + (attempts * _READS + 2 * parts) * usd["s3_read"],
    }
    if not int(resources.get("gpu") or 0):
        told["pods"] = pods * (start_seconds + score_seconds) / 3600 * _share(resources) * usd["node_hour"]
    rounded = {name: round(value, 8) for name, value in told.items()}
    return {
        "usd": round(sum(told.values()), 8),
        "parts": rounded,
        "prices": f"{prices['date']}, {prices['region']}",
    }


def _share(resources: Mapping[str, Any]) -> float:
    cores, memory = (quantity(str(resources.get(name, "0"))) or Decimal(0) for name in ("cpu", "memory"))
    return float(max(cores / _NODE_CORES, memory / _NODE_BYTES))
