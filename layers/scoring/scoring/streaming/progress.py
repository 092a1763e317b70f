"""How far a file is, kept in S3 beside the output while it is being scored.

One small object an attempt, written after each part: a line of JSON, then the bytes of the output that are not enough for
a part yet (S3 takes no part under 5 MiB but the last). Whatever happens to a Lambda or a pod, the next one goes on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scoring import aws


@dataclass
class Progress:
    """`offset` bytes of the input are scored: `rows` records, `written` bytes of output, `part` parts and a `tail` of them.

    `crc` is the CRC-32 of the bytes scored, if it is needed; `columns` are the model's, `pace` is what batches came to (see `pace`), `execution` a SAS container's work on a file,
    of whose result `begun` stands for a record that is written in part (see `records.Counter`).
    """

    offset: int = 0
    part: int = 0
    rows: int = 0
    written: int = 0
    crc: int = 0
    columns: list[str] = field(default_factory=list)
    pace: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    begun: str = ""
    tail: bytes = b""

    def save(self, s3: Any, output: Mapping[str, str]) -> None:
        """Write it.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        told = asdict(self)
        tail = told.pop("tail")
        with aws.errors_named(f"s3:PutObject of s3://{output['bucket']}/{output['progress']}"):
            s3.put_object(
                Bucket=output["bucket"], Key=output["progress"], Body=json.dumps(told).encode() + b"\n" + tail
            )

    @classmethod
    def load(cls, s3: Any, output: Mapping[str, str]) -> Progress:
        """Read what was saved last.

        Raises
        ------
        AccessDenied, AwsThrottled, ScoringFailed
        """
        with aws.errors_named(f"s3:GetObject of s3://{output['bucket']}/{output['progress']}"):
            body: bytes = s3.get_object(Bucket=output["bucket"], Key=output["progress"])["Body"].read()
        told, _, tail = body.partition(b"\n")
        return cls(**json.loads(told), tail=tail)
