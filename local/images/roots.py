"""The root of an image as a folder of this machine, where a process that has no root of its own finds its files."""

from pathlib import Path


def inside(word: str, root: Path) -> Path | None:
    """The file or folder of the image that a word names by its absolute path, if it does; not the root itself."""
    path = root / word.lstrip("/")
    return path if word.startswith("/") and word.strip("/") and path.exists() else None
