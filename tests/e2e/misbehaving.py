"""A model that goes wrong on purpose; the image's variable BEHAVIOUR says how. Only the standard library, to start fast.

It speaks the row protocols, `oip` for one model of two columns, and, asynchronously, `sas`: a container that gives the id
first and works afterwards.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOUR = os.environ["BEHAVIOUR"]
ADDRESS = os.environ.get("HOST", "0.0.0.0")
SECONDS_OF_SLOWNESS = 4
# Longer than a route may be missing in the fault suite, shorter than a pod may take to start.
SECONDS_OF_LOADING = 14
BEGAN = time.monotonic()
RELEASED = threading.Event()
MOST_BYTES = 10_000


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    batches = 0
    accepted = 0.0
    file = b""

    def do_GET(self) -> None:
        if self.path.startswith("/query/"):
            self.show(log=self.path.endswith("/log"))
        elif self.path.startswith("/v2/models/"):
            self.describe(ready=self.path.endswith("/ready"))
        elif BEHAVIOUR == "loads" and time.monotonic() - BEGAN < SECONDS_OF_LOADING:
            self.answer(503, b"loading the weights")
        elif self.path.endswith("/release"):
            RELEASED.set()
            self.answer(200, b"released")
        elif BEHAVIOUR == "unwell":
            self.answer(503 if self.path == "/" else 500, b"the weights are not loaded")
        else:
            self.answer(200, b"pong")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v2/repository/index":
            self.answer(200, b'[{"name": "sums"}]')
            return
        Model.batches += 1
        print(f"batch {Model.batches}", flush=True)
        if self.path == "/executions":
            self.execute(body)
        elif self.path.startswith("/v2/models/"):
            self.infer(json.loads(body)["inputs"][0]["shape"][0])
        else:
            BEHAVIOURS.get(BEHAVIOUR, well)(self, len(body.splitlines()))

    def execute(self, body: bytes) -> None:
        """Take a file by the protocol `sas`; it is scored when it is asked for."""
        Model.accepted = time.monotonic()
        _, _, part = body.partition(b"\r\n\r\n")
        Model.file = part.rpartition(b"\r\n--")[0]
        if BEHAVIOUR == "refuses":
            self.answer(400, b'{"status": 400, "error": "no such column: income"}')
        elif BEHAVIOUR == "forgets-the-id":
            self.answer(201, b'{"status": 201}')
        else:
            self.answer(201, b'{"id": "1.5", "status": 201}')

    def show(self, log: bool) -> None:
        """Answer for the log or the result of the one execution."""
        seconds = {"later": 12, "never": 3_600}.get(BEHAVIOUR, 0)
        done = time.monotonic() - Model.accepted > seconds
        if BEHAVIOUR == "forgets-the-execution":
            self.answer(404, b'{"status": 404}')
        elif log:
            self.answer(200, b"Scoring...\n score.py\n" + (b"Completed!\n" if done else b""))
        else:
            header, *records = Model.file.splitlines()
            scored = [header + b",prediction", *(record + b",1" for record in records)]
            self.answer(200, b"\n".join(scored) + b"\n")

    def describe(self, ready: bool) -> None:
        """Answer for the model of the Open Inference Protocol: whether it is ready, or what it takes."""
        loads = BEHAVIOUR == "oip-loads" and time.monotonic() - BEGAN < SECONDS_OF_LOADING
        if ready and (loads or BEHAVIOUR == "oip-never-ready"):
            self.answer(400, b'{"error": "the model sums has not loaded its weights"}')
            return
        # Of a model that was exported for batches of one size.
        records = 4 if BEHAVIOUR == "oip-fixed-batch" else -1
        takes = {"name": "row", "datatype": "FP64", "shape": [records, 2]}
        self.answer(200, json.dumps({"name": "sums", "inputs": [takes]}).encode())

    def infer(self, rows: int) -> None:
        shape = [rows, 2] if BEHAVIOUR == "oip-other-shape" else [rows]
        found = {"name": "prediction", "datatype": "INT64", "shape": shape, "data": [1] * rows}
        self.answer(200, json.dumps({"outputs": [found]}).encode())

    def answer(self, status: int, body: bytes, promised: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/csv", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Behaviour = Callable[[Model, int], None]


def well(model: Model, rows: int) -> None:
    model.answer(200, b"1\n" * rows)


def slow(model: Model, rows: int) -> None:
    time.sleep(SECONDS_OF_SLOWNESS)
    well(model, rows)


def held(model: Model, rows: int) -> None:
    """Answer once somebody has asked for `/release`."""
    RELEASED.wait()
    well(model, rows)


def stuck(_model: Model, _rows: int) -> None:
    time.sleep(3_600)


def refuses(model: Model, _rows: int) -> None:
    model.answer(500, b"the weights do not fit the data")


def refuses_the_third_batch(model: Model, rows: int) -> None:
    (refuses if Model.batches == 3 else well)(model, rows)


def has_enough_requests(model: Model, rows: int) -> None:
    """Turn each second batch away at first."""
    if Model.batches % 2:
        model.answer(429, b"one at a time, please", Retry_After="1")
    else:
        well(model, rows)


def hangs_up_on_much(model: Model, rows: int) -> None:
    if int(model.headers["Content-Length"]) > MOST_BYTES:
        model.close_connection = True
    else:
        well(model, rows)


def takes_little(model: Model, rows: int) -> None:
    if int(model.headers["Content-Length"]) > MOST_BYTES:
        model.answer(413, b"request entity too large")
    else:
        well(model, rows)


def has_a_full_disk(model: Model, _rows: int) -> None:
    try:
        with open("/dev/full", "wb", buffering=0) as disk:  # noqa: PTH123
            disk.write(b"1\n")
    except OSError as error:
        model.answer(500, str(error).encode())


def forgets_a_row(model: Model, rows: int) -> None:
    model.answer(200, b"1\n" * (rows - 1))


def forgets_a_row_late(model: Model, rows: int) -> None:
    time.sleep(SECONDS_OF_SLOWNESS)
    forgets_a_row(model, rows)


def invents_a_row(model: Model, rows: int) -> None:
    model.answer(200, b"1\n" * (rows + 1))


def answers_ragged_rows(model: Model, rows: int) -> None:
    model.answer(200, b"1,2\n" + b"1\n" * (rows - 1))


def answers_a_page(model: Model, _rows: int) -> None:
    model.answer(200, b"<html>\n<h1>Sign in</h1>\n</html>\n", Content_Type="text/html")


def redirects(model: Model, _rows: int) -> None:
    model.answer(302, b"", Location="http://elsewhere.invalid/")


def breaks_off(model: Model, rows: int) -> None:
    """Promise all rows, send half of them (of three, the second is torn), then hang up."""
    answer = b"0.125\n" * rows
    model.answer(200, answer[: len(answer) // 2], promised=len(answer))
    model.close_connection = True


def breaks_off_a_stream(model: Model, _rows: int) -> None:
    """The same without a length: the last chunk never comes."""
    model.send_response(200)
    model.send_header("Transfer-Encoding", "chunked")
    model.end_headers()
    model.wfile.write(b"9\r\n0.125\n0.1\r\n")
    model.close_connection = True


def closes_its_port(model: Model, rows: int) -> None:
    """Close the port in the middle of an answer, while the process lives on."""
    assert isinstance(model.server, ThreadingHTTPServer)
    model.server.socket.close()
    breaks_off(model, rows)


def dies(_model: Model, _rows: int) -> None:
    print("fatal: the model gave up", flush=True)
    os._exit(3)


def hangs_up(model: Model, _rows: int) -> None:
    model.close_connection = True


def eats_memory(model: Model, rows: int) -> None:
    eaten: list[bytearray] = []
    while len(eaten) < 4_000:
        eaten.append(bytearray(os.urandom(1 << 10) * (1 << 10)))
        time.sleep(0.005)
    well(model, rows)


def answers_no_numbers(model: Model, rows: int) -> None:
    model.answer(200, json.dumps({"outputs": [1] * rows}).encode())


BEHAVIOURS: dict[str, Behaviour] = {
    "slow": slow,
    "stuck": stuck,
    "held": held,
    "refuses": refuses,
    "refuses-the-third-batch": refuses_the_third_batch,
    "has-enough": has_enough_requests,
    "hangs-up-on-much": hangs_up_on_much,
    "takes-little": takes_little,
    "disk-full": has_a_full_disk,
    "forgets-a-row": forgets_a_row,
    "forgets-a-row-late": forgets_a_row_late,
    "invents-a-row": invents_a_row,
    "ragged": answers_ragged_rows,
    "page": answers_a_page,
    "redirects": redirects,
    "breaks-off": breaks_off,
    "breaks-off-a-stream": breaks_off_a_stream,
    "closes-its-port": closes_its_port,
    "dies": dies,
    "hangs-up": hangs_up,
    "eats-memory": eats_memory,
    "no-predictions": answers_no_numbers,
}

if BEHAVIOUR == "crashes":
    print("loading the model\nfatal: weights missing", flush=True)
    sys.exit(1)
if BEHAVIOUR == "ends":
    sys.exit(0)
if BEHAVIOUR == "eats-memory-at-start":
    eats_memory(None, 0)  # type: ignore[arg-type]  # it does not live to answer
if BEHAVIOUR == "never-listens":
    time.sleep(3_600)
if BEHAVIOUR == "workers-die":
    with socket.create_server((ADDRESS, 8080)):
        print("nginx: [emerg] setgid(33) failed (1: Operation not permitted)", flush=True)
        time.sleep(3_600)
if BEHAVIOUR == "slow-to-start":
    time.sleep(SECONDS_OF_SLOWNESS)
ThreadingHTTPServer((ADDRESS, 8081 if BEHAVIOUR == "wrong-port" else 8080), Model).serve_forever()
