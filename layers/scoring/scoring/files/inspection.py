"""What a dropped file is and how it is to be read: found out from its beginning, before a pod is launched for it.

Where the beginning does not tell, nothing is guessed: the error names the tags that would.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from scoring.errors import EmptyFile, InvalidFile, InvalidTags
from scoring.files import columns, content, kinds, objects, sniffing
from scoring.files.blocks import MOST_RECORD_BYTES, Blocks, never_closed
from scoring.files.delimited import Csv
from scoring.files.formats import Batch, Format, Spec
from scoring.files.jsonlines import JsonLines
from scoring.files.sniffing import Head
from scoring.intake.identity import Source
from scoring.intake.tags import DELIMITERS

NOT_FOR_SAS = (
    "The file is JSON Lines, which a sas container does not read.",
    "Write it as CSV, or tag it with the protocol and the image of a model that takes JSON (mlflow, sagemaker, oip).",
)
FORMATS: dict[str, type[Csv] | type[JsonLines]] = {"csv": Csv, "jsonl": JsonLines}
_HEAD_BYTES = 64 << 10
_JSON_SUFFIXES = (".jsonl", ".ndjson")
_SEP = re.compile(rb"sep=(.)\r?\n|sep=(.)\r(?!\n)", re.IGNORECASE)
_NUMBER = re.compile(rb"\s*[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?\s*")


def format_of(spec: Spec) -> Format:
    """The format of a file that is read so."""
    return FORMATS[spec.kind](spec)


def inspect(name: str, chunks: Iterable[bytes], wanted: Mapping[str, str], suffixes: tuple[str, ...]) -> Spec:
    """How the file `name` is to be read that begins with these bytes.

    Parameters
    ----------
    wanted
        What its tags say of that: `header`, `delimiter`, `decimal`, `escape`, `encoding`, `exclude`, `include`, `output`;
        their values are checked but for the last four.
    suffixes
        Which names are taken.

    Raises
    ------
    InvalidFile, EmptyFile, InvalidTags
    """
    raw = iter(chunks)
    begin = _begin(raw)
    _refuse_unreadable(name, begin)
    lower = name.lower()
    if not lower.endswith(suffixes):
        raise InvalidFile(
            f"{name} does not end with {' or '.join(suffixes) or 'a suffix that is scored'}.",
            "Name the file so if it is one and drop it again; the administrator may add to InputSuffix what is to be "
            "scored, and to IgnoredFiles what is to be left alone.",
        )
    compression = content.GZIP if kinds.is_gzip(begin) else ""
    inner = content.inflated(chain([begin], raw)) if compression else chain([begin], raw)
    begin = _begin(inner)
    _refuse_unreadable(name, begin)
    encoding = _encoding(begin, wanted.get("encoding", ""))
    head = Head(content.text(chain([begin], inner), "", encoding))
    head.read(_HEAD_BYTES)
    if not head.text:
        raise EmptyFile(f"The file {name} is empty.")
    if b"\0" in head.text:
        raise InvalidFile(
            f"{name} holds zero bytes: it is no text, or UTF-16 without its mark.",
            "Tag it with encoding=utf-16-le or encoding=utf-16-be if it is that, or export it as CSV, and drop it again.",
        )
    kind = "jsonl" if lower.removesuffix(".gz").endswith(_JSON_SUFFIXES) else "csv"
    spec = Spec(kind=kind, compression=compression, encoding=encoding, preamble=_mark(head.text))
    spec = _json_lines(spec, wanted) if kind == "jsonl" else _csv(spec, head, wanted, name)
    return _with_columns(spec, head, wanted)


def of_object(
    s3: Any, source: Source, wanted: Mapping[str, str], suffixes: tuple[str, ...], protocol: str, *, strict: bool
) -> Spec:
    """As `inspect`, of a dropped object, whose first records are looked at; with `strict`, none of them may be bad.

    Raises
    ------
    InvalidFile, EmptyFile
        Also as they would be when the file is read, but before a pod is launched for it.
    InvalidTags, SourceGone, SourceChanged, AccessDenied, AwsThrottled
    """
    if not source.size:
        raise EmptyFile(f"The file {source.uri} is empty.")
    chunks, read = objects.read(s3, source), list[bytes]()

    def kept() -> Iterator[bytes]:
        for chunk in chunks:
            read.append(chunk)
            yield chunk

    spec = inspect(source.key.rsplit("/", 1)[-1], kept(), wanted, suffixes)
    if protocol == "sas" and spec.kind != "csv":
        raise InvalidFile(*NOT_FOR_SAS)
    batch = first_records(spec, chain(read, chunks))
    if strict and batch:
        for place, reason in batch.bad.items():
            raise bad_record(format_of(spec), batch, place, reason)
    return spec


def bad_record(file: Format, batch: Batch, place: int, reason: str) -> InvalidFile:
    """The error of a file that ends for one record."""
    (bad,) = file.bad_records(batch, {place: reason})
    return InvalidFile(
        f"Row {bad.row}: {reason}",
        "Correct the row, or allow for bad ones with the tag max_errors, and drop the file again.",
        row=bad.row,
        offset=bad.offset,
        record=bad.text,
    )


def first_records(spec: Spec, chunks: Iterable[bytes]) -> Batch | None:
    """The records at the beginning of a file, of which its object's own bytes are given; None if there is none.

    Raises
    ------
    InvalidFile, EmptyFile
        As when the file is read.
    """
    head = Head(content.text(chunks, spec.compression, spec.encoding))
    head.read(_HEAD_BYTES)
    opened, blocks = _opened(spec, head)
    block = head.text[blocks.position :]
    if not head.ended:
        block = block[: spec.dialect.cut(block)]
    batch = opened.batch(block, blocks.position, 1) if block else None
    if head.ended and not (batch and batch.count):
        raise EmptyFile("The file holds no record below its header." if spec.header else "The file holds no record.")
    return batch


def _begin(chunks: Iterator[bytes]) -> bytes:
    begin = b""
    while len(begin) < 1_024:
        chunk = next(chunks, None)
        if chunk is None:
            break
        begin += chunk
    return begin


def _refuse_unreadable(name: str, begin: bytes) -> None:
    if kind := kinds.unreadable(begin, name):
        raise InvalidFile(
            f"{name} is {kind}; only text is scored: CSV or JSON Lines, as it is or compressed with gzip.",
            "Export it as CSV (UTF-8) and drop that.",
        )


def _encoding(begin: bytes, tag: str) -> str:
    marked, said = kinds.mark(begin), content.encoding(tag) if tag else ""
    if marked and said and not said.replace("_", "-").startswith(marked):
        raise InvalidTags(
            f"The tag encoding is {tag}, but the file begins with the mark of {marked}.",
            f"Leave the tag out, or tag the file with encoding={marked}, and drop it again.",
        )
    return said or marked or content.UTF8


def _mark(text: bytes) -> str:
    return "\ufeff" if text.startswith(kinds.UTF8_MARK) else ""


def _json_lines(spec: Spec, wanted: Mapping[str, str]) -> Spec:
    for tag in ("header", "delimiter", "decimal", "escape"):
        if wanted.get(tag):
            raise InvalidTags(f"The tag {tag} is for CSV; the file is JSON Lines.", "Leave the tag out.")
    return replace(spec, header=False)


def _csv(spec: Spec, head: Head, wanted: Mapping[str, str], name: str) -> Spec:
    mark = len(spec.preamble.encode())
    said = wanted.get("delimiter", "")
    found = _SEP.match(head.text, mark)
    delimiter = DELIMITERS[said] if said else ""
    if found:
        spec = replace(spec, preamble=head.text[: found.end()].decode())
        delimiter = delimiter or (found[1] or found[2]).decode("utf-8", "replace")
        if delimiter not in DELIMITERS.values():
            raise InvalidFile(
                f"The file's first line says that its delimiter is {delimiter!r}, which is none that is read.",
                f"Write it with one of {', '.join(DELIMITERS)}, or say which one it is with the tag delimiter.",
            )
    start = len(spec.preamble.encode())
    line, _, _ = head.text[start:].partition(b"\n")
    if kinds.is_json(line):
        raise InvalidFile(
            f"{name} holds JSON, not CSV.", "Name it .jsonl if it has one JSON object a line, and drop it again."
        )
    spec = replace(spec, decimal=wanted.get("decimal", "point"), escape=wanted.get("escape", ""))
    if not delimiter:
        delimiter = sniffing.delimiter(head, start, spec)
    spec = replace(spec, delimiter=delimiter)
    spec = replace(spec, end=sniffing.line_end(head, start, spec.dialect))
    said = wanted.get("header", "")
    spec = replace(spec, header=said != "none")
    opened, _ = _opened(replace(spec, header=True), head)
    if not said and _is_numbers(opened.names):
        raise InvalidFile(
            "The first record holds only numbers, so it cannot be told whether it is a header.",
            "Tag the file with header=none if it has no header, so that its first record is scored, too, or with "
            "header=first if these are the names of its columns, and drop it again.",
        )
    return spec


def _is_numbers(values: list[bytes]) -> bool:
    """Whether a first record is no header: numbers, and not those that pandas gives to columns without names."""
    if values == [str(number).encode() for number in range(len(values))]:
        return False
    return any(values) and all(not value.strip() or _NUMBER.fullmatch(value) for value in values)


def _opened(spec: Spec, head: Head) -> tuple[Csv | JsonLines, Blocks]:
    """The format once it has read its header."""
    opened = FORMATS[spec.kind](spec)
    while True:
        # More of the file is read only for a header that is longer than the head.
        blocks = Blocks([head.text], _HEAD_BYTES, spec.dialect)
        start = len(spec.preamble.encode())
        if head.ended or spec.dialect.first_end(head.text[start:].lstrip(b" \t\r\n")):
            opened.open(blocks)
            return opened, blocks
        if len(head.text) > MOST_RECORD_BYTES:
            raise never_closed(0, start)
        head.read(2 * len(head.text))


def _with_columns(spec: Spec, head: Head, wanted: Mapping[str, str]) -> Spec:
    if wanted.get("exclude") and wanted.get("include"):
        raise InvalidTags("The tags exclude and include are both there.", "Leave one of them out.")
    if not any(wanted.get(tag) for tag in ("exclude", "include", "output")):
        return spec
    opened, _ = _opened(spec, head)
    if isinstance(opened, JsonLines):
        names = {tag: tuple(wanted.get(tag, "").split()) for tag in ("exclude", "include", "output")}
        keys = [key.decode() for key in opened.names]
        for tag, chosen in names.items():
            if unknown := [name for name in chosen if name not in keys]:
                raise InvalidTags(
                    f"The tag {tag} says {unknown[0]}, but the first record has no such key ({', '.join(keys[:30])}).",
                    f"Correct the tag {tag}: keys, with spaces between them.",
                )
        return replace(spec, hidden=names["exclude"], sent=names["include"] or None, kept=names["output"] or None)
    titles = [name.decode() for name in opened.names]
    width = len(opened.values(opened.first))

    def places(tag: str) -> tuple[int, ...]:
        return tuple(columns.places(tag, wanted.get(tag, ""), titles, width))

    excluded = places("exclude")
    sent = tuple(place for place in range(width) if place not in excluded) if excluded else places("include")
    return _chosen(spec, sent if wanted.get("exclude") or wanted.get("include") else None, places("output") or None)


def _chosen(spec: Spec, sent: tuple[int | str, ...] | None, kept: tuple[int | str, ...] | None) -> Spec:
    if sent == ():
        raise InvalidTags("The tag exclude leaves no column for the model.", "Exclude less, or leave the tag out.")
    return replace(spec, sent=sent, kept=kept)
