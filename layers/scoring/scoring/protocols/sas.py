"""The protocol of SAS model containers (SAS Open Model Manager's runtime), as a real one was found to speak it.

`GET /` answers `pong`. `POST /executions` takes the file as a multipart part and answers 201 with an id, mostly after
the script has ended, and also when the script raised. `GET /query/<id>` answers the CSV or 404, `GET /query/<id>/log`
the log, whose last line is `Completed!` once the script has ended, however it ended.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from scoring.errors import SERVER_TIME_OUT, ModelFailed, RowCountMismatch
from scoring.files.dialect import RFC4180
from scoring.files.formats import Batch, Format
from scoring.files.joining import line_end, redelimited, row, without_end
from scoring.protocols.csv_answers import csv_rows
from scoring.protocols.model import (
    MAX_ANSWER_BYTES,
    Answer,
    Model,
    StillBusy,
    TookTooLong,
    TooMany,
    TooMuch,
    check_load,
)
from scoring.protocols.predictions import Rows
from scoring.protocols.sas_log import TAIL_CHARACTERS, judge, raised

_ANSWER_SECONDS = 30.0
_POLL_PAUSE_SECONDS = 0.1
# The id goes into a path; a container makes it of a time stamp.
_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


def form() -> tuple[bytes, bytes, str]:
    """What is before a file and behind it in a multipart body, and the media type of that."""
    boundary = uuid.uuid4().hex
    # A name of our own: a container puts it on a command line without quotes.
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="input.csv"\r\nContent-Type: text/csv\r\n\r\n'
    return head.encode(), f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Sas:
    """One file at a time, whole."""

    name, ping = "sas", "/"

    def __init__(self, model: Model, *, any_rows: bool = False) -> None:
        self._model, self._any_rows = model, any_rows

    def ready(self) -> str | None:
        """None if the model is ready, else what it answered."""
        answer = self._model.request("GET", self.ping, 5.0)
        if answer.status == 200 and answer.body.strip() == b"pong":
            return None
        return f"{answer.status} {answer.text}"

    def submit(self, chunks: Iterable[bytes], size: int, seconds: float) -> str:
        """Send a file of `size` bytes and give the id of its execution.

        Raises
        ------
        ModelFailed
            The container refuses the file.
        NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        head, tail, media_type = form()

        def body() -> Iterator[bytes]:
            yield head
            yield from chunks
            yield tail

        headers = {
            "Content-Type": media_type,
            # The exact length: with it nothing between us and the model has to buffer the file.
            "Content-Length": str(len(head) + size + len(tail)),
        }
        answer = self._model.request("POST", "/executions", seconds, body=body(), headers=headers)
        check_load(answer)
        if answer.status != 201:
            # The container answers 201 whatever its script does, so a 500 is the server's around it: what newer versions
            # of gunicorn answer when they end a worker that was silent for too long.
            remedy = SERVER_TIME_OUT if answer.status == 500 else None
            raise ModelFailed(
                f"The model refused the file: {answer.status}.", remedy, status=answer.status, answer=answer.text
            )
        try:
            execution_id = str(json.loads(answer.body)["id"])
        except (ValueError, KeyError, TypeError):
            execution_id = ""
        if not _ID.fullmatch(execution_id):
            raise ModelFailed("The model took the file but gave no id of its execution.", answer=answer.text)
        return execution_id

    def poll(self, execution_id: str, seconds: float | None = None) -> bool:
        """True once the result may be collected, False while the model works or says nothing for `seconds`.

        Raises
        ------
        ModelFailed
            The script has raised, or the container knows nothing of the execution.
        NoAnswer
        """
        try:
            log = self._model.request("GET", f"/query/{execution_id}/log", seconds or _ANSWER_SECONDS)
            check_load(log)
        except (StillBusy, TookTooLong, TooMuch, TooMany):
            return False
        # Where any number of rows is right, nothing but the log tells a whole result from half of one.
        return judge(log.status, log.body.decode("utf-8", "replace"), strict=self._any_rows)

    def collect(self, execution_id: str, offset: int = 0, seconds: float | None = None) -> Iterator[bytes]:
        """The scored CSV in chunks, from byte `offset` on, each waited for at most `seconds`.

        Raises
        ------
        ModelFailed
            The script ended without writing a result.
        NoAnswer, StillBusy, TooMany
        """
        status, chunks = self._model.stream(f"/query/{execution_id}", seconds or _ANSWER_SECONDS, offset)
        if status == 416 and offset:
            # All of it was fetched before: there is no byte from here on.
            return iter(())
        if status == 429:
            raise TooMany(f"The model answered {status} when it was asked for the result.", None)
        if status not in (200, 206):
            answer = next(chunks, b"")[:TAIL_CHARACTERS].decode("utf-8", "replace")
            log = self._model.request("GET", f"/query/{execution_id}/log", seconds or _ANSWER_SECONDS).body.decode(
                "utf-8", "replace"
            )
            error = raised(log, strict=True)
            raise ModelFailed(
                f"The model's script ended without a result: {status}."
                + (f" It raised an error: {error}" if error else ""),
                status=status,
                answer=answer,
                log_tail=log[-TAIL_CHARACTERS:],
            )
        return chunks


