"""JSON Lines: an object a line (jsonlines.org; NDJSON is the same)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoring.errors import EmptyFile, InvalidFile
from scoring.files import jsontext
from scoring.files.blocks import Blocks
from scoring.files.formats import Batch, Format, Spec, held
from scoring.files.joining import new_names

_BLANK = b" \t\r\n"


class JsonLines(Format):
    media_type = "application/jsonlines"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._keys: list[bytes] = []

    def open(self, blocks: Blocks) -> None:
        blocks.skip(len(self.spec.preamble.encode()))
        first = blocks.first(keep=True)
        if not first:
            raise EmptyFile("The file holds no record: nothing but blank lines.")
        record, _ = self._read(first)
        self._keys = [key.encode("utf-8", "replace") for key in record]

    @property
    def names(self) -> list[bytes]:
        """The keys of the first record."""
        return self._keys

    def values(self, record: bytes) -> list[bytes]:
        found, _ = self._read(record)
        return [jsontext.encoded(found.get(name.decode())) for name in self._keys]

    @staticmethod
    def _read(line: bytes) -> tuple[dict[str, Any], str]:
        """The object of a line, and what is wrong with it."""
        try:
            found = jsontext.loads(line)
        except ValueError as error:
            return {}, f"It is no JSON: {error}."
        return (found, "") if isinstance(found, dict) else ({}, "It is no JSON object.")

    def batch(self, block: bytes, start: int, row: int, crc: int = 0) -> Batch:
        records: list[bytes] = []
        own: list[bytes] = []
        sent: list[bytes] = []
        bad: dict[int, str] = {}
        for line in block.split(b"\n"):
            record = line.strip(_BLANK)
            if not record:
                continue
            found, wrong = self._read(record)
            if wrong:
                try:
                    record.decode()
                except UnicodeDecodeError as error:
                    number = row + len(records)
                    raise InvalidFile(
                        f"The file is not UTF-8: row {number} holds the byte 0x{record[error.start]:02x}.",
                        "Tag the file with its encoding (encoding=utf-16-le …), or write it as UTF-8, and drop it again.",
                        row=number,
                    ) from error
                bad[len(records)] = wrong
            records.append(record)
            own.append(b"{}" if wrong else self._some(record, found, self.spec.kept))
            sent.append(b"" if wrong else self._some(record, found, self.spec.sent, self.spec.hidden))
        lines = held(records), held(own), held(sent)
        return Batch(block, start, row, len(records), *lines, bad=bad, crc=crc, is_held=True)

    @staticmethod
    def _some(
        record: bytes, found: dict[str, Any], names: tuple[int | str, ...] | None, hidden: tuple[str, ...] = ()
    ) -> bytes:
        if names is None and not hidden:
            return record
        return jsontext.encoded(
            {name: found[name] for name in found if name not in hidden and (names is None or name in names)}
        )

    def records(self, batch: Batch, places: Sequence[int]) -> list[bytes]:
        sent = (batch.sent or batch.records)()
        return [sent[place] for place in places]

    def body(self, batch: Batch, places: Sequence[int]) -> bytes:
        return b"\n".join(self.records(batch, places)) + b"\n"

    def header(self, names: Sequence[str]) -> bytes:  # noqa: ARG002  (each line says its names)
        return self.spec.preamble.encode()

    def joined(self, batch: Batch, names: Sequence[str], predictions: Sequence[Any | None]) -> list[bytes]:
        columns = [name.decode("utf-8", "replace") for name in new_names(self._keys, names)]
        keys = [jsontext.encoded(column) for column in columns]
        lines = []
        for number, (own, found) in enumerate(zip(batch.own(), predictions, strict=True)):
            record, _ = self._read(own)
            if taken := record.keys() & set(columns):
                raise InvalidFile(
                    f"Row {batch.row + number} has a value called {min(taken)!r}, as the model's prediction is called; "
                    "the first row has none.",
                    "Rename it, or leave it out of what comes back (tag output), and drop the file again.",
                    row=batch.row + number,
                )
            values = [b"null"] * len(keys) if found is None else map(jsontext.strict, found)
            members = b", ".join(key + b": " + value for key, value in zip(keys, values, strict=True))
            lines.append(own[:-1].rstrip(_BLANK) + (b", " if record else b"") + members + b"}\n")
        return lines

    def starts(self, block: bytes) -> list[int]:
        starts, position = list[int](), 0
        for line in block.split(b"\n"):
            if line.strip(_BLANK):
                starts.append(position)
            position += len(line) + 1
        return starts
