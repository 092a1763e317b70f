"""A real HTTP server on loopback that answers as a test tells it: well, wrongly, halfway, or not at all."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered: `body`, or `chunks` in chunked encoding.

    `promised` is the Content-Length if it is to be a lie, `broken` leaves the end of the chunks out; either closes the
    connection, or, with `stalls`, leaves it open without another byte.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    chunks: tuple[bytes, ...] = ()
    broken: bool = False
    stalls: bool = False


class HangUp(Exception):
    """The connection is closed without an answer."""


class Silence(Exception):
    """The connection stays open without an answer, until the server is closed."""


class QuietServer(ThreadingHTTPServer):
    """A client that has gone away is what some tests are about, and no error of the server."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


Answer = Reply | Exception | Callable[[Request], Reply]


class Server:
    """`answers` by method and path (`"GET /ping"`) or, if that is not there, by method alone; else 404."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self._closed = threading.Event()
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def posted(self) -> list[Request]:
        """What it was sent, without what it was asked."""
        return [request for request in self.requests if request.method == "POST"]

    def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.path}", self.answers.get(request.method, Reply(404)))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else answer(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    reply = server._answer(Request(self.command, self.path, headers, body))
                except HangUp:
                    self.close_connection = True
                    return
                except Silence:
                    server._closed.wait()
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.chunks:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    last = b"" if reply.broken else b"0\r\n\r\n"
                    self.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in reply.chunks) + last)
                    self.close_connection = reply.broken
                    return
                length = len(reply.body) if reply.promised is None else reply.promised
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = length != len(reply.body)
                if reply.stalls:
                    server._closed.wait()

            do_GET = do_POST = do_DELETE = serve  # noqa: N815  (http.server's names)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing: pytest shows what failed."""

        return Handler
