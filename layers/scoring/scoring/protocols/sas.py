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
from collections.abc import Iterable, Iterator

from scoring.errors import SERVER_TIME_OUT, ModelFailed, RowCountMismatch
from scoring.files import records
from scoring.files.joining import line_end
from scoring.protocols.model import MAX_ANSWER_BYTES, Model, StillBusy, TookTooLong, TooMany, TooMuch, check_load

_ANSWER_SECONDS = 30.0
_POLL_PAUSE_SECONDS = 0.1
# The id goes into a path; a container makes it of a time stamp.
_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_RAISED = re.compile(r"^Traceback \(most recent call last\):|^Execution halted", re.MULTILINE)
_LOG_TAIL = 4_000


class Sas:
    """One file at a time, whole."""

    ping = "/"

    def __init__(self, model: Model) -> None:
        self._model = model

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
        boundary = uuid.uuid4().hex
        # A name of our own: a container puts it on a command line without quotes.
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="input.csv"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            yield from chunks
            yield tail

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
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
        return judge(log.status, log.body.decode("utf-8", "replace"))

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
            answer = next(chunks, b"")[:_LOG_TAIL].decode("utf-8", "replace")
            raise ModelFailed(f"The model's script ended without a result: {status}.", status=status, answer=answer)
        return chunks


class SasRows:
    """The same container, fed with batches of records: one execution a batch (the tag `split=rows`)."""

    # Each batch starts the script anew, so batches grow until that no longer counts; the container works on one at a time.
    most_bytes, most_in_flight, patience = 4 << 20, 1, 10.0
    # Records are counted here, never taken apart.
    most_records = 4 << 20

    def __init__(self, model: Model) -> None:
        self._sas = Sas(model)

    def submit(self, header: bytes, block: bytes, seconds: float) -> bytes:
        """Score a block of whole records; the CSV that the script wrote.

        Raises
        ------
        ModelFailed, NoAnswer, StillBusy, TookTooLong, TooMuch, TooMany
        """
        until = time.monotonic() + seconds

        def left() -> float:
            return min(max(until - time.monotonic(), 1.0), _ANSWER_SECONDS)

        execution_id = self._sas.submit((header, block), len(header) + len(block), seconds)
        while not self._sas.poll(execution_id, left()):
            if time.monotonic() > until:
                raise StillBusy(f"The model was not done with a batch after {seconds:.0f} s.")
            time.sleep(_POLL_PAUSE_SECONDS)
        answer = bytearray()
        for chunk in self._sas.collect(execution_id, seconds=left()):
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise ModelFailed(f"The model's answer to a batch is longer than {MAX_ANSWER_BYTES >> 20} MiB.")
        return bytes(answer)

    def scored(
        self,
        header: bytes,  # noqa: ARG002  (as RowProtocol's)
        block: bytes,  # noqa: ARG002
        answer: bytes,
        expected: int,
        delimiter: bytes,  # noqa: ARG002
    ) -> tuple[list[str], bytes]:
        """The script's own header line (as the one column name) and its rows.

        Raises
        ------
        RowCountMismatch
        """
        end = records.first_end(answer) or len(answer)
        body = answer[end:]
        rows = records.count(body)
        if rows != expected:
            raise RowCountMismatch(f"The model answered {rows} rows to {expected} records.")
        if not body.endswith(b"\n"):
            body += line_end(answer[:end])
        return [answer[:end].decode("utf-8", "surrogateescape")], body

    def header(self, header: bytes, columns: list[str], delimiter: bytes) -> bytes:  # noqa: ARG002
        """The header of the output: the one that the script wrote."""
        return columns[0].encode("utf-8", "surrogateescape")


def judge(status: int, log: str) -> bool:
    """What a container's answer for the log of an execution means: True for ended well, False for still at work.

    A result alone proves nothing: a script that raises half way leaves a truncated CSV that answers 200.

    Raises
    ------
    ModelFailed
    """
    if status == 404:
        raise ModelFailed(
            "The model knows nothing of the execution any more: its worker was started anew.", status=status
        )
    if status != 200:
        raise ModelFailed(
            f"The model cannot show the log of the execution: {status}.", status=status, answer=log[:2_000]
        )
    if _RAISED.search(log):
        lines = [line for line in log.splitlines() if line.strip() and line.strip() != "Completed!"]
        raise ModelFailed(f"The model's script raised an error: {lines[-1].strip()}", log_tail=log[-_LOG_TAIL:])
    return log.rstrip().endswith("Completed!")
