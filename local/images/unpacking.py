"""Unpack a layer into a folder, and nothing of it anywhere else."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path


def unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Extract a layer: absolute names, "..", links that lead out of the folder, and devices are refused.

    Raises
    ------
    tarfile.TarError
    """
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
    else:
        # Python 3.11.0 to 3.11.3 (Debian 12 has 3.11.2) knows no filters.
        tar.extractall(folder, members=checked(tar, folder))


def checked(tar: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, each looked at when all before it are there, as the filter `data` does it."""
    root = folder.resolve()
    for member in tar:
        name, link = Path(member.name), Path(member.linkname)
        if name.is_absolute() or not (root / name).resolve().is_relative_to(root):
            raise tarfile.TarError(f"{member.name!r} would be extracted outside")
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise tarfile.TarError(f"{member.name!r} is a special file")
        if member.issym() or member.islnk():
            start = (root / name).parent if member.issym() else root
            if link.is_absolute() or not (start / link).resolve().is_relative_to(root):
                raise tarfile.TarError(f"{member.name!r} would link to a place outside")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        # Nobody else may write it, and its owner may.
        member.mode = (member.mode & 0o755) | 0o600
        yield member
