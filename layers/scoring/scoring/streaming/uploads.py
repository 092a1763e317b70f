"""The scored file and the list of bad records on their way to S3, and the record of progress that counts what has arrived.

Parts take their time while the work goes on, so a record is made where a part is cut and saved when that part, and all
before it, are there: whoever goes on from a record finds every part that it counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from scoring.files.objects import Upload
from scoring.intake.identity import rejected_key
from scoring.streaming.progress import Progress

# Each record is a request, and what is done since the last one is done again when a function is killed.
_PARTS_OF_A_RECORD = 6


class Uploads:
    """What comes of a file: `scored`, and `rejects` where there may be bad records, on from where `progress` says.

    As a context: nothing is under way any more when it ends, whatever ends it.
    """

    def __init__(
        self, s3: Any, output: Mapping[str, str], progress: Progress, upload_id: str, rejected_upload_id: str | None
    ) -> None:
        self._s3, self._output, self._progress = s3, output, progress
        self._sender = Upload.sender()
        bucket, key = output["bucket"], output["key"]
        done = progress.part, progress.tail, progress.seal
        self.scored = Upload(s3, bucket, key, upload_id, *done, self._sender)
        self.rejects: Upload | None = None
        if rejected_upload_id:
            done = progress.rejected_part, progress.rejected_tail, progress.rejected_seal
            self.rejects = Upload(s3, bucket, rejected_key(key), rejected_upload_id, *done, self._sender)
        self._both = [self.scored, *([self.rejects] if self.rejects else [])]
        # Those whose parts are under way; the newest of those whose parts are there; and the one that is being saved.
        self._waiting: deque[Progress] = deque()
        self._ready: Progress | None = None
        self._saving: tuple[Progress, Future[None]] | None = None
        self._made = _written(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sender.__exit__(kind, error, at)

    def checkpoint(self) -> bool:
        """Take note that the work can go on from here: send what is enough for parts on its way, and begin to save the newest
        record whose parts are there. True if one was begun.

        A record is made where a part ends here, of every sixth one. Those between end where they are just large enough:
        ends of batches would make them larger, and fewer of them would be under way at once.

        Raises
        ------
        AwsThrottled, AccessDenied, ScoringFailed
            What became of a part or a record that could not be written.
        """
        if _written(self._progress) - self._made < _PARTS_OF_A_RECORD * self._sender.part_bytes:
            for upload in self._both:
                upload.send()
        elif self._cut():
            self._made = _written(self._progress)
            self._waiting.append(self._counted(replace(self._progress)))
        while self._waiting and self._is_there(self._waiting[0]):
            self._ready = self._waiting.popleft()
        if self._saving and self._saving[1].done():
            self._settle()
        if not self._ready or self._saving:
            return False
        record, self._ready = self._sealed(replace(self._ready, etag=self._progress.etag)), None
        self._saving = record, self._sender.run(lambda: record.save(self._s3, self._output))
        return True

    def _cut(self) -> bool:
        """End parts here, if there is enough for one. Of both, or each record would carry what the other one has not sent
        yet; S3 takes no small ones.
        """
        enough = [upload for upload in self._both if upload.is_enough]
        for upload in enough:
            upload.checkpoint()
        return bool(enough)

    @property
    def held_bytes(self) -> int:
        """Memory of parts that are under way, and of those that are being written."""
        return self._sender.bytes_under_way + self._sender.part_bytes * len(self._both)

    def save(self) -> None:
        """Wait for the parts under way, and keep all that is done.

        Raises
        ------
        AwsThrottled, AccessDenied, ScoringFailed
        """
        self._arrive()
        self._sealed(self._counted(self._progress)).save(self._s3, self._output)
        self._made = _written(self._progress)

    def close(self) -> None:
        """Upload the rest, and wait for all that is under way; what `progress` says of parts is that of a whole file then.

        Raises
        ------
        AwsThrottled, AccessDenied, ScoringFailed
        """
        self.scored.finish()
        if self.rejects and self._progress.rejected:
            self.rejects.finish()
        self._arrive()
        self._sealed(self._counted(self._progress))

    def _counted(self, record: Progress) -> Progress:
        """The record with all parts that are cut."""
        record.part, record.tail = self.scored.part, self.scored.tail
        if self.rejects:
            record.rejected_part, record.rejected_tail = self.rejects.part, self.rejects.tail
        return record

    def _sealed(self, record: Progress) -> Progress:
        """The record with the seals of its parts, which are there."""
        record.seal = self.scored.seal(record.part)
        if self.rejects:
            record.rejected_seal = self.rejects.seal(record.rejected_part)
        return record

    def _is_there(self, record: Progress) -> bool:
        rejected = self.rejects.there if self.rejects else 0
        return record.part <= self.scored.there and record.rejected_part <= rejected

    def _arrive(self) -> None:
        for upload in self._both:
            upload.wait()
        self._settle()
        self._waiting.clear()
        self._ready = None

    def _settle(self) -> None:
        if self._saving:
            record, saved = self._saving
            saved.result()
            self._progress.etag, self._saving = record.etag, None


def _written(progress: Progress) -> int:
    return progress.written + progress.rejected_written
