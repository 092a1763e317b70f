"""A model that goes wrong on purpose; the image's variable BEHAVIOUR says how. Only the standard library, to start fast."""

from __future__ import annotations

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOUR = os.environ["BEHAVIOUR"]


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, b"pong")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        rows = body.count(b"\n")
        if BEHAVIOUR == "refuses":
            self.answer(500, b"the weights do not fit the data")
        elif BEHAVIOUR == "slow":
            time.sleep(4)
            self.answer(200, b"1\n" * rows)
        elif BEHAVIOUR == "forgets-a-row":
            self.answer(200, b"1\n" * (rows - 1))
        elif BEHAVIOUR == "dies":
            print("fatal: the model gave up", flush=True)  # noqa: T201
            os._exit(3)
        elif BEHAVIOUR == "hangs-up":
            self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if BEHAVIOUR == "crashes":
    print("loading the model\nfatal: weights missing", flush=True)  # noqa: T201
    sys.exit(1)
if BEHAVIOUR == "never-listens":
    time.sleep(3_600)
ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), 8080), Model).serve_forever()
