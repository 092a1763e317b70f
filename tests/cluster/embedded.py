"""Start and stop an embedded cluster for the tests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import config

from tests.cluster import registry
from tests.cluster.client import Client
from tests.serving import serving

ROOT = Path(__file__).parents[2]
IMAGE = f"registry.test/{registry.REPOSITORY}:{registry.TAG}"


@dataclass(frozen=True)
class EmbeddedCluster:
    """A running embedded cluster."""

    process: subprocess.Popen[bytes]
    state: Path
    kubeconfig: Path
    gateway_url: str
    tokens: dict[str, dict[str, Any]]

    def client(self) -> Client:
        """The API as its administrator sees it."""
        return Client(config.new_client_from_config(str(self.kubeconfig)))


@contextmanager
def start(state: Path, registry_url: str = "") -> Iterator[EmbeddedCluster]:
    """A cluster that pulls from a registry of its own, or from this one, and asks a TokenReview webhook of its own."""
    with registry.serve() as own_registry_url, token_reviews() as (review_url, tokens):
        port, gateway_port = _free_ports(2)
        command = [sys.executable, "-m", "local.cluster", "--state-dir", str(state), "--port", str(port)]
        command += ["--gateway-port", str(gateway_port), "--registry-url", registry_url or own_registry_url]
        command += ["--token-review-url", review_url]
        # Room for all tests at a time, whatever the machine.
        command += ["--node-cpu", "64", "--node-memory", "256Gi"]
        with (state / "cluster.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        try:
            _wait_for(state / "cluster.json", process)
            described = json.loads((state / "cluster.json").read_text())
            yield EmbeddedCluster(process, state, Path(described["kubeconfig"]), described["gateway_url"], tokens)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(announcement: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not announcement.exists():
        log = announcement.with_name("cluster.log")
        assert process.poll() is None, f"the cluster has ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"the cluster does not serve: {log.read_text()}"
        time.sleep(0.02)


@contextmanager
def token_reviews() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """A TokenReview webhook, and the users it knows by their token; each review is counted in the user."""
    tokens: dict[str, dict[str, Any]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = tokens.get(review["spec"]["token"])
            status: dict[str, Any] = {"authenticated": False}
            if known is not None:
                known["reviews"] = known.get("reviews", 0) + 1
                status = {"authenticated": True, "user": {key: known[key] for key in ("username", "groups")}}
            body = json.dumps(review | {"status": status}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/", tokens
