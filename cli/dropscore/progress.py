"""How far a file is: the record of progress that its attempt keeps in S3 while it is scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from dropscore.stack import Stack, is_kept_back

# A line of JSON is far below this; what follows it may be megabytes.
_RECORD_BYTES = 256 << 10


@dataclass(frozen=True)
class Progress:
    """The record of progress: `done` of `total` bytes of the input (0: not known, of a compressed file), `rows` scored,
    at the time that it was `saved`. `sent` bytes have gone to a container that takes the file whole.

    Of a file with shards, `shards` are those that are being scored, and `waiting` ones have not begun.
    """

    done: int
    total: int
    rows: int
    started: datetime | None
    saved: datetime
    sent: int = 0
    rejected: int = 0
    batch_bytes: int = 0
    in_flight: int = 0
    shards: tuple[Progress, ...] = ()
    waiting: int = 0

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None where it cannot be told."""
        most = max(self.done, self.sent)
        return min(most / self.total, 1.0) if self.total and most else None

    @property
    def seconds(self) -> float:
        """For how long it had been scored when the record was saved."""
        return (self.saved - self.started).total_seconds() if self.started else 0.0

    @property
    def bytes_per_second(self) -> float:
        if self.shards:
            return sum(each.bytes_per_second for each in self.shards)
        return self.done / self.seconds if self.seconds > 0 else 0.0

    def seconds_left(self, now: datetime) -> float | None:
        """As it goes on as until now; None where nothing can be said."""
        if self.shards:
            left = [each.seconds_left(now) for each in self.shards]
            known = [each for each in left if each is not None]
            # Side by side: the last one ends it.
            return max(known) if len(known) == len(left) and not self.waiting else None
        if not self.total or not self.done or not self.bytes_per_second:
            return None
        return max((self.total - self.done) / self.bytes_per_second - (now - self.saved).total_seconds(), 0.0)


def read(stack: Stack, key: str, total: int) -> Progress | None:
    """The record of progress at a key, if it is there (still) and may be read."""
    try:
        answer = stack.s3.get_object(Bucket=stack.output_bucket, Key=key, Range=f"bytes=0-{_RECORD_BYTES - 1}")
    except ClientError as error:
        # Who has a folder of its own among others may not read it (docs/deploy.md), and sees no bar.
        if is_kept_back(error):
            return None
        raise
    line = answer["Body"].read().partition(b"\n")[0]
    return of_record(json.loads(line), total, answer["LastModified"])


def of_record(record: Mapping[str, Any], total: int, saved: datetime) -> Progress:
    """What a record of progress tells; see `scoring.streaming.progress`."""
    pace = record.get("pace") or {}
    return Progress(
        done=record["offset"],
        total=total,
        rows=max(record["rows"], 0),
        started=datetime.fromisoformat(record["started"]) if record.get("started") else None,
        saved=saved,
        sent=record.get("sent", 0),
        rejected=record.get("rejected", 0),
        batch_bytes=int(pace.get("size", 0)),
        in_flight=int(pace.get("in_flight", 0)),
    )
