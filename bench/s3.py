"""A stand-in for S3, for throughput and memory: `python -m bench.s3 [--get-mb-s 90] [--part-mb-s 20]`.

It serves the files of data.py and takes uploads of any size without keeping them, so that its own memory stays flat at
10 GiB. It checks what a client relies on (ETag conditions, checksums, that a completed upload has the parts that came)
and nothing else: no signatures, no permissions. Both sides of each comparison get the same server. It answers as fast as
it can, or each request no faster than it is told: S3 has its limits by the connection, which no loopback shows.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import math
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from xml.etree import ElementTree

from aiohttp import web

from bench import data
from bench.standins import serve

ETAG = "the-same-for-all"
# An object that is put in one request is kept: the record of an attempt's progress, with the tail of its output.
_MOST_SMALL_BYTES = 64 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_XML = "<?xml version='1.0' encoding='UTF-8'?>\n"
# What AWS's transfer manager (the CRT's) plans for one connection: `--get-mb-s`, `--part-mb-s`.
AS_AWS_PLANS = ("--get-mb-s", "90", "--part-mb-s", "20")
# What goes at once in a request that is held back: some milliseconds' worth, as a network would deliver it.
_PIECE_BYTES = 128 << 10
# A timer that goes off late holds nobody back: by some tenths of a millisecond for each piece, it would take a third of the
# speed away.
_LATE_SECONDS = 0.01

_CHECKSUMS = {
    f"x-amz-checksum-{name.lower()}": f"Checksum{name}" for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA256")
}


@dataclass(frozen=True)
class Part:
    """A part that came: its checksums as they were claimed, by their names in XML."""

    etag: str
    size: int
    checksums: dict[str, str]

    def xml(self, number: int) -> str:
        fields = {"PartNumber": number, "ETag": self.etag, "Size": self.size, **self.checksums}
        return f"<Part>{''.join(f'<{name}>{value}</{name}>' for name, value in fields.items())}</Part>"


Parts = dict[int, Part]


@dataclass(frozen=True)
class Speeds:
    """Bytes a second of one GET and of one part that is uploaded."""

    get: float = math.inf
    part: float = math.inf


class Throttle:
    """A token bucket for one request: `speed` bytes a second, and hardly anything saved up while the client is slow."""

    def __init__(self, speed: float) -> None:
        self._speed, self._free = speed, 0.0

    async def passed(self, size: int) -> None:
        """Wait until `size` bytes more may have passed."""
        now = time.monotonic()
        self._free = max(self._free, now - _LATE_SECONDS) + size / self._speed
        if self._free > now:
            await asyncio.sleep(self._free - now)


class Uploads:
    """What came of each upload."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}

    def begin(self) -> str:
        upload = f"upload-{len(self._parts) + 1}"
        self._parts[upload] = {}
        return upload

    def of(self, upload: str) -> Parts:
        if upload not in self._parts:
            raise refusal(web.HTTPNotFound, "NoSuchUpload")
        return self._parts[upload]


def refusal(kind: type[web.HTTPException], code: str) -> web.HTTPException:
    body = f"{_XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return kind(text=body, content_type="application/xml")


def answer(body: str) -> web.Response:
    return web.Response(text=_XML + body, content_type="application/xml")


async def get(request: web.Request) -> web.StreamResponse:
    if "uploadId" in request.query:
        return list_parts(request)
    if "tagging" in request.query:
        raise refusal(web.HTTPNotFound, "NoSuchKey")  # nothing was published here before
    if request.path in request.app[COMPLETED]:
        size = request.app[COMPLETED][request.path]
        wanted = _RANGE.fullmatch(request.headers.get("Range", "")) or _RANGE.fullmatch("bytes=0-")
        assert wanted
        body = bytes((int(wanted[2]) + 1 if wanted[2] else size) - int(wanted[1]))
        return web.Response(status=206, body=body, headers={"ETag": f'"{ETAG}"'})
    if request.path in request.app[SMALL]:
        return web.Response(body=request.app[SMALL][request.path], headers={"ETag": f'"{ETAG}"'})
    if not request.path.endswith(".csv"):
        raise refusal(web.HTTPNotFound, "NoSuchKey")
    file = data.File.named(request.path)
    if request.headers.get("If-Match", f'"{ETAG}"').strip('"') != ETAG:
        raise refusal(web.HTTPPreconditionFailed, "PreconditionFailed")
    start, stop = 0, file.size
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted:
        start, stop = int(wanted[1]), min(file.size, int(wanted[2]) + 1) if wanted[2] else file.size
        if start >= file.size:
            raise refusal(web.HTTPRequestRangeNotSatisfiable, "InvalidRange")
    response = web.StreamResponse(status=206 if wanted else 200)
    response.headers.update({"ETag": f'"{ETAG}"', "Content-Type": "text/csv", "Accept-Ranges": "bytes"})
    if wanted:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    response.content_length = stop - start
    await response.prepare(request)
    # Who has enough goes away.
    with suppress(ConnectionError):
        if request.method != "HEAD":
            throttle = Throttle(request.app[SPEEDS].get)
            for chunk in file.read(start, stop):
                for piece in _pieces(chunk, request.app[SPEEDS].get):
                    await throttle.passed(len(piece))
                    await response.write(piece)
        await response.write_eof()
    return response


