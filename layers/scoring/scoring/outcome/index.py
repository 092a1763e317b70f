"""The index of files that have ended: an empty object each, whose key is the record.

Only DescribeExecution tells which file an execution is for, and it is answered 15 times a second (AWS Step Functions
Developer Guide, "Quotas related to API action throttling"); one ListObjectsV2 gives 1,000 keys. A record holds what a line of
`dropscore ls` shows: whoever wants more, or finds none, asks for the execution.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from scoring import aws
from scoring.errors import first_sentence
from scoring.intake import identity
from scoring.observability import logger
from scoring.settings import Settings

# Amazon S3 User Guide, "Naming Amazon S3 objects".
_KEY_BYTES = 1024
# What is behind a key of S3's length that is escaped throughout is less; a record that is no record may be anything.
_DOCUMENT_BYTES = 8 << 10
# More than the command shows of it.
_CAUSE_CHARACTERS = 150


@dataclass(frozen=True)
class Ended:
    """What is told of a file that has ended, by the `key` it was dropped with.

    One with an `error` has failed: `error` and `cause` are what its attempt has ended with, the cause in its first sentence,
    and `sequencer` tells whether the outcome that lies there is of a newer version. All others are scored.
    """

    key: str
    size: int
    cluster: str = ""
    rows: int = 0
    padded: int = 0
    rejected: int = 0
    superseded: bool = False
    error: str = ""
    cause: str = ""
    sequencer: str = ""

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError where a record holds what it may not."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value).__name__ != field.type:
                raise TypeError(f"{field.name} is no {field.type}")
            if isinstance(value, str):
                # Half of a surrogate pair is in no name.
                value.encode()
            elif value < 0:
                raise ValueError(f"{field.name} is below 0")


def key_of(detail: Mapping[str, Any], settings: Settings, error: str = "", cause: str = "") -> str | None:
    """The key of a record (pure): the `detail` of the event of a file's outcome, and of a failed one what its execution
    ends with.

    None where it would be too long, or is of no use: an execution that had no attempt tells its end in other words.
    """
    if detail["execution"] == detail["file_execution"] or ("error" in detail) != bool(error):
        return None
    source = detail["source"]
    told: dict[str, Any] = {"key": source["key"], "size": source["size"]}
    if error:
        brief = first_sentence(cause)[:_CAUSE_CHARACTERS].encode("utf-8", "replace").decode()
        told |= {"error": error, "cause": brief, "sequencer": source["sequencer"]}
    else:
        counts = {name: detail[name] for name in ("rows", "padded", "rejected", "superseded") if name in detail}
        told |= {"cluster": detail["eks_cluster"], **counts}
    record = {name: value for name, value in asdict(Ended(**told)).items() if value or name in ("key", "size")}
    document = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    name = detail["file_execution"].rsplit(":", 1)[-1]
    packed = urlsafe_b64encode(zlib.compress(document, 9)).decode().rstrip("=")
    key = f"{begin(datetime.fromisoformat(detail['finished']), settings.output_prefix)}/{name}/{packed}"
    return key if len(key.encode()) <= _KEY_BYTES and len(document) < _DOCUMENT_BYTES else None


def begin(moment: datetime, output_prefix: str) -> str:
    """What the keys of files that have ended since a moment come after."""
    stamp = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return identity.ended_prefix(output_prefix) + stamp


def execution_of(key: str, output_prefix: str) -> str:
    """The name of the execution that a key is of; empty if it is no such key."""
    _, name, _ = _parts(key, output_prefix)
    return name


def read(key: str, output_prefix: str) -> Ended | None:
    """The record that a key is; None if it is none, whatever it is."""
    _, _, packed = _parts(key, output_prefix)
    try:
        unpacking = zlib.decompressobj()
        document = unpacking.decompress(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), _DOCUMENT_BYTES)
        if not unpacking.eof:
            return None
        told = json.loads(document)
        known = {field.name: field.default is MISSING for field in fields(Ended)}
        return Ended(**{name: told[name] for name, needed in known.items() if needed or name in told})
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error):
        return None


def _parts(key: str, output_prefix: str) -> tuple[str, str, str]:
    """When, which execution, and what is told of it; each empty if it is no such key."""
    prefix = identity.ended_prefix(output_prefix)
    parts = key.removeprefix(prefix).split("/") if key.startswith(prefix) else []
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")


def write(settings: Settings, detail: Mapping[str, Any], error: str = "", cause: str = "") -> None:
    """Put a file's record, if it can have one. Never raises: without it, a list of files takes longer."""
    try:
        key = key_of(detail, settings, error, cause)
        if key is not None:
            aws.client("s3").put_object(Bucket=settings.output_bucket, Key=key, Body=b"")
    except Exception as reason:  # noqa: BLE001  (as told above)
        logger.warning("no record in the index of ended files", event_id=detail.get("id"), reason=repr(reason))
