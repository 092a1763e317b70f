"""A model that answers each record with how it was started: its arguments, a variable and its port."""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
ROW = ",".join([" ".join(sys.argv[1:]), os.environ.get("GREETING", ""), os.environ["SAGEMAKER_BATCH"], str(PORT)])


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        rows = len(self.rfile.read(int(self.headers["Content-Length"])).splitlines())
        self.answer(f"{ROW}\n".encode() * rows)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


ThreadingHTTPServer((os.environ["HOST"], PORT), Model).serve_forever()
