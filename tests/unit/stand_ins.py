"""Models that answer each record by what is in it, over real HTTP: whatever is lost, doubled or mixed up shows."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable

from scoring.files.dialect import RFC4180
from tests.unit.servers import Reply, Request, Server


def prediction(record: bytes) -> bytes:
    return hashlib.sha256(record).hexdigest()[:8].encode()


def sagemaker(asked: Request) -> Reply:
    """Two columns for each record: a comma is in the answer."""
    return Reply(body=b"".join(prediction(row) + b",%d\n" % len(row) for row in RFC4180.records(asked.body)))


def mlflow(asked: Request) -> Reply:
    rows = RFC4180.records(asked.body)[1:]
    told = {"predictions": [{"p": prediction(row).decode(), "n": len(row)} for row in rows]}
    return Reply(body=json.dumps(told).encode())


class SasContainer:
    """A container that has scored as soon as it has answered; it knows Range, or, with `ranges` off, does not."""

    def __init__(self, server: Server, ranges: bool = True) -> None:
        self.ranges = ranges
        self.results: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._made = 0
        server.answers["POST"] = self._execute
        server.answers["GET"] = self._query

    def start_anew(self) -> None:
        """A fresh pod: it knows nothing of what another was sent."""
        self.results = {}

    def _execute(self, asked: Request) -> Reply:
        found = re.fullmatch(rb"--\w+\r\n.*?\r\n\r\n(.*)\r\n--\w+--\r\n", asked.body, re.DOTALL)
        assert found, "one part"
        with self._lock:
            self._made += 1
            self.results[f"{self._made}.1"] = sas_result(found[1])
            return Reply(201, json.dumps({"id": f"{self._made}.1"}).encode())

    def _query(self, asked: Request) -> Reply:
        name, _, log = asked.path.removeprefix("/query/").partition("/")
        if name not in self.results:
            return Reply(404)
        if log:
            return Reply(200, b"Scoring...\nCompleted!\n")
        result, offset = self.results[name], asked.headers.get("range")
        if offset and self.ranges:
            rest = result[int(offset.removeprefix("bytes=").removesuffix("-")) :]
            return Reply(206, rest) if rest else Reply(416)
        return Reply(200, result)


def sas_result(document: bytes) -> bytes:
    """What a script makes of a file: each record with its prediction, line ends of its own."""
    header, *rows = RFC4180.records(document) or [b""]
    return header + b",p\r\n" + b"".join(row + b"," + prediction(row) + b"\r\n" for row in rows)


ROWS: dict[str, Callable[[Request], Reply]] = {"sagemaker": sagemaker, "mlflow": mlflow}
