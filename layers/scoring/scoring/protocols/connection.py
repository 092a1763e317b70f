"""Connections to a model that lose no time by TCP's good manners."""

from __future__ import annotations

import socket
from contextlib import suppress

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.response import HTTPResponse

# Of tcp(7), where the kernel has it.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class _Connection(HTTPConnection):
    """Many servers write an answer's head and its body apart, without TCP_NODELAY: by Nagle's algorithm (RFC 896) the body
    waits for the acknowledgement of the head, which the kernel keeps back for 40 ms (RFC 1122, 4.2.3.2).
    """

    def __str__(self) -> str:
        """As an error names it."""
        return f"{self.host}:{self.port}"

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        if _QUICKACK is not None and isinstance(self.sock, socket.socket):
            # For this answer: it is no property of the socket that stays.
            with suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return super().getresponse()


class Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
