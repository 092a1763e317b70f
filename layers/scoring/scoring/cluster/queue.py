"""The queue of a full namespace: files sleep in it, and each that is torn down calls the first; first come, first served.

A file's place is an object in S3, which lists keys in their order, and a key begins with when its attempt did. In it is the
token of the Task that sleeps. A file is called by SendTaskSuccess with its token; or, while it is awake to try by itself, by
a change of its place. Where there is a Kueue, that queues the pods, and nothing here is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws, settings
from scoring.cluster import room
from scoring.cluster.containers import parse_time
from scoring.cluster.manifest import GRACE_SECONDS
from scoring.cluster.room import Size
from scoring.observability import logger

# How long a file may take from when it was woken until it sleeps again.
_AWAKE_SECONDS = 60
# Of a token whose Task sleeps no more: it was called, its time was up, or its execution was stopped.
_OVER = {"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"}
# Amazon S3 User Guide, "Conditional requests".
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"}


@dataclass(frozen=True)
class Queue:
    """The files that wait for room in one namespace; `folder` is where their places are, ending in a slash."""

    bucket: str
    folder: str

    @classmethod
    def of(cls, cluster: str, namespace: str) -> Queue:
        configured = settings.current()
        return cls(configured.output_bucket, f"{configured.output_prefix}.queue/{cluster}/{namespace}/")

    def place(self, started: str, attempt_id: str) -> str:
        """The key of an attempt's place, by when the attempt started (RFC 3339): the same each time that it queues."""
        time = parse_time(started).astimezone(UTC)
        return f"{self.folder}{time:%Y%m%dT%H%M%S}.{time.microsecond // 1000:03}Z-{attempt_id}"

    def first(self) -> str:
        """The first place of those that sleep; empty if nobody does.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        found, _ = self._first()
        return "" if found.startswith(self._called("")) else found

    def is_before(self, place: str) -> bool:
        """Whether a file that began before sleeps, or was called just now and is about to launch.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        found, since = self._first()
        if found.startswith(self._called("")):
            return found < self._called(place) and _is_recent(since)
        return "" < found < place

    def _called(self, place: str) -> str:
        """Where a file is while it was called and has not launched yet: behind all places, so that it is no place."""
        return f"{self.folder}called/{place.removeprefix(self.folder)}"

    def _first(self) -> tuple[str, datetime]:
        with aws.errors_named(f"s3:ListObjectsV2 of s3://{self.bucket}/{self.folder}"):
            listed = aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=self.folder, MaxKeys=1)
        found = listed.get("Contents") or [{"Key": "", "LastModified": datetime.now(UTC)}]
        return found[0]["Key"], found[0]["LastModified"]

    def enter(self, place: str, told: Mapping[str, Any], awake: str) -> tuple[str, bool]:
        """Sleep at a place, with what `room.sleeper` tells; `awake` is its ETag where it was kept while the file was awake.

        Returns
        -------
        tuple of str and bool
            The ETag of the place, and whether somebody has called the file while it was awake.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        if awake:
            kept = self._write(place, told, awake)
            return kept or self._write(place, told), not kept
        etag = self._write(place, told)
        self._delete(self._called(place))
        return etag, False

    def leave(self, place: str) -> None:
        """Give a place up; that there is none is success."""
        self._delete(place)
        self._delete(self._called(place))

    def give_up(self, place: str) -> tuple[bool, Size | None]:
        """Give up the place of a file that is over, before its room is passed on; after that, `leave` it.

        Returns
        -------
        tuple of bool and Size or None
            Whether the file was to have room that it has not taken, and how much, if that is known: it was called, or it was
            awake, or what was freed so far was not all that it lacked. Once left, it was to have none.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        called, is_called = self._read(self._called(place))
        told, etag = self._read(place)
        while etag and not self._remove(place, etag):
            told, etag = self._read(place)
        if is_called:
            return True, called.get("freed")
        if "awake" in told:
            return True, None
        return bool(told.get("freed")), told.get("freed")

    def call(self, freed: Size | None) -> str:
        """Call the first file that sleeps, unless what was `freed` is not all that it lacks: then that is noted down.

        Whoever does not know what was freed passes None: the file then keeps its place while it tries.

        Returns
        -------
        str
            The place of the file that was called; empty if none was.

        Raises
        ------
        AccessDenied, AwsThrottled
        """
        while place := self.first():
            told, etag = self._read(place)
            if not etag:
                continue
            if freed is None:
                if _is_awake(told) or self.rouse(place, told, etag, wait_seconds=1):
                    return place
                continue
            told["freed"] = room.plus(told.get("freed", {}), freed)
            told["lacks"] = room.minus(told.get("lacks", {}), freed)
            if told["lacks"]:
                if self._write(place, told, etag):
                    return ""
                continue
            if self.wake(told.get("token", ""), room.woken(told["freed"])):
                self._write(self._called(place), told)
                self._remove(place, etag)
                logger.info("called", place=place, freed=freed)
                return place
            if _is_awake(told):
                # It finds its place changed, and tries again. Gone, others would find the queue empty.
                if self._write(place, told, etag):
                    return place
                continue
            self._remove(place, etag)
        return ""

    def rouse(self, place: str, told: Mapping[str, Any], etag: str, wait_seconds: int = GRACE_SECONDS) -> bool:
        """Wake a file for it to try by itself, with its place kept; False if it sleeps there no more."""
        awake = self._write(place, {**told, "awake": datetime.now(UTC).isoformat()}, etag)
        if not awake:
            return False
        if self.wake(told.get("token", ""), room.woken(None, awake, wait_seconds)):
            return True
        self._remove(place, awake)
        return False

    def wake(self, token: str, message: Mapping[str, Any]) -> bool:
        """Wake who sleeps with a token; False if nobody does any more."""
        if not token:
            return False
        with aws.errors_named("states:SendTaskSuccess"):
            try:
                aws.client("stepfunctions").send_task_success(taskToken=token, output=json.dumps(message))
            except ClientError as error:
                if aws.code(error) in _OVER:
                    return False
                raise
        return True

    def _read(self, place: str) -> tuple[dict[str, Any], str]:
        """What a place tells, and its ETag; that is empty if the place is gone."""
        with aws.errors_named(f"s3:GetObject of s3://{self.bucket}/{place}"):
            try:
                answer = aws.client("s3").get_object(Bucket=self.bucket, Key=place)
                told = json.loads(answer["Body"].read())
            except ClientError as error:
                if aws.code(error) != "NoSuchKey":
                    raise
                return {}, ""
            except ValueError:
                told = {}
        return (told if isinstance(told, dict) else {}), answer["ETag"]

    def _write(self, place: str, told: Mapping[str, Any], etag: str = "") -> str:
        """Its new ETag; empty if it is not what had the ETag any more."""
        condition = {"IfMatch": etag} if etag else {}
        with aws.errors_named(f"s3:PutObject of s3://{self.bucket}/{place}"):
            try:
                body = json.dumps(told).encode()
                answer = aws.client("s3").put_object(Bucket=self.bucket, Key=place, Body=body, **condition)
            except ClientError as error:
                if etag and aws.code(error) in _CHANGED:
                    return ""
                raise
        return str(answer["ETag"])

    def _delete(self, key: str) -> None:
        with aws.errors_named(f"s3:DeleteObject of s3://{self.bucket}/{key}"):
            aws.client("s3").delete_object(Bucket=self.bucket, Key=key)

    def _remove(self, place: str, etag: str) -> bool:
        """False if it is not what had the ETag any more: the file sleeps there anew, or somebody else was first."""
        with aws.errors_named(f"s3:DeleteObject of s3://{self.bucket}/{place}"):
            try:
                aws.client("s3").delete_object(Bucket=self.bucket, Key=place, IfMatch=etag)
            except ClientError as error:
                if aws.code(error) not in _CHANGED:
                    raise
                return False
        return True


