"""The SHA-256 of a scored file, read back from S3: it is written by functions that may each be killed, in parts of which no
SHA-256 of the whole can be made, and the state of one cannot be handed from one function to the next.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from scoring.errors import SourceChanged, SourceGone
from scoring.files import objects
from scoring.intake.identity import Source

# What is kept of a function's time for what comes after it: the receipt, the event, their repetitions.
_RESERVE_SECONDS = 60.0
# By then it is known how fast the object comes: the first range is read over one connection (`files.ranges`).
_JUDGED_AFTER_SECONDS = 20.0
_LOOK_SECONDS = 1.0


class NotReadBack(Exception):
    """There is no SHA-256; its text says why."""


def sha256(s3: Any, bucket: str, key: str, etag: str, size: int, seconds_left: Callable[[], float]) -> str:
    """The SHA-256 of the `size` bytes of the object with this ETag, in hex; in constant memory, several ranges ahead.

    Given up as soon as a function's `seconds_left` will not suffice, whatever S3 answers or does not.

    Raises
    ------
    NotReadBack
        The time does not suffice, or another object is there.
    AwsThrottled, AccessDenied, ScoringFailed
    """
    source = Source(bucket, key, "", etag.strip('"'), size, "")
    digest, given_up, began = hashlib.sha256(), threading.Event(), seconds_left()
    read = 0

    def update() -> None:
        nonlocal read
        for chunk in objects.read(s3, source):
            if given_up.is_set():
                return
            digest.update(chunk)
            read += len(chunk)

    if began <= _RESERVE_SECONDS:
        raise NotReadBack(f"There was no time left to read {size} bytes back.")
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-back")
    try:
        reading = pool.submit(update)
        while not wait([reading], _LOOK_SECONDS).done:
            left = seconds_left()
            spent, usable = began - left, left - _RESERVE_SECONDS
            if usable <= 0 or (spent >= _JUDGED_AFTER_SECONDS and (size - read) * spent > read * usable):
                raise NotReadBack(f"The time of one function does not suffice to read {size} bytes back.")
        reading.result()
    except (SourceGone, SourceChanged) as error:
        raise NotReadBack("It was replaced or deleted before it was read back.") from error
    finally:
        # A read that hangs is left behind: it ends with its next chunk or its time-out.
        given_up.set()
        pool.shutdown(wait=False)
    return digest.hexdigest()
