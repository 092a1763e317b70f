"""Drop files, and follow them to their ends."""

from __future__ import annotations

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
from botocore.exceptions import BotoCoreError, ClientError

from dropscore.course import Course
from dropscore.runs import Run, described, listed
from dropscore.stack import Stack, Unusable
from dropscore.steps import Attempt
from scoring.aws import encryption
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, RECEIPT_SUFFIX, REJECTED_SUFFIX, slug

# S3 User Guide, "Categorizing your storage using tags".
_MOST_TAGS, _MOST_KEY, _MOST_VALUE = 10, 128, 256
_TAG_CHARACTERS = re.compile(r"[\w +\-=.:/@]*")
# Between the event of S3 and the execution's start: some seconds; a crowd of files takes longer.
START_SECONDS = 60.0
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
        if name.endswith((OUTPUT_SUFFIX, ERROR_SUFFIX, REJECTED_SUFFIX, RECEIPT_SUFFIX)):
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
        S3 refuses it or is not to be reached, or the file cannot be read.
    """
    key = stack.input_prefix + drop.name
    extra = {"Tagging": urlencode(drop.tags)} if drop.tags else {}
    # The bucket may do so by itself, or deny what does not ask for it.
    extra |= encryption(stack.parameters.get("KmsKeyArn", ""))
    try:
        stack.s3.upload_file(str(drop.path), stack.input_bucket, key, ExtraArgs=extra, Callback=sent)
        # Who drops files need not be able to read what others have dropped; a list tells enough, and the first of it is the key.
        there = stack.s3.list_objects_v2(Bucket=stack.input_bucket, Prefix=key, MaxKeys=1)["Contents"][0]
    except (S3UploadFailedError, BotoCoreError, ClientError, OSError) as error:
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

    A file that nothing is started for is waited for until none of those dropped with it has been started for a minute, and
    for as long as any of them goes on; it has no run then.
    """
    started, until = 0, time.monotonic() + START_SECONDS
    while True:
        check()
        find_runs(stack, files)
        for each in files:
            each.look()
        watcher.show(files)
        found = sum(each.course is not None for each in files)
        if found > started:
            # A crowd of files is started one after the other.
            started, until = found, time.monotonic() + START_SECONDS
        if all(each.is_over for each in files if each.course) and (found == len(files) or time.monotonic() > until):
            return
        # Step Functions tells nobody when a state is entered; it has to be asked.
        time.sleep(max(look_seconds, sum(not each.is_over for each in files) * look_seconds / _LOOKS))