def _is_awake(told: Mapping[str, Any]) -> bool:
    """Whether the file of a place tries by itself just now; for how long, nobody knows of one that was stopped meanwhile."""
    return "awake" in told and _is_recent(parse_time(str(told["awake"])))


def _is_recent(since: datetime) -> bool:
    return (datetime.now(UTC) - since).total_seconds() < _AWAKE_SECONDS


def leave(event: Mapping[str, Any], state: Mapping[str, Any], attempt_id: str, deleted: list[str]) -> None:
    """After the tear-down of an attempt: its place goes if it has queued, and the next file is called to its room.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    request = state["request"]
    if request.get("cluster_settings", {}).get("queue"):
        return
    queue = Queue.of(request["cluster"], request["namespace"])
    is_made, freed = room.made_by(event, state, deleted)
    place = ""
    if "full" in state and not event.get("keep_upload"):
        place = queue.place(event.get("started") or _started(event["detail"]), attempt_id)
        is_kept, kept = queue.give_up(place)
        if is_kept:
            is_made, freed = True, kept
    if is_made:
        queue.call(freed)
    if place:
        queue.leave(place)


def _started(detail: Mapping[str, Any]) -> str:
    """When an execution started that EventBridge tells of, in milliseconds there."""
    return datetime.fromtimestamp(detail["startDate"] / 1000, UTC).isoformat()
