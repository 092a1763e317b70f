"""A registry with one image, for the embedded cluster to pull from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.serving import serving

REPOSITORY, TAG = "test/python", "1"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


# As local/images: an image of a process names the programs of its environment so.
_PATH = f"{Path(sys.executable).parent}:{os.defpath}"


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _image() -> tuple[bytes, dict[str, bytes]]:
    """A manifest and its blobs: /app/hello.txt, python3 as entry point, a variable of the image's own."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("app/hello.txt")
        entry.size = len(b"hello from the image\n")
        tar.addfile(entry, io.BytesIO(b"hello from the image\n"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["python3"], "WorkingDir": "/app", "Env": ["FROM_IMAGE=yes", f"PATH={_PATH}"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
    }
    blobs = [json.dumps(config).encode(), layer.getvalue()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, blobs[0]),
        "layers": [_descriptor(_LAYER, blobs[1])],
    }
    return json.dumps(manifest).encode(), {_digest(blob): blob for blob in blobs}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    manifest, blobs = _image()

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        root = f"/v2/{REPOSITORY}"
        contents = {f"{root}/blobs/{digest}": blob for digest, blob in self.blobs.items()}
        contents |= dict.fromkeys(
            (f"{root}/manifests/{TAG}", f"{root}/manifests/{_digest(self.manifest)}"), self.manifest
        )
        body = contents.get(path)
        self.send_response(404 if body is None else 200)
        body = body or b""
        self.send_header("Content-Type", _MANIFEST if "/manifests/" in path else "application/octet-stream")
        self.send_header("Docker-Content-Digest", _digest(body))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[str]:
    """The registry's URL, while it serves."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"
