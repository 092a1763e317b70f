"""HTTP to a model, with its silence and its refusals named."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, InvalidHeader, NewConnectionError, ReadTimeoutError
from urllib3.util import Retry

from scoring.errors import DropscoreError, InvalidFile, abridged
from scoring.files import content
from scoring.protocols.connection import Pool

_CONNECT_SECONDS = 5.0
# urllib3 sends a body under the time-out for connecting: how long a model may leave what we send unread.
_SEND_SECONDS = 60.0
# A model that computes is silent for minutes; without these, a load balancer or NAT gateway in between forgets the
# connection (NLB: after 350 s) and nobody is told.
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
]
_SNIPPET_CHARACTERS, _PAGE_CHARACTERS = 2_000, 200
# An answer that is read whole into memory is bounded: the output of one batch, a log, an error page.
MAX_ANSWER_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
# What a gateway or ingress answers when the pod behind it closed the connection or is not there. (A 503 that says when to
# come back is a full queue's: RFC 9110, 15.6.4.)
_ROUTE_HAS_NO_POD = (502, 503)


class NoAnswer(DropscoreError):
    """The model closed the connection or broke off (internal: the pod's state tells what that means)."""


class NoConnection(NoAnswer):
    """The model took no connection: nothing of the request has reached it."""


class TooMuch(DropscoreError):
    """The model, or the route to it, would have less in a request (internal: batches shrink)."""


class TookTooLong(DropscoreError):
    """The model, or the route to it, gave the request up for its time (internal: perhaps for what it carried)."""


class TooMany(DropscoreError):
    """The model, or the route to it, would have fewer requests at a time (internal: they wait).

    `seconds` is how long, if it said so.
    """

    def __init__(self, summary: str, seconds: float | None) -> None:
        super().__init__(summary)
        self.seconds = seconds


class StillBusy(DropscoreError):
    """The model did not answer in the time given (internal: slow is not dead)."""


class NotReading(StillBusy):
    """The model left unread what it was sent: it is busy with something else."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    retry_after: float | None = None
    """Seconds."""
    media_type: str = ""
    """What the server calls it: its Content-Type, with parameters."""

    @property
    def document(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def text(self) -> str:
        """The body for a person: if it is long, its beginning and its end, where a traceback has its cause."""
        body = self.body
        if len(body) > 8 * _SNIPPET_CHARACTERS:
            body = body[: 4 * _SNIPPET_CHARACTERS] + body[-4 * _SNIPPET_CHARACTERS :]
        return abridged(body.decode("utf-8", "replace"), _SNIPPET_CHARACTERS)


def check_load(answer: Answer) -> None:
    """Raise what a refusal for size or haste means.

    Raises
    ------
    TooMuch
        413, of the model or of what lies in between.
    TookTooLong
        408 or 504.
    TooMany
        429, or 503 with the time to come back.
    """
    if answer.status == 413:
        raise TooMuch(f"it answered {answer.status}: {answer.text}")
    if answer.status in (408, 504):
        raise TookTooLong(f"it answered {answer.status}: {answer.text}")
    if answer.status in (429, 503):
        raise TooMany(f"The model answered {answer.status}: {answer.text}", answer.retry_after)


class Model:
    """The model of one pod at `url` (without a slash at its end)."""

    def __init__(self, url: str) -> None:
        self.url = url
        # A POST must never be repeated unseen, and what a redirect points to is not the pod.
        self._http = urllib3.PoolManager(
            retries=False, maxsize=8, socket_options=[*HTTPConnection.default_socket_options, *_KEEP_ALIVE]
        )
        self._http.pool_classes_by_scheme = {"http": Pool}

    def request(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request and its whole answer, waited for at most `seconds` between two bytes. A body in a tuple is sent as one.

        Raises
        ------
        NoAnswer, StillBusy
        """
        response = self._open(method, path, seconds, body, headers)
        retry_after = _retry_after(response) if response.status in (429, 503) else None
        if response.status in _ROUTE_HAS_NO_POD and retry_after is None:
            raise _answered_by_the_route(response, method, path)
        data = bytearray()
        try:
            for chunk in _decoded(response):
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    raise NoAnswer(
                        f"The model's answer to {method} {path} is longer than {MAX_ANSWER_BYTES >> 20} MiB."
                    )
        except (HTTPError, InvalidFile) as error:
            raise _broken_off(error, method, path) from error
        finally:
            response.release_conn()
        return Answer(response.status, bytes(data), retry_after, response.headers.get("Content-Type", ""))

    def stream(self, path: str, seconds: float, offset: int = 0) -> tuple[int, Iterator[bytes]]:
        """GET `path` from byte `offset` on: the status, and the body in chunks of at most 1 MiB.

        Raises
        ------
        NoAnswer, StillBusy
            At once, or while the chunks are read: also when fewer bytes come than Content-Length promised.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else None
        response = self._open("GET", path, seconds, None, headers)
        if response.status in _ROUTE_HAS_NO_POD:
            raise _answered_by_the_route(response, "GET", path)
        # A model that knows no Range answers 200 and sends it all.
        return response.status, self._chunks(response, path, offset if response.status == 200 else 0)

    @staticmethod
    def _chunks(response: Any, path: str, skip: int) -> Iterator[bytes]:
        try:
            yield from content.skipped(_decoded(response), skip)
        except (HTTPError, InvalidFile) as error:
            raise _broken_off(error, "GET", path) from error
        finally:
            response.close()

    def _open(
        self,
        method: str,
        path: str,
        seconds: float,
        body: bytes | Iterable[bytes] | None,
        headers: dict[str, str] | None,
    ) -> Any:
        if isinstance(body, tuple):
            headers = {"Content-Length": str(sum(map(len, body))), **(headers or {})}
        connect = _CONNECT_SECONDS if body is None else max(min(seconds, _SEND_SECONDS), _CONNECT_SECONDS)
        # In total, sending included.
        timeout = urllib3.Timeout(connect=connect, total=max(seconds, 1.0))
        try:
            response = self._http.request(
                method,
                self.url + path,
                body=body,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                enforce_content_length=True,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            # Not busy: the kernel takes connections for a busy model, but nobody does for a node that is gone.
            raise NoConnection(f"The model took no connection for {method} {path}: {error}") from error
        except exceptions.TimeoutError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ETIMEDOUT:
                # Not ours: nobody has acknowledged the kernel's keep-alives for minutes.
                raise NoAnswer(f"The node of the model is gone: {error}") from error
            raise StillBusy(f"The model did not answer {method} {path} within {seconds:.0f} s.") from error
        except exceptions.ProtocolError as error:
            if isinstance(error.args[-1], TimeoutError):
                raise NotReading(f"The model did not read what {method} {path} sends for {connect:.0f} s.") from error
            raise NoAnswer(f"The model closed the connection without an answer to {method} {path}: {error}") from error
        except (HTTPError, OSError) as error:
            raise NoAnswer(f"The model closed the connection without an answer to {method} {path}: {error}") from error
        if response.status < 200:
            # 103 and its like come before the answer, which would be taken for the next one's on this connection.
            response.close()
            raise NoAnswer(f"The model answered {response.status} to {method} {path}, which is no answer yet.")
        return response


def _decoded(response: Any) -> Iterator[bytes]:
    """The body of an answer in chunks of at most 1 MiB, inflated where the server has compressed it unasked.

    Raises
    ------
    HTTPError, InvalidFile
    """
    if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip"):
        # urllib3 inflates as well, but takes a stream for whole that ends before its own end.
        return content.inflated(response.stream(CHUNK_BYTES, decode_content=False))
    chunks: Iterator[bytes] = response.stream(CHUNK_BYTES, decode_content=True)
    return chunks


def _broken_off(error: HTTPError | InvalidFile, method: str, path: str) -> StillBusy | NoAnswer:
    """What it means that the body of an answer has come to an end before it was whole."""
    if isinstance(error, ReadTimeoutError):
        return StillBusy(f"The model stopped in the middle of its answer to {method} {path}.")
    why = "its gzip is broken or cut short" if isinstance(error, InvalidFile) else error
    return NoAnswer(f"The model broke off its answer to {method} {path}: {why}")


def _answered_by_the_route(response: Any, method: str, path: str) -> NoAnswer:
    """With the first words of the answer: a model that loads may have said them just as well."""
    try:
        text = " ".join(response.read(_SNIPPET_CHARACTERS, decode_content=True).decode("utf-8", "replace").split())
    except HTTPError:
        text = ""
    finally:
        response.close()
    said = f": {text[:_PAGE_CHARACTERS]}" if text else "."
    return NoAnswer(
        f"The route answered {response.status} to {method} {path} in the model's place{said}", status=response.status
    )


def _retry_after(response: Any) -> float | None:
    try:
        # Seconds or a date, as it comes; numbers and years may be beyond any reason.
        return Retry().get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):
        return None
