"""What came of a file: its `.scoreout` or its `.error`, if those are its own; a newer version of it may have come first."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from dropscore.course import Course
from dropscore.dropping import START_SECONDS, Dropped
from dropscore.runs import Run
from dropscore.stack import CONNECTIONS, Stack, Unusable, is_kept_back
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, REJECTED_SUFFIX
from scoring.outcome.files import is_newer

# persist_error is called by EventBridge for an execution that was stopped.
_ERROR_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """What came of a file: the files that were fetched, and for an error its document."""

    dropped: Dropped
    fetched: Sequence[Path]
    tags: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None


def fetch(stack: Stack, file: Dropped, out: Path) -> Outcome:
    """Fetch what came of a file that was followed to its end.

    Raises
    ------
    Unusable
        Nothing was started for it, there is nothing, or it is not of this file any more.
    BotoCoreError, ClientError, OSError
    """
    if file.course is None:
        raise Unusable(
            f"Nothing was started for {file.drop.name} within {START_SECONDS:.0f} s.",
            "Look whether the bucket's EventBridge notifications are on, and into the log of start_scoring.",
        )
    out.mkdir(parents=True, exist_ok=True)
    target = out / Path(file.drop.name).name
    if file.course.run.status == "SUCCEEDED":
        return _scored(stack, file, file.course.run, target)
    document = _error(stack, file, file.course)
    path = target.with_name(target.name + ERROR_SUFFIX)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False))
    return Outcome(file, [path], error=document)


def _scored(stack: Stack, file: Dropped, run: Run, target: Path) -> Outcome:
    key = stack.outcome_key(file.key, OUTPUT_SUFFIX)
    newer = Unusable(
        f"{file.drop.name} was scored, but dropped anew meanwhile: s3://{stack.output_bucket}/{key} is of the newer one.",
        "Look at it with `dropscore show`.",
    )
    if run.superseded:
        raise newer
    suffixes = [OUTPUT_SUFFIX, *([REJECTED_SUFFIX] if run.rejected else [])]
    fetched = []
    try:
        tags = _tags(stack, key)
        if run.attempt and tags.get("execution", run.attempt) != run.attempt:
            raise newer
        for suffix in suffixes:
            path = target.with_name(target.name + suffix)
            stack.s3.download_file(stack.output_bucket, stack.outcome_key(file.key, suffix), str(path))
            fetched.append(path)
        if _tags(stack, key).get("execution") != tags.get("execution"):
            for path in fetched:
                path.unlink()
            raise newer
        # Of an earlier drop; S3 has none any more either.
        target.with_name(target.name + ERROR_SUFFIX).unlink(missing_ok=True)
    except ClientError as error:
        raise Unusable(
            f"{file.drop.name} was scored, but s3://{stack.output_bucket}/{key} cannot be read: {error}"
        ) from error
    return Outcome(file, fetched, tags)


def _error(stack: Stack, file: Dropped, course: Course) -> dict[str, Any]:
    """The `.error`, which comes a moment after the end of an execution that was stopped."""
    key, until = stack.outcome_key(file.key, ERROR_SUFFIX), time.monotonic() + _ERROR_SECONDS
    while True:
        if document := error_of(stack, course):
            return document
        if _is_superseded(stack, course.run):
            raise Unusable(
                f"{file.drop.name} has failed ({course.run.error}: {course.run.cause}), but was dropped anew meanwhile: the outcome "
                "there is of the newer one.",
                "Look at it with `dropscore show`.",
            )
        if time.monotonic() > until:
            raise Unusable(
                f"{file.drop.name} has failed ({course.run.error}: {course.run.cause}), and there is no "
                f"s3://{stack.output_bucket}/{key} of it.",
                "Look at it with `dropscore show`, and retry it with `dropscore retry`.",
            )
        time.sleep(1.0)


def told(stack: Stack, course: Course) -> tuple[dict[str, Any] | None, Run]:
    """Of a run that failed, the document of its own `.error`; and the run, marked as `superseded` if it has none for that."""
    document = error_of(stack, course) if course.run.is_failed else None
    return document, course.run if document else with_superseded(stack, [course.run])[0]


def error_of(stack: Stack, course: Course) -> dict[str, Any] | None:
    """The document of the `.error` of a run that failed; None if there is none, or one of another run or attempt.

    It names the newest attempt, or the run itself, if that has ended before it had one.
    """
    attempt = (course.whole.arn if course.whole else course.run.arn).rsplit(":", 1)[-1]
    document = _read_error(stack, stack.outcome_key(course.run.key, ERROR_SUFFIX))
    return document if document and document.get("attempt") == attempt else None


def _read_error(stack: Stack, key: str) -> dict[str, Any] | None:
    try:
        body = stack.s3.get_object(Bucket=stack.output_bucket, Key=key)["Body"].read()
    except ClientError as error:
        if stack.is_missing(error, key):
            return None
        raise
    document: dict[str, Any] = json.loads(body)
    return document


def with_superseded(stack: Stack, runs: Sequence[Run]) -> list[Run]:
    """The same runs, those that failed marked as `superseded` where the outcome that lies there is of a newer version of the
    file. One that was scored tells so itself.
    """
    failed = [run for run in runs if run.is_failed]
    if not failed:
        return list(runs)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = dict(
            zip([run.arn for run in failed], pool.map(lambda run: _is_superseded(stack, run), failed), strict=True)
        )
    return [replace(run, superseded=found[run.arn]) if run.arn in found else run for run in runs]


def _is_superseded(stack: Stack, run: Run) -> bool:
    """Whether the outcome that lies there, of whichever kind, is of a newer version of the file."""
    for suffix in (OUTPUT_SUFFIX, ERROR_SUFFIX):
        key = stack.outcome_key(run.key, suffix)
        try:
            there = _tags(stack, key)
        except ClientError as error:
            # It is not there, or is in a folder that this user may not read: then nobody can tell.
            if not is_kept_back(error):
                raise
        else:
            if is_newer(there.get("sequencer", ""), run.sequencer):
                return True
    return False


def _tags(stack: Stack, key: str) -> dict[str, str]:
    found = stack.s3.get_object_tagging(Bucket=stack.output_bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}
