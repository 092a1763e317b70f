"""What stream_file works with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scoring import pauses
from scoring.errors import ModelTimeout
from scoring.files import rejects
from scoring.files.checksums import Digest
from scoring.files.formats import Spec
from scoring.files.rejects import Limit
from scoring.intake.identity import Source
from scoring.intake.shard import Shard
from scoring.protocols.model import Model
from scoring.streaming.progress import Progress
from scoring.streaming.uploads import Uploads

RESERVE_SECONDS = 20.0
"""What is kept of a Lambda's time for closing down in good order."""


@dataclass(frozen=True)
class Job:
    """One step's work. `seconds_left` tells how long this Lambda still lives; `now` is the clock."""

    s3: Any
    model: Model
    source: Source
    request: Mapping[str, Any]
    pod_uid: str
    scoring: Mapping[str, Any]
    seconds_left: Callable[[], float]
    now: Callable[[], datetime]
    check_pod: Callable[[], None] = lambda: None
    """Raises what became of the pod, if it is not running any more."""

    def budget(self) -> float:
        """Seconds that one call of the model may take: what the Lambda and the scoring deadline leave of them.

        Raises
        ------
        ModelTimeout
            The scoring deadline has passed.
        """
        limit = float(self.request["deadlines"]["scoring_seconds"])
        left = limit - self.seconds_since(self.scoring["started"])
        if left <= 0:
            raise ModelTimeout(f"The model was not done with the file after {limit:.0f} s.")
        return min(left, self.seconds_left() - RESERVE_SECONDS)

    @property
    def spec(self) -> Spec:
        """How the file is to be read."""
        return Spec.of(self.request)

    @property
    def shard(self) -> Shard | None:
        """What of the file this is about; None where it is all of it."""
        return Shard.of(self.request)

    @property
    def limit(self) -> Limit:
        """How many of its records may be bad."""
        return Limit.of(self.request.get("max_errors"))

    def has_time_for(self, seconds: float) -> bool:
        """Whether this Lambda lives long enough for something that takes about so many seconds."""
        return self.seconds_left() > 2 * (RESERVE_SECONDS + seconds)

    def digest(self, offset: int = 0, crc: int = 0) -> Digest:
        """A checksum of the file's bytes from `offset` on; see `checksums.Digest`. Of a shard it is its CRC, since those of all
        of them come to that of the file.
        """
        expected = {"CRC32": ""} if self.shard else self.scoring.get("checksum", {})
        return Digest(self.source, expected, offset, crc)

    def uploads(self, progress: Progress) -> Uploads:
        """What the outcome is written to, on from where `progress` says."""
        ids = self.scoring["upload_id"], self.scoring.get("rejected_upload_id")
        return Uploads(self.s3, self.request["output"], progress, *ids)

    def running(self, wait_seconds: int = 1) -> dict[str, Any]:
        """Come back, after `wait_seconds`."""
        kept = {name: value for name, value in self.scoring.items() if name != "silent"}
        return kept | {"status": "RUNNING", "wait_seconds": wait_seconds}

    def pause(self, asked_seconds: float = 0.0) -> int:
        """Seconds to leave a model alone that works on: a tenth of its time so far or what it asked for, 5 s to 5 min (10
        min after a day).
        """
        return pauses.working(self.seconds_since(self.scoring["started"]), asked_seconds)

    def seconds_since(self, moment: str) -> float:
        """Seconds since a moment in ISO 8601."""
        return (self.now() - datetime.fromisoformat(moment)).total_seconds()

    def done(self, progress: Progress) -> dict[str, Any]:
        result: dict[str, Any] = {"rows": progress.rows, "bytes": progress.written}
        result |= {"parts": progress.part, "seal": progress.seal}
        if progress.padded:
            result["padded"] = progress.padded
        if progress.rejected:
            result["rejected"] = progress.rejected
            result |= {"rejected_parts": progress.rejected_part, "rejected_bytes": progress.rejected_written}
            result["rejected_seal"] = progress.rejected_seal
        if "size" in progress.pace:
            result["batches"] = {"bytes": progress.pace["size"], "in_flight": progress.pace["in_flight"]}
        if shard := self.shard:
            # By these what came of the shards is held together.
            names = hashlib.sha256(json.dumps(progress.columns).encode()).hexdigest()
            result |= {"crc": progress.crc, "columns": names}
            if progress.rejected:
                result["first"] = rejects.of_shard(progress.first, shard.count)
        return dict(self.scoring) | {"status": "DONE"} | result
