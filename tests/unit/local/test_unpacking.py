"""A layer is unpacked into its folder and nowhere else, on every Python 3.11."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from local.images.unpacking import unpack


@pytest.fixture(params=["with filters", "3.11.2"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "3.11.2":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def layer(*members: tarfile.TarInfo) -> tarfile.TarFile:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    buffer.seek(0)
    return tarfile.open(fileobj=buffer)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


def test_files_folders_and_links_inside_are_there(python: None, tmp_path: Path) -> None:
    members = (
        member("app", tarfile.DIRTYPE, mode=0o755),
        member("app/run", mode=0o4777),
        member("app/link", tarfile.SYMTYPE, "run"),
        member("app/hard", tarfile.LNKTYPE, "app/run", mode=0o4777),
    )
    unpack(layer(*members), tmp_path)
    assert (tmp_path / "app/link").read_bytes() == (tmp_path / "app/hard").read_bytes() == b"x"
    assert (tmp_path / "app/run").stat().st_mode & 0o7777 == 0o755, "executable, and for nobody else to write"


@pytest.mark.parametrize(
    "bad",
    [
        member("../out"),
        member("a/../../out"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.SYMTYPE, "../.."),
        member("hard", tarfile.LNKTYPE, "../out"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad.name}-{bad.type.decode()}",
)
def test_what_leads_out_or_is_no_file_is_refused(python: None, tmp_path: Path, bad: tarfile.TarInfo) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(tarfile.TarError):
        unpack(layer(bad), folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.iterdir())


def test_what_goes_through_a_link_is_looked_at_where_it_lands(python: None, tmp_path: Path) -> None:
    """A folder that an earlier member made a link of."""
    folder = tmp_path / "in"
    (tmp_path / "out").mkdir()
    folder.mkdir()
    (folder / "away").symlink_to(tmp_path / "out")
    with pytest.raises(tarfile.TarError):
        unpack(layer(member("away/file")), folder)
    assert not list((tmp_path / "out").iterdir())
