"""Who is who: an S3 event, the file it tells of, and the names that follow from it.

Everything here is deterministic, so that the same event delivered twice starts one execution.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_plus

from scoring.settings import Settings

OUTPUT_SUFFIX, ERROR_SUFFIX, REJECTED_SUFFIX, RECEIPT_SUFFIX = ".scoreout", ".error", ".rejected", ".receipt.json"


@dataclass(frozen=True)
class Source:
    """One version of one dropped object. `size` is in bytes; `version_id` is empty in a bucket without versions."""

    bucket: str
    key: str
    version_id: str
    etag: str
    size: int
    sequencer: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Source:
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def sources(event: dict[str, Any]) -> Iterator[Source]:
    """The objects that an event tells of: S3's own notification (keys URL-encoded) or EventBridge's (keys as they are)."""
    if "detail" in event:
        bucket, entry = event["detail"]["bucket"]["name"], event["detail"]["object"]
        yield Source(
            bucket,
            entry["key"],
            entry.get("version-id", ""),
            entry.get("etag", ""),
            entry.get("size", 0),
            entry.get("sequencer", ""),
        )
        return
    for record in event.get("Records", ()):
        entry = record["s3"]["object"]
        yield Source(
            record["s3"]["bucket"]["name"],
            unquote_plus(entry["key"]),
            entry.get("versionId") or "",
            entry.get("eTag", ""),
            entry.get("size", 0),
            entry.get("sequencer", ""),
        )


def refusal(source: Source, settings: Settings) -> str | None:
    """Why this object starts nothing, or None if it is to have an outcome: its `.scoreout` or an `.error`."""
    if source.bucket != settings.input_bucket:
        return f"not in the input bucket {settings.input_bucket}"
    if not source.key.startswith(settings.input_prefix):
        return f"not under the input prefix {settings.input_prefix}"
    if source.key.endswith("/"):
        return "a folder"
    if source.key.endswith((OUTPUT_SUFFIX, ERROR_SUFFIX, REJECTED_SUFFIX, RECEIPT_SUFFIX)):
        return "an output of dropscore itself"
    *folders, name = source.key.removeprefix(settings.input_prefix).split("/")
    for pattern in settings.ignored_files:
        names = folders if pattern.endswith("/") else [name]
        if any(fnmatchcase(each, pattern.removesuffix("/")) for each in names):
            return f"matches {pattern} of IgnoredFiles"
    return None


def file_id(source: Source) -> str:
    """The `score_file` execution's name: a readable slug of the base name, then what tells this event from any other."""
    identity = "\n".join((source.bucket, source.key, source.version_id or source.etag, source.sequencer))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"{slug(source.key.rsplit('/', 1)[-1])}-{digest}"


def slug(text: str, length: int = 40) -> str:
    """Lower-case ASCII letters, digits and hyphens, at most `length` characters, never empty: fit for a label value."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:length].strip("-") or "file"


def output_key(source_key: str, settings: Settings, suffix: str = OUTPUT_SUFFIX) -> str:
    """Where the outcome of a file goes: its path below the input prefix, below the output prefix."""
    return f"{settings.output_prefix}{source_key.removeprefix(settings.input_prefix)}{suffix}"


def rejected_key(output_key: str) -> str:
    """Where the list of a file's bad records goes: beside its `.scoreout`."""
    return output_key.removesuffix(OUTPUT_SUFFIX) + REJECTED_SUFFIX


def progress_key(attempt_id: str, settings: Settings) -> str:
    """Where an attempt keeps how far it is; nobody's outcome can lie there."""
    return f"{settings.output_prefix}.progress/{attempt_id}"


def told_key(attempt_id: str, settings: Settings) -> str:
    """Where it is kept that EventBridge was told of an attempt's outcome; it outlives the attempt's own progress."""
    return f"{settings.output_prefix}.progress/.told/{attempt_id}"


def ended_prefix(output_prefix: str) -> str:
    """Below what the records of files that have ended lie (scoring.outcome.index)."""
    return f"{output_prefix}.progress/.ended/"
