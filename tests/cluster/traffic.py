"""Requests through a gateway or an ingress."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MEGABYTE = bytes(2**20)


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def open_connection(url: str, timeout: float = 20) -> tuple[http.client.HTTPConnection, str]:
    """A connection to a URL's server, and the path on it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
    return connection, parts.path + (f"?{parts.query}" if parts.query else "")


def ask(
    url: str,
    method: str = "GET",
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request. A body without a Content-Length among the headers is sent in chunks if it is not bytes."""
    connection, path = open_connection(url)
    try:
        connection.request(
            method,
            path,
            body=body,
            headers=headers or {},
            encode_chunked=not isinstance(body, bytes | None) and "Content-Length" not in (headers or {}),
        )
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def ask_until(url: str, status: int, timeout: float = 30, **request: Any) -> Answer:
    """The first answer with this status: a data plane follows its objects a little later."""
    deadline = time.monotonic() + timeout
    while (answer := ask(url, **request)).status != status:
        assert time.monotonic() < deadline, f"{url} still answers {answer.status}: {answer.body!r}"
        time.sleep(0.1)
    return answer
