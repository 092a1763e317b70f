"""The cluster's certificate authority, and who may act as its administrator."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import trustme
import yaml


def issue(directory: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A fresh authority and a server certificate of its own: the server's TLS context and the authority's file."""
    authority = trustme.CA(organization_name="dropscore embedded cluster")
    names = dict.fromkeys(("localhost", "127.0.0.1", host))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    ca_file = directory / "ca.crt"
    authority.cert_pem.write_to_path(ca_file)
    return context, ca_file


def write_kubeconfig(path: Path, api_url: str, ca_file: Path, token: str) -> None:
    """The administrator's kubeconfig, for ``kubectl`` and every client library."""
    name = "dropscore"
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": api_url, "certificate-authority-data": authority}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
