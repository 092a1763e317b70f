"""The bytes that a model was sent, held against the checksum that S3 has of the whole object.

botocore does that for an object that is read from its beginning to its end over one connection; this is for those whose
connection dropped, or that took more than one Lambda.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scoring.errors import ScoringFailed
from scoring.files.objects import source_errors_named, unchanged
from scoring.intake.identity import Source


def held(s3: Any, source: Source) -> dict[str, str]:
    """The checksum that S3 has: `SHA256` or else `CRC32` and its value in base64; empty if it has neither.

    That of an upload in parts is a checksum of checksums, unless S3 says FULL_OBJECT (Amazon S3 User Guide, "Checking
    object integrity for data uploads"). CRC64NVME, which S3 computes by itself, is in no library that Lambda has.

    Raises
    ------
    SourceGone, SourceChanged, AccessDenied, AwsThrottled
    """
    with source_errors_named(source, "s3:HeadObject"):
        found = s3.head_object(**unchanged(source), ChecksumMode="ENABLED")
    for name in ("SHA256", "CRC32"):
        value = found.get(f"Checksum{name}", "")
        if value and "-" not in value and found.get("ChecksumType") != "COMPOSITE":
            return {name: value}
    return {}


def combined(first: int, second: int, size: int) -> int:
    """The CRC-32 of bytes that follow each other, from those of the two parts; the second part has `size` bytes.

    To append a zero bit to what a CRC is of is a linear map of its 32 bits, and so is to append 2ⁿ of them: the square of
    the map of half as many. (Mark Adler's crc32_combine of zlib 1.2.2, which Python does not hand on.)
    """
    # Of one zero bit: what each bit comes to (the polynomial of RFC 1952, reflected).
    zeros = [0xEDB88320, *(1 << bit for bit in range(31))]
    bits = size * 8
    while bits:
        if bits & 1:
            first = _mapped(zeros, first)
        zeros = [_mapped(zeros, column) for column in zeros]
        bits >>= 1
    return first ^ second


def _mapped(columns: Sequence[int], vector: int) -> int:
    found = 0
    for bit, column in enumerate(columns):
        if vector >> bit & 1:
            found ^= column
    return found


def check_crc(source: Source, expected: Mapping[str, str], crc: int) -> None:
    """Hold the CRC-32 of a whole object against S3's, if S3 has one.

    Raises
    ------
    ScoringFailed
    """
    if "CRC32" in expected:
        Digest(source, {"CRC32": expected["CRC32"]}, source.size, crc).check()


class Digest:
    """A checksum of bytes as they pass by, from the first one on.

    `crc` is that of the bytes before, for a CRC32 that goes on where an earlier Lambda had come to. No library gives the
    inner state of a SHA-256 away, so that is held against S3's only if one Lambda sees all bytes.
    """

    def __init__(self, source: Source, expected: Mapping[str, str], offset: int = 0, crc: int = 0) -> None:
        self._source, self._expected = source, expected
        self._sha = hashlib.sha256() if "SHA256" in expected and not offset else None
        self.crc = crc

    def update(self, data: bytes) -> None:
        if "CRC32" in self._expected:
            self.crc = zlib.crc32(data, self.crc)
        if self._sha:
            self._sha.update(data)

    def pass_on(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.update(chunk)
            yield chunk

    def check(self) -> None:
        """Hold all bytes of the object against S3's checksum.

        Raises
        ------
        ScoringFailed
        """
        found = {"CRC32": self.crc.to_bytes(4, "big"), "SHA256": self._sha.digest() if self._sha else None}
        for name, value in self._expected.items():
            digest = found[name]
            if digest is not None and base64.b64encode(digest).decode() != value:
                raise ScoringFailed(
                    f"What was read of {self._source.uri} is not what S3 holds: its {name} is another.",
                    "Redrive the execution.",
                )
