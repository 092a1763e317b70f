"""A registry that keeps what is pushed to it, in memory: what a cluster that is not ours pulls from."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.serving import serving


class Registry(ThreadingHTTPServer):
    """The registry; `contents` has blobs and manifests by their path below `/v2/`."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.contents: dict[str, bytes] = {}

    @property
    def name(self) -> str:
        """What stands before the first slash of its images."""
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        body = self.server.contents.get(urlsplit(self.path).path.removeprefix("/v2/"))
        if body is None:
            self._answer(404)
            return
        # A manifest says what it is, a blob need not.
        kind = json.loads(body)["mediaType"] if "/manifests/" in self.path else "application/octet-stream"
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self._answer(200, body, **{"Content-Type": kind, "Docker-Content-Digest": digest})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._read()
        self._answer(202, Location=f"{self.path.rstrip('/')}/{uuid.uuid4()}")

    def do_PUT(self) -> None:
        body, address = self._read(), urlsplit(self.path)
        path = address.path.removeprefix("/v2/")
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if "/manifests/" in path:
            self.server.contents[path] = self.server.contents[f"{path.rpartition('/')[0]}/{digest}"] = body
        elif parse_qs(address.query)["digest"] == [digest]:
            self.server.contents[f"{path.partition('/uploads/')[0]}/{digest}"] = body
        else:
            self._answer(400)
            return
        self._answer(201, **{"Docker-Content-Digest": digest})

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[Registry]:
    """Serve until the end."""
    with serving(Registry()) as registry:
        yield registry


if __name__ == "__main__":
    Registry(int(sys.argv[1])).serve_forever()