def _pieces(chunk: bytes | memoryview, speed: float) -> Iterator[bytes | memoryview]:
    size = len(chunk) if math.isinf(speed) else _PIECE_BYTES
    for start in range(0, len(chunk), size):
        yield chunk[start : start + size]


async def put(request: web.Request) -> web.Response:
    if "tagging" in request.query:
        await request.read()
        return web.Response()
    if "uploadId" not in request.query:
        request.app[SMALL][request.path] = await request.read()
        return web.Response(headers={"ETag": f'"{ETAG}"'})
    if copied := request.headers.get("x-amz-copy-source-range"):
        return copy(request, copied)
    size, checksum = await taken(request)
    claimed = request.headers.get("x-amz-checksum-crc32")
    if claimed and base64.b64decode(claimed) != checksum.to_bytes(4, "big"):
        raise refusal(web.HTTPBadRequest, "BadDigest")
    etag = f'"{checksum:08x}"'
    checksums = {xml: request.headers[name] for name, xml in _CHECKSUMS.items() if name in request.headers}
    parts = request.app[UPLOADS].of(request.query["uploadId"])
    parts[int(request.query["partNumber"])] = Part(etag, size, checksums)
    return web.Response(headers={"ETag": etag})


def copy(request: web.Request, copied: str) -> web.Response:
    """A part that is a range of an object that was completed."""
    wanted, source = _RANGE.fullmatch(copied), "/" + request.headers["x-amz-copy-source"].lstrip("/")
    if source not in request.app[COMPLETED]:
        raise refusal(web.HTTPNotFound, "NoSuchKey")
    if not wanted or int(wanted[2]) >= request.app[COMPLETED][source]:
        raise refusal(web.HTTPBadRequest, "InvalidArgument")
    number, size = int(request.query["partNumber"]), int(wanted[2]) + 1 - int(wanted[1])
    part = Part(f'"{number:08x}"', size, {})
    request.app[UPLOADS].of(request.query["uploadId"])[number] = part
    return answer(f"<CopyPartResult><ETag>{part.etag}</ETag></CopyPartResult>")


async def taken(request: web.Request) -> tuple[int, int]:
    """Read a body to its end and forget it; its size and CRC-32 (of what is on the wire, chunk headers included)."""
    size = checksum = 0
    throttle = Throttle(request.app[SPEEDS].part)
    async for chunk in request.content.iter_any():
        await throttle.passed(len(chunk))
        size += len(chunk)
        checksum = zlib.crc32(chunk, checksum)
    return int(request.headers.get("x-amz-decoded-content-length", size)), checksum


def list_parts(request: web.Request) -> web.Response:
    parts = request.app[UPLOADS].of(request.query["uploadId"])
    after, most = int(request.query.get("part-number-marker", 0)), 1_000
    rest = [number for number in sorted(parts) if number > after]
    listed = "".join(parts[number].xml(number) for number in rest[:most])
    more = len(rest) > most
    marker = f"<NextPartNumberMarker>{rest[most - 1]}</NextPartNumberMarker>" if more else ""
    truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    return answer(f"<ListPartsResult>{truncated}{marker}{listed}</ListPartsResult>")


async def post(request: web.Request) -> web.Response:
    if "uploads" in request.query:
        upload = request.app[UPLOADS].begin()
        return answer(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
    parts = request.app[UPLOADS].of(request.query["uploadId"])
    wanted = ElementTree.fromstring(await request.text())
    for part in wanted.iterfind("{*}Part"):
        number, etag = part.findtext("{*}PartNumber", ""), part.findtext("{*}ETag", "")
        if int(number) not in parts or parts[int(number)].etag.strip('"') != etag.strip('"'):
            raise refusal(web.HTTPBadRequest, "InvalidPart")
    request.app[COMPLETED][request.path] = sum(part.size for part in parts.values())
    return answer(f"<CompleteMultipartUploadResult><ETag>{ETAG}</ETag></CompleteMultipartUploadResult>")


async def delete(request: web.Request) -> web.Response:
    request.app[SMALL].pop(request.path, None)
    return web.Response(status=204)


UPLOADS = web.AppKey("uploads", Uploads)
SMALL = web.AppKey("small", dict[str, bytes])
# Of each object that was uploaded in parts, its size; read, it is zeros.
COMPLETED = web.AppKey("completed", dict[str, int])
SPEEDS = web.AppKey("speeds", Speeds)


def application(speeds: Speeds) -> web.Application:
    app = web.Application(client_max_size=_MOST_SMALL_BYTES)
    app[UPLOADS], app[SMALL], app[COMPLETED], app[SPEEDS] = Uploads(), {}, {}, speeds
    app.router.add_get("/{key:.+}", get)  # and HEAD
    app.router.add_put("/{key:.+}", put)
    app.router.add_post("/{key:.+}", post)
    app.router.add_delete("/{key:.+}", delete)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.s3", description=__doc__)
    parser.add_argument("--get-mb-s", type=float, default=math.inf, help="MB a second of one GET, at most")
    parser.add_argument("--part-mb-s", type=float, default=math.inf, help="MB a second of one part, at most")
    options = parser.parse_args()
    serve(application(Speeds(options.get_mb_s * 1e6, options.part_mb_s * 1e6)))


if __name__ == "__main__":
    main()
