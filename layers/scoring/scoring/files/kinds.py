"""What a file is, told by its first bytes, whatever its name says (pure)."""

from __future__ import annotations

import codecs
import json

# Each is the beginning of every file of its kind (the formats' own specifications; file(1) tells them by the same).
_BINARY = (
    (b"PAR1", "a Parquet file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)"),
    (b"\x89PNG\r\n", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"II*\0", "an image (TIFF)"),
    (b"%PDF-", "a PDF document"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\0" * 12 + b"\xc2\xea\x81\x60", "a SAS data set (.sas7bdat)"),
    (b"HEADER RECORD*******LIBRARY HEADER RECORD", "a SAS transport file (.xpt)"),
)
UTF8_MARK = codecs.BOM_UTF8
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_MARKUP = ((b"<!doctype html", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"))
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (UTF8_MARK, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins so is compressed with gzip."""
    return head.startswith(_GZIP)


def unreadable(head: bytes, name: str) -> str | None:
    """What a file is, for a person, that begins so and cannot be read as text; None if it may be text."""
    for magic, kind in _BINARY:
        # Three letters may begin a column's name, too.
        if head.startswith(magic) and (len(magic) > 3 or b"\0" in head[:512] or not head[:512].isascii()):
            return kind
    if head.startswith(_ZIP):
        excel = name.lower().endswith((".xlsx", ".xlsm")) or b"xl/" in head or b"[Content_Types]" in head
        return "an Excel workbook" if excel else "a ZIP archive"
    start = head.removeprefix(UTF8_MARK).lstrip()[:20].lower()
    return next((kind for markup, kind in _MARKUP if start.startswith(markup)), None)


def mark(head: bytes) -> str | None:
    """The encoding that a byte order mark says, or None if there is none."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def is_json(line: bytes) -> bool:
    """Whether a line is a JSON object or array, and so no line of CSV that anybody means."""
    if not line.lstrip().startswith((b"{", b"[")):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
