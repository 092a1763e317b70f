"""Drop files, follow them to their ends, fetch what came of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from dropscore.course import Course
from dropscore.runs import Run, described, listed
from dropscore.stack import Stack, Unusable
from dropscore.steps import Attempt
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, REJECTED_SUFFIX, slug

# S3 User Guide, "Categorizing your storage using tags".
_MOST_TAGS, _MOST_KEY, _MOST_VALUE = 10, 128, 256
_TAG_CHARACTERS = re.compile(r"[\w +\-=.:/@]*")
# Between the event of S3 and the execution's start: some seconds; a crowd of files takes longer.
START_SECONDS = 60.0
# persist_error is called by EventBridge for an execution that was stopped.
_ERROR_SECONDS = 30.0
# Each look at a file is some four requests; Step Functions answers about 20 a second ("Quotas related to API action throttling").
LOOK_SECONDS, _LOOKS = 1.0, 4


@dataclass(frozen=True)
class Drop:
    """A file to be dropped: where it is, the name it gets below the input folder, its tags."""

    path: Path
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Dropped:
    """A file that was dropped at a time of S3's, and its course once its execution is found."""

    drop: Drop
    key: str
    etag: str
    size: int
    at: datetime
    course: Course | None = None
    new: list[tuple[dict[str, Any], Attempt | None]] = field(default_factory=list)
    """The events that the last look has brought."""
    is_known: bool = False
    """Whether its end was looked at, too."""

    @property
    def second(self) -> datetime:
        """The second in which it was dropped: S3 tells no less."""
        return self.at.replace(microsecond=0)

    @property
    def run(self) -> Run | None:
        return self.course.run if self.course else None

    @property
    def is_over(self) -> bool:
        return self.is_known and self.run is not None and self.run.status != "RUNNING"

    def look(self) -> None:
        """Read on in its course."""
        self.new = self.course.look() if self.course and not self.is_over else []
        self.is_known = self.course is not None


@dataclass(frozen=True)
class Outcome:
    """What came of a file: the files that were fetched, and for an error its document."""

    dropped: Dropped
    fetched: Sequence[Path]
    tags: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None


class Watcher(Protocol):
    """Who is told how files are."""

    def show(self, files: Sequence[Dropped]) -> None:
        """Show how they are now."""


def tags_of(pairs: Iterable[str], **named: str | None) -> dict[str, str]:
    """The tags of a file, from `name=value` pairs and options.

    Raises
    ------
    Unusable
        S3 does not take them.
    """
    tags: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise Unusable(f"--tag {pair!r} is no name=value.")
        if name in tags:
            raise Unusable(f"--tag {name} is given twice.")
        tags[name] = value
    for name, given in named.items():
        if given is None:
            continue
        if name in tags:
            raise Unusable(f"The tag {name} is given twice.")
        tags[name] = given
    for name, value in tags.items():
        if len(name) > _MOST_KEY or len(value) > _MOST_VALUE or not _TAG_CHARACTERS.fullmatch(name + value):
            raise Unusable(
                f"S3 takes no tag {name}={value}: letters, digits, spaces and + - = . _ : / @, and at most {_MOST_VALUE} of them.",
                "Put it into a profile, whose name is a tag.",
            )
    if len(tags) > _MOST_TAGS:
        raise Unusable(f"A file has at most {_MOST_TAGS} tags in S3, not {len(tags)}.", "Put some into a profile.")
    return tags


def drops_of(stack: Stack, paths: Sequence[Path], folder: str, tags: Mapping[str, str]) -> list[Drop]:
    """The files as they will be dropped.

    Raises
    ------
    Unusable
        One is not there, would be ignored, or would lie where another one does.
    """
    ignored = [each.strip() for each in stack.parameters.get("IgnoredFiles", "").split(",") if each.strip()]
    below = folder.strip("/")
    drops: dict[str, Drop] = {}
    for path in paths:
        if not path.is_file():
            raise Unusable(f"There is no file {path}.")
        name = f"{below}/{path.name}" if below else path.name
        *folders, base = name.split("/")
        for pattern in ignored:
            names = folders if pattern.endswith("/") else [base]
            if any(fnmatchcase(each, pattern.removesuffix("/")) for each in names):
                raise Unusable(
                    f"{name} would be ignored: it matches {pattern} of the stack's parameter IgnoredFiles.",
                    "Give it another name.",
                )
        if name.endswith((OUTPUT_SUFFIX, ERROR_SUFFIX, REJECTED_SUFFIX)):
            raise Unusable(f"{name} would be ignored: it is called as an outcome.", "Give it another name.")
        if name in drops:
            raise Unusable(f"{path} and {drops[name].path} would lie in the same place.", "Drop one after the other.")
        drops[name] = Drop(path, name, tags)
    return list(drops.values())