class SasRows:
    """The same container, fed with batches of records: one execution a batch (the tag `split=rows`).

    What comes back is what the script writes. Only where the file's tags choose columns do the file's own come back as
    they were, and of the script's those that it has added.
    """

    # Each batch starts the script anew, so batches grow until that no longer counts; the container works on one at a time.
    most_bytes, most_in_flight, patience = 4 << 20, 1, 10.0
    # Records are counted here, never taken apart.
    most_records = 4 << 20

    def __init__(self, model: Model, *, any_rows: bool = False) -> None:
        self._sas = Sas(model, any_rows=any_rows)
        self.any_rows = any_rows

    def open(self, file: Format, first: Callable[[], Batch | None]) -> None:
        """As a row protocol's; a script reads the file itself."""

    def fitted(self, file: Format, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch as it is."""
        return batch

    def submit(self, file: Format, batch: Batch, places: Sequence[int], seconds: float) -> Answer:
        """Score records of a batch; the CSV that the script wrote.

        Raises
        ------
        ModelFailed, NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        until = time.monotonic() + seconds

        def left() -> float:
            return min(max(until - time.monotonic(), 1.0), _ANSWER_SECONDS)

        body = file.body(batch, places)
        execution_id = self._sas.submit((file.sent_header, body), len(file.sent_header) + len(body), seconds)
        while not self._sas.poll(execution_id, left()):
            if time.monotonic() > until:
                raise StillBusy(f"The model was not done with a batch after {seconds:.0f} s.")
            time.sleep(_POLL_PAUSE_SECONDS)
        answer = bytearray()
        for chunk in self._sas.collect(execution_id, seconds=left()):
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise ModelFailed(f"The model's answer to a batch is longer than {MAX_ANSWER_BYTES >> 20} MiB.")
        return Answer(200, bytes(answer), media_type="text/csv")

    def collect(
        self,
        file: Format,  # noqa: ARG002
        answer: Answer,
        expected: int,
        columns: Sequence[str] = (),  # noqa: ARG002
    ) -> tuple[list[str], Rows]:
        """The script's own header line (as the one column name) and its rows.

        Raises
        ------
        ModelFailed, RowCountMismatch
        """
        end = RFC4180.first_end(answer.body)
        header, *rows = csv_rows(answer) or [b""]
        if len(rows) != expected and not self.any_rows:
            raise RowCountMismatch(f"The model answered {len(rows)} rows to {expected} records.")
        # With its line end: the script's rows keep theirs.
        return [(header + line_end(answer.body[:end])).decode()], rows

    def header(self, file: Format, names: list[str]) -> bytes:
        """The header of the output: the one that the script wrote."""
        written = names[0].encode()
        if file.spec.sent is None and file.spec.kept is None:
            return written
        added, _ = self._added(file, written)
        return file.header([name.decode() for name in RFC4180.values(row(added))])

    def joined(self, file: Format, batch: Batch, names: list[str], predictions: Sequence[Any | None]) -> list[bytes]:
        """What the script wrote, or the file's own columns and the script's new ones."""
        written = names[0].encode()
        end = line_end(written)
        if self.any_rows:
            return [found + end for found in predictions if found is not None]
        if file.spec.sent is None and file.spec.kept is None:
            own = batch.own() if None in predictions else []
            lines = [
                self._without_answer(file, written, own[place]) if found is None else found
                for place, found in enumerate(predictions)
            ]
            return [end.join(lines) + end]
        added, places = self._added(file, written)
        found_rows = [
            None if found is None else self._taken(file, RFC4180.fields(found), places) for found in predictions
        ]
        return file.joined(batch, [name.decode() for name in added], found_rows)

    @staticmethod
    def _added(file: Format, written: bytes) -> tuple[list[bytes], list[int]]:
        """The script's columns that the file does not have, and where they are."""
        names, own = RFC4180.values(without_end(written)), set(file.names)
        places = [place for place, name in enumerate(names) if name not in own]
        return [names[place] for place in places], places

    @staticmethod
    def _taken(file: Format, fields: Sequence[bytes], places: Sequence[int]) -> bytes:
        if places and places[-1] >= len(fields):
            raise ModelFailed("The script wrote a row that is shorter than its header.")
        return redelimited(b",".join(fields[place] for place in places), file.answers or b",")

    @staticmethod
    def _without_answer(file: Format, written: bytes, own: bytes) -> bytes:
        """A row for a record that the script has not scored: what is the file's own, and nothing else."""
        values = dict(zip(file.names, file.values(own), strict=False))
        return row(values.get(name, b"") for name in RFC4180.values(without_end(written)))
