"""`dropscore check` on images: what would fail in a cluster is told by the local Docker before."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dropscore.main import cli
from tests.sam.images import base_image

pytestmark = pytest.mark.sam
SAMPLE = Path(__file__).parents[2] / "models/sas-anomaly/sample.csv"
# Answers each record with how many fields it has, by sagemaker's protocol.
APP = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        self.answer(200, "".join(f"{line.count(',') + 1}\\n" for line in lines).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

if sys.argv[1:] != ["serve"]:
    sys.exit("usage: app.py serve")
HTTPServer((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
"""

Build = Callable[..., str]


def run(*given: str) -> str:
    return subprocess.run(["docker", *given], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Builds a model's image with more lines in its Dockerfile; its name."""
    base, made = base_image(), list[str]()

    def build(*lines: str) -> str:
        (tmp_path / "app.py").write_text(APP)
        steps = [f"FROM {base}", "COPY app.py /app.py", 'ENTRYPOINT ["python3", "/app.py"]', *lines]
        (tmp_path / "Dockerfile").write_text("\n".join(steps))
        made.append(run("build", "--quiet", str(tmp_path)).strip())
        return made[-1]

    yield build
    if made:
        run("rmi", "--force", *made)


def check(image: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["check", image, str(SAMPLE), "--wait", "15", *more], standalone_mode=False)
    assert done.exception is None, done.output
    return done.return_value, done.output.replace("\n", " ")


def test_an_image_that_wants_serve_is_found_out_and_fit(build: Build) -> None:
    code, said = check(build("USER 1000"))
    assert code == 0, said
    assert "usage: app.py serve" in said
    assert "It runs as user 1000, who is not root." in said
    assert "It listens on port 8080." in said
    assert "It is fit." in said


@pytest.mark.parametrize(
    ("lines", "more", "told", "profile"),
    [
        (["USER 0"], (), "starts as root", '"run_as_non_root": false'),
        (
            ["RUN echo model:x:1000:1000::/:/bin/sh >> /etc/passwd", "USER model"],
            (),
            "a kubelet cannot tell",
            '"run_as_user": ',
        ),
        (["USER 1000", "ENV PORT=5000"], (), "on port 8080, but on 5000", ""),
        (["USER 1000", "ENV PORT=5000"], ("--port", "5000"), "It listens on port 5000.", '"port": 5000'),
        (["USER 1000", "ENV HOST=127.0.0.1"], (), "of loopback alone", ""),
    ],
)
def test_what_would_fail_in_a_cluster_is_told(
    build: Build, lines: list[str], more: tuple[str, ...], told: str, profile: str
) -> None:
    code, said = check(build(*lines, 'CMD ["serve"]'), *more)
    assert code == (0 if more else 3), said
    assert told in said
    assert profile in said
