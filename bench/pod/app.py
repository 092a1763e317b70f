"""The model of the benchmarks on the embedded stack: speaks `sas`, costs nothing, and scores each record with its clock.

The two columns that it adds are when the file's first bytes came and when it was done with the file (seconds since the
epoch), so that who reads the output knows what of the time was the model's. Only the standard library, to start fast.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scored = b""

    def do_GET(self) -> None:
        if self.path.endswith("/log"):
            self.answer(200, b"Scoring...\nCompleted!\n")
        elif self.path.startswith("/query/"):
            self.answer(200, Model.scored)
        else:
            self.answer(200, b"pong")

    def do_POST(self) -> None:
        received = time.time()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, _, part = body.partition(b"\r\n\r\n")
        header, *records = part.rpartition(b"\r\n--")[0].splitlines()
        moments = f",{received:.6f},{time.time():.6f}".encode()
        Model.scored = b"\n".join([header + b",received,done", *(record + moments for record in records)]) + b"\n"
        self.answer(201, json.dumps({"id": "1", "status": 201}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), 8080), Model).serve_forever()
