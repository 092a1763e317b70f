"""The models of tests/cases.py, in all three protocols. Nothing but the standard library: an image of them needs no more.

As a program, a server on port 8080; BEHAVIOUR says which one.
"""

import csv
import io
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes, dict[str, str]]


def rows_of(body: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(body.decode(), newline="")) if row]


def predicted(model: str, record: Any) -> Any:
    """The prediction for a record: a list of fields, or an object."""
    if model == "echo":
        return len(record)
    if model == "adds":
        return sum(map(float, record))
    return record


def answer(model: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """What the model answers to a request."""
    if method == "GET":
        return result(model, path)
    if path == "/executions":
        return execute(body)
    media_type = {name.lower(): value for name, value in headers.items()}["content-type"]
    try:
        return invoke(model, media_type, headers, body)
    except ValueError as error:
        return 400, str(error).encode(), {"Content-Type": "text/plain"}


def invoke(model: str, media_type: str, headers: dict[str, str], body: bytes) -> Answer:
    is_mlflow = "json" in {name.lower(): value for name, value in headers.items()}.get("accept", "")
    if media_type == "application/jsonlines":
        records: list[Any] = [json.loads(line) for line in body.splitlines()]
    elif media_type == "application/json":
        records = json.loads(body)["dataframe_records"]
    else:
        records = rows_of(body)
        if is_mlflow:
            header, *rows = records
            records = [dict(zip(header, row, strict=True)) for row in rows]
    # What was seen as one text: an object's own members, or a list's, would become columns.
    predictions = [
        json.dumps(found, ensure_ascii=False) if isinstance(found, dict | list) else found
        for found in (predicted(model, record) for record in records)
    ]
    if is_mlflow:
        return 200, json.dumps({"predictions": predictions}).encode(), {"Content-Type": "application/json"}
    return 200, written([[found] for found in predictions]), {"Content-Type": "text/csv"}


def written(rows: list[list[Any]], end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


results: dict[str, bytes] = {}


def execute(body: bytes) -> Answer:
    file = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
    header, *rows = rows_of(file)
    # A line end of the file's own shows whether it came through.
    end = "\r\n" if file.splitlines(keepends=True)[0].endswith(b"\r\n") else "\n"
    name = f"{len(results) + 1}.0"
    results[name] = written([[*header, "prediction"], *([*row, len(row)] for row in rows)], end)
    return 201, json.dumps({"id": name, "status": 201}).encode(), {"Content-Type": "application/json"}


def result(_model: str, path: str) -> Answer:
    if path.endswith("/log"):
        return 200, b"Scoring...\nCompleted!\n", {"Content-Type": "text/plain"}
    if path.startswith("/query/"):
        return 200, results[path.removeprefix("/query/")], {"Content-Type": "text/csv"}
    return 200, b"pong", {"Content-Type": "text/plain"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(b"")

    def do_POST(self) -> None:
        self.reply(self.rfile.read(int(self.headers["Content-Length"])))

    def reply(self, body: bytes) -> None:
        status, told, headers = answer(os.environ["BEHAVIOUR"], self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(told))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), 8080), Handler).serve_forever()