def drop(stack: Stack, drop: Drop, sent: Callable[[int], None] = lambda _: None) -> Dropped:
    """Upload a file with its tags; `sent` is told of bytes as they go.

    Raises
    ------
    Unusable
        S3 refuses it.
    """
    key = stack.input_prefix + drop.name
    extra = {"Tagging": urlencode(drop.tags)} if drop.tags else {}
    if key_arn := stack.parameters.get("KmsKeyArn"):
        # The bucket may do so by itself, or deny what does not ask for it.
        extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_arn}
    try:
        stack.s3.upload_file(str(drop.path), stack.input_bucket, key, ExtraArgs=extra, Callback=sent)
        # Who drops files need not be able to read what others have dropped; a list tells enough, and the first of it is the key.
        there = stack.s3.list_objects_v2(Bucket=stack.input_bucket, Prefix=key, MaxKeys=1)["Contents"][0]
    except (S3UploadFailedError, ClientError) as error:
        raise Unusable(
            f"{drop.path} could not be dropped: {error}",
            "Whoever drops files needs the policy UsersPolicyArn of the stack.",
        ) from error
    return Dropped(drop, key, there["ETag"].strip('"'), there["Size"], there["LastModified"])


def find_runs(stack: Stack, files: Sequence[Dropped]) -> None:
    """Find the executions of files that have none yet."""
    missing = [each for each in files if each.course is None]
    if not missing:
        return
    wanted = {slug(each.drop.name.rsplit("/", 1)[-1]) for each in missing}
    earliest = min(each.second for each in missing)
    started = [run for run in listed(stack, None, limit=_newest(len(missing))) if run.key in wanted]
    found = described(stack, [run for run in started if run.started >= earliest])
    for each in missing:
        # The newest first: of the same bytes, dropped twice, the later ones.
        run = next(
            (run for run in found if (run.key, run.etag) == (each.key, each.etag) and run.started >= each.second), None
        )
        if run:
            each.course = Course(stack, run)


def _newest(count: int) -> int:
    # Others may drop files, too.
    return 100 + 10 * count


def follow(
    stack: Stack,
    files: Sequence[Dropped],
    watcher: Watcher,
    look_seconds: float = LOOK_SECONDS,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Follow files until each is over; `check` may raise when there is no use in waiting.

    Raises
    ------
    Unusable
        A file was not started.
    """
    until = time.monotonic() + START_SECONDS
    while True:
        check()
        find_runs(stack, files)
        for each in files:
            each.look()
        watcher.show(files)
        if all(each.is_over for each in files):
            return
        if any(each.course is None for each in files) and time.monotonic() > until:
            names = ", ".join(each.drop.name for each in files if each.course is None)
            raise Unusable(
                f"Nothing was started for {names} within {START_SECONDS:.0f} s.",
                "Look whether the bucket's EventBridge notifications are on, and into the log of start_scoring.",
            )
        # Step Functions tells nobody when a state is entered; it has to be asked.
        time.sleep(max(look_seconds, sum(not each.is_over for each in files) * look_seconds / _LOOKS))


def fetch(stack: Stack, file: Dropped, out: Path) -> Outcome:
    """Fetch what came of a file that is over.

    Raises
    ------
    Unusable
        There is nothing, or it is not of this file any more.
    """
    run = file.run
    assert run is not None
    out.mkdir(parents=True, exist_ok=True)
    target = out / Path(file.drop.name).name
    if run.status == "SUCCEEDED":
        return _scored(stack, file, run, target)
    document = _error(stack, file, run)
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
        found = stack.s3.get_object_tagging(Bucket=stack.output_bucket, Key=key)["TagSet"]
        tags = {tag["Key"]: tag["Value"] for tag in found}
        if run.attempt and tags.get("execution", run.attempt) != run.attempt:
            raise newer
        for suffix in suffixes:
            path = target.with_name(target.name + suffix)
            stack.s3.download_file(stack.output_bucket, stack.outcome_key(file.key, suffix), str(path))
            fetched.append(path)
    except ClientError as error:
        raise Unusable(
            f"{file.drop.name} was scored, but s3://{stack.output_bucket}/{key} cannot be read: {error}"
        ) from error
    return Outcome(file, fetched, tags)


def _error(stack: Stack, file: Dropped, run: Run) -> dict[str, Any]:
    """The `.error`, which comes a moment after the end of an execution that was stopped."""
    key, until = stack.outcome_key(file.key, ERROR_SUFFIX), time.monotonic() + _ERROR_SECONDS
    while True:
        document = read_error(stack, key)
        # That of an earlier version of the file may lie there still.
        if document and datetime.fromisoformat(document["time"]) >= run.started.replace(microsecond=0):
            return document
        if time.monotonic() > until:
            raise Unusable(
                f"{file.drop.name} has failed ({run.error}: {run.cause}), and there is no s3://{stack.output_bucket}/{key}.",
                "Look at it with `dropscore show`, and retry it with `dropscore retry`.",
            )
        time.sleep(1.0)


def read_error(stack: Stack, key: str) -> dict[str, Any] | None:
    """The document of a `.error`; None if there is none."""
    try:
        body = stack.s3.get_object(Bucket=stack.output_bucket, Key=key)["Body"].read()
    except ClientError as error:
        if stack.is_missing(error, key):
            return None
        raise
    document: dict[str, Any] = json.loads(body)
    return document
