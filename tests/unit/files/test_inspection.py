"""What a file is and how it is to be read, told by its beginning; what its beginning does not tell is asked for."""

from __future__ import annotations

import gzip

import pytest

from scoring.errors import DropscoreError, EmptyFile, InvalidFile, InvalidTags
from scoring.files.content import encoding, inflated
from scoring.files.formats import Spec
from scoring.files.inspection import first_records, inspect

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".txt")


def inspected(body: bytes, name: str = "file.csv", size: int = 7, **wanted: str) -> Spec:
    return inspect(name, (body[at : at + size] for at in range(0, len(body), size)), wanted, SUFFIXES)


@pytest.mark.parametrize(
    ("body", "wanted", "found"),
    [
        (b"a,b\n1,2\n", {}, {}),
        (b"a;b\n1;2\n", {}, {"delimiter": ";"}),
        (b"a;b,c\n1;2,5\n", {"decimal": "comma"}, {"delimiter": ";", "decimal": "comma"}),
        (b"a;b,c\n1;2\n", {}, {"delimiter": ";"}),
        (b"a;b\n1;2\n", {"delimiter": "comma"}, {}),
        (b'"a;b";c,d\n1,2\n', {}, {}),
        (b'"a;b",c\n1,2\n', {}, {}),
        (b"sep=|\r\na|b\r\n1|2\r\n", {}, {"preamble": "sep=|\r\n", "delimiter": "|"}),
        (b"\xef\xbb\xbfsep=\t\na\tb\n1\t2\n", {}, {"preamble": "\ufeffsep=\t\n", "delimiter": "\t"}),
        (b"\xef\xbb\xbfa,b\n1,2\n", {}, {"preamble": "\ufeff"}),
        (b"a,b\r1,2\r", {}, {"end": "\r"}),
        (b'"a\rb",c\r\n1,2\r\n', {}, {}),
        (b"a,b\r\r\n1,2\r\r\n", {}, {}),
        (b"1,2\n3,4\n", {"header": "none"}, {"header": False}),
        (b"1,2\n3,4\n", {"header": "first"}, {}),
        (b"0,1,2\n3,4,5\n", {}, {}),
        (b"1,x\n3,4\n", {}, {}),
        (b"id,a,b\n1,2,3\n", {"exclude": "id"}, {"sent": (1, 2)}),
        (b"id,a,b\n1,2,3\n", {"exclude": "1 2-2"}, {"sent": (2,)}),
        (b"id,a,b\n1,2,3\n", {"include": "2-3", "output": "id"}, {"sent": (1, 2), "kept": (0,)}),
        (b"1;2\n3;4\n", {"header": "none", "exclude": "1"}, {"header": False, "delimiter": ";", "sent": (1,)}),
        ("é;b\n1;2\n".encode("cp1252"), {"encoding": "cp1252"}, {"encoding": "cp1252", "delimiter": ";"}),
        ("a\tb\n1\t2\n".encode("utf-16"), {}, {"encoding": "utf-16", "delimiter": "\t"}),
        ("a,b\n1,2\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, {"encoding": "utf-16-le"}),
        (gzip.compress(b"a;b\n1;2\n", mtime=0), {}, {"compression": "gzip", "delimiter": ";"}),
        (b"a,b\n" * 40_000, {}, {}),
        (b",".join(b"%d%s" % (n, b"c" * 30) for n in range(9_000)) + b"\n1\n", {}, {}),
    ],
)
def test_a_file_is_read_as_its_beginning_and_its_tags_say(
    body: bytes, wanted: dict[str, str], found: dict[str, object]
) -> None:
    assert inspected(body, size=1 << 10, **wanted) == Spec(**found)  # type: ignore[arg-type]
    assert inspected(body[:2_000], size=1, **wanted) == Spec(**found) if len(body) < 2_000 else True  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "body", "wanted", "error", "sentence"),
    [
        ("a.csv", b"", {}, EmptyFile, "is empty"),
        ("a.csv", b"\n \n", {}, EmptyFile, "no header and no record"),
        ("a.pdf", b"a,b\n", {}, InvalidFile, "does not end with"),
        ("a.csv", b"\x89PNG\r\n\x1a\n", {}, InvalidFile, "an image (PNG)"),
        ("a.csv", b"PK\x03\x04xl/", {}, InvalidFile, "an Excel workbook"),
        ("a.csv", b"PK\x03\x04", {}, InvalidFile, "a ZIP archive"),
        ("a.csv", gzip.compress(b"PAR1\0", mtime=0), {}, InvalidFile, "a Parquet file"),
        ("a.csv", b"<!DOCTYPE html><p>", {}, InvalidFile, "a web page"),
        ("a.csv", b'{"a": 1}\n', {}, InvalidFile, "holds JSON"),
        ("a.csv", b"a,\0b\n", {}, InvalidFile, "zero bytes"),
        ("a.csv", b"a,b\n", {"encoding": "base64"}, InvalidTags, "not the name of a text encoding"),
        ("a.csv", b"\xff\xfea\0", {"encoding": "latin-1"}, InvalidTags, "begins with the mark of utf-16"),
        ("a.csv", b"a,b;c\n1,2;3\n", {}, InvalidFile, "what separates the columns"),
        ("a.csv", b"sep=x\na\n", {}, InvalidFile, "first line says that its delimiter is 'x'"),
        ("a.csv", b"1.5,2\n3,4\n", {}, InvalidFile, "only numbers"),
        ("a.csv", b"a,b\n1,2\n", {"exclude": "c"}, InvalidTags, "no such column"),
        ("a.csv", b"a,b\n1,2\n", {"exclude": "3"}, InvalidTags, "no such column"),
        ("a.csv", b"a,b\n1,2\n", {"exclude": "1-2"}, InvalidTags, "no column for the model"),
        ("a.csv", b"a,b\n1,2\n", {"exclude": "a", "include": "b"}, InvalidTags, "both there"),
        ("a.csv", b"0,1\n1,2\n", {"exclude": "1"}, InvalidTags, "the name of a column and the position of another"),
        ("a.jsonl", b'{"a": 1}\n', {"delimiter": "comma"}, InvalidTags, "is for CSV"),
        ("a.jsonl", b'{"a": 1}\n', {"exclude": "b"}, InvalidTags, "no such key"),
    ],
)
def test_what_cannot_be_read_or_told_is_an_error_in_plain_words(
    name: str, body: bytes, wanted: dict[str, str], error: type[DropscoreError], sentence: str
) -> None:
    with pytest.raises(error) as raised:
        inspected(body, name, **wanted)
    assert sentence in raised.value.summary
    assert len(raised.value.remedy) > 10


