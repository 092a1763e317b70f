"""HTTP to a model, with its silence and its refusals named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3 import exceptions
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from scoring.errors import DropscoreError

_CONNECT_SECONDS = 5.0
_SNIPPET_CHARACTERS = 2_000
# An answer that is read whole into memory is bounded: the output of one batch, a log, an error page.
_MAX_ANSWER_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
# What a gateway or ingress answers when the pod behind it closed the connection or is not there.
_ROUTE_HAS_NO_POD = (502, 503)


class NoAnswer(DropscoreError):
    """The model closed the connection, refused it or broke off (internal: the pod's state tells what that means)."""


class StillBusy(DropscoreError):
    """The model did not answer in the time given (internal: slow is not dead)."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body, for a person."""
        return self.body[: 4 * _SNIPPET_CHARACTERS].decode("utf-8", "replace")[:_SNIPPET_CHARACTERS]


class Model:
    """The model of one pod at `url` (without a slash at its end)."""

    def __init__(self, url: str) -> None:
        self.url = url
        # A POST must never be repeated unseen, and what a redirect points to is not the pod.
        self._http = urllib3.PoolManager(retries=False, maxsize=4)

    def request(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request and its whole answer, waited for at most `seconds` between two bytes.

        Raises
        ------
        NoAnswer, StillBusy
        """
        response = self._open(method, path, seconds, body, headers)
        if response.status in _ROUTE_HAS_NO_POD:
            raise NoAnswer(f"The route answered {response.status} to {method} {path} in the model's place.")
        try:
            data = response.read(_MAX_ANSWER_BYTES + 1, decode_content=True)
        except ReadTimeoutError as error:
            raise StillBusy(f"The model stopped in the middle of its answer to {method} {path}.") from error
        except HTTPError as error:
            raise NoAnswer(f"The model broke off its answer to {method} {path}: {error}") from error
        finally:
            response.release_conn()
        if len(data) > _MAX_ANSWER_BYTES:
            raise NoAnswer(f"The model's answer to {method} {path} is longer than {_MAX_ANSWER_BYTES >> 20} MiB.")
        return Answer(response.status, data)

    def stream(self, path: str, seconds: float) -> tuple[int, Iterator[bytes]]:
        """GET `path`: the status, and the body in chunks of at most 1 MiB.

        Raises
        ------
        NoAnswer, StillBusy
            At once, or while the chunks are read: also when fewer bytes come than Content-Length promised.
        """
        response = self._open("GET", path, seconds, None, None)
        if response.status in _ROUTE_HAS_NO_POD:
            raise NoAnswer(f"The route answered {response.status} to GET {path} in the model's place.")
        return response.status, self._chunks(response, path)

    @staticmethod
    def _chunks(response: Any, path: str) -> Iterator[bytes]:
        try:
            yield from response.stream(CHUNK_BYTES, decode_content=True)
        except ReadTimeoutError as error:
            raise StillBusy(f"The model stopped in the middle of its answer to GET {path}.") from error
        except HTTPError as error:
            raise NoAnswer(f"The model broke off its answer to GET {path}: {error}") from error
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
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=max(seconds, 1.0))
        try:
            return self._http.request(
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
            raise NoAnswer(f"The model took no connection for {method} {path}: {error}") from error
        except exceptions.TimeoutError as error:
            raise StillBusy(f"The model did not answer {method} {path} within {seconds:.0f} s.") from error
        except (HTTPError, OSError) as error:
            raise NoAnswer(f"The model closed the connection without an answer to {method} {path}: {error}") from error
