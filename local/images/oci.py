"""Write an image as an OCI image layout: a layer, a config, a manifest, each a blob.

https://github.com/opencontainers/image-spec
"""

import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from local.images.blobs import blob_path, write_blob

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

# Of a container whose image names none (containerd's).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IN_DOCKER = "io.dropscore.docker-image"
"""An annotation of a manifest without layers: they are in this machine's Docker, as the image of this ID."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """A built image: the digest of its manifest, and the OCI image layout that holds its blobs."""

    digest: str
    layout: Path

    def blob(self, digest: str) -> Path:
        """Say where the blob with this digest is."""
        return blob_path(self.layout, digest)

    @classmethod
    def read(cls, layout: Path) -> Self:
        """Find the image in a layout that write_image has written."""
        index = json.loads((layout / "index.json").read_bytes())
        return cls(index["manifests"][0]["digest"], layout)

    @property
    def manifest(self) -> bytes:
        """The manifest, byte for byte: its digest is the image's."""
        return self.blob(self.digest).read_bytes()


def pack_layer(root: Path) -> bytes:
    """Pack a root file system as a layer that depends on nothing but its content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if "__pycache__" in name.parts:
                continue
            entry = tar.gettarinfo(path, arcname=str(name))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = mode_of(path)
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)
    return buffer.getvalue()


def write_image(
    folder: Path, layers: Sequence[bytes], config: dict[str, Any], annotations: Mapping[str, str] | None = None
) -> None:
    """Write an image into a folder; `config` says how it is run."""
    digests = [write_blob(folder, [layer]) for layer in layers]
    config_content = _json(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": config,
            # Uncompressed, so the digest of a layer is the one of its content, whatever zlib is installed.
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, write_blob(folder, [config_content]), len(config_content)),
            "layers": [_descriptor(LAYER_TYPE, *each) for each in zip(digests, map(len, layers), strict=True)],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(MANIFEST_TYPE, write_blob(folder, [manifest]), len(manifest))],
    }
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def mode_of(path: Path) -> int:
    """Give the permissions that an image keeps of a file: whether it can be run, but not the umask of who made it."""
    return 0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644
