"""A folder of content-addressed blobs, as in the OCI image layout: `blobs/sha256/<hex>`.

Several processes may use one at once: a blob appears under its name only when it is whole, and a whole blob never
changes.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path


class DigestMismatch(Exception):
    """What came is not what was asked for."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"unexpected commit digest {actual}, expected {expected}: failed precondition")


def digest_of(content: bytes) -> str:
    """Give the digest of some bytes, `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob_path(folder: Path, digest: str) -> Path:
    """Say where a blob is, or will be."""
    algorithm, _, name = digest.partition(":")
    return folder / "blobs" / algorithm / name


def write_blob(folder: Path, chunks: Iterable[bytes], expected: str | None = None) -> str:
    """Store a blob and give its digest; DigestMismatch, and nothing stored, if it is not the expected one."""
    directory = folder / "blobs" / "sha256"
    directory.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming:
        file = Path(incoming, "blob")
        with file.open("wb") as stream:
            for chunk in chunks:
                sha256.update(chunk)
                stream.write(chunk)
        digest = f"sha256:{sha256.hexdigest()}"
        if expected not in (None, digest):
            raise DigestMismatch(str(expected), digest)
        file.replace(blob_path(folder, digest))
    return digest


def move_into_place(made: Path, target: Path) -> None:
    """Give a finished folder its name; if another process was first, keep the other's: both are the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(made)