@pytest.mark.parametrize("end", range(1, 25, 4))
def test_a_gzip_file_that_is_cut_short_is_an_error_and_no_shorter_file(end: int) -> None:
    whole = gzip.compress(b"a,b\n" * 100) + gzip.compress(b"1,2\n" * 100)
    assert b"".join(inflated(iter([whole[:50], whole[50:], b"\0\0\0"]))) == b"a,b\n" * 100 + b"1,2\n" * 100
    with pytest.raises(InvalidFile, match="cut short"):
        list(inflated(iter([whole[:-end]])))


def test_what_is_behind_a_gzip_file_is_an_error() -> None:
    with pytest.raises(InvalidFile, match="broken"):
        list(inflated(iter([gzip.compress(b"a,b\n", mtime=0), b"and more"])))


@pytest.mark.parametrize("name", ["rot13", "idna", "os", "unicode_escape", "utf-7", "../x", "zlib", ""])
def test_only_text_encodings_are_taken(name: str) -> None:
    with pytest.raises(InvalidTags):
        encoding(name)


def test_the_first_records_of_a_large_file_are_whole_ones() -> None:
    batch = first_records(Spec(), iter([b"a,b\n", *[b"1,2\n" * 1_000] * 100]))
    assert batch
    assert {*batch.records()} == {b"1,2"}
    assert 10_000 < len(batch.records()) < 100_000
