"""The protocol of SAS model containers (SAS Open Model Manager's runtime), as a real one was found to speak it.

`GET /` answers `pong`. `POST /executions` takes the file as a multipart part and answers 201 with an id, mostly after
the script has ended, and also when the script raised. `GET /query/<id>` answers the CSV or 404, `GET /query/<id>/log`
the log, whose last line is `Completed!` once the script has ended, however it ended.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator

from scoring.errors import SERVER_TIME_OUT, ModelFailed
from scoring.protocols.model import Model, StillBusy

_ANSWER_SECONDS = 30.0
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
        NoAnswer, StillBusy
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

    def poll(self, execution_id: str) -> bool:
        """True once the result may be collected, False while the model works.

        Raises
        ------
        ModelFailed
            The script has raised, or the container knows nothing of the execution.
        NoAnswer
        """
        try:
            log = self._model.request("GET", f"/query/{execution_id}/log", _ANSWER_SECONDS)
        except StillBusy:
            return False
        return judge(log.status, log.body.decode("utf-8", "replace"))

    def collect(self, execution_id: str) -> Iterator[bytes]:
        """The scored CSV in chunks.

        Raises
        ------
        ModelFailed
            The script ended without writing a result.
        NoAnswer, StillBusy
        """
        status, chunks = self._model.stream(f"/query/{execution_id}", _ANSWER_SECONDS)
        if status != 200:
            answer = b"".join(chunks)[:_LOG_TAIL].decode("utf-8", "replace")
            raise ModelFailed(f"The model's script ended without a result: {status}.", status=status, answer=answer)
        return chunks


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
