"""A large file's shards, one for each of its pods: found by a look through all of it, in steps that each fit one Lambda."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from scoring.files import checksums, objects, shards
from scoring.files.blocks import Blocks
from scoring.files.formats import Spec
from scoring.files.inspection import format_of
from scoring.intake.identity import Source
from scoring.intake.shard import Shard
from scoring.observability import logger
from scoring.streaming.pace import FIRST_BYTES

# So much each is looked through by itself; more of a file that would not fit the state.
_RANGE_BYTES, _MOST_RANGES = 1 << 30, 1_000
# What is kept of a Lambda's time: a connection that has fallen silent is given up after a minute.
_RESERVE_SECONDS = 90.0


def plan(
    s3: Any, source: Source, request: Mapping[str, Any], known: Mapping[str, Any], seconds_left: Callable[[], float]
) -> dict[str, Any]:
    """Go on with the look through the file, as far as this Lambda's time allows.

    Parameters
    ----------
    known
        What an earlier call gave, or nothing.

    Returns
    -------
    dict
        `status` PLANNING (come back), or PLANNED: then with `shards`, the `crc` of what is before the first of them, and the
        `checksum` that all of them together are to have.

    Raises
    ------
    EmptyFile, InvalidFile, SourceGone, SourceChanged, ScoringFailed, AccessDenied, AwsThrottled
    """
    spec, pods = Spec.of(request), request["pods"]
    dialect, read = spec.dialect, partial(objects.stream, s3, source)
    if known:
        edges = [(start, stop) for start, stop in known["edges"]]
    else:
        start = _first_record(s3, source, spec)
        least = max(min(-(-source.size // _RANGE_BYTES), _MOST_RANGES), shards.AT_ONCE)
        # As many to each shard.
        parts = -(-least // pods) * pods
        edges = shards.edges(read, dialect, start, source.size, parts)
    told: list[Any] = list(known.get("looked", ()))
    # Of before an update, a plan tells of the first ranges alone.
    told += [None] * (len(edges) - len(told))
    looked = [shards.Range.of(each) if each else None for each in told]
    looked = shards.look_through(read, dialect, edges, looked, lambda: seconds_left() > _RESERVE_SECONDS)
    whole = [each for each, (_, stop) in zip(looked, edges, strict=True) if each and each.stop == stop]
    if len(whole) < len(edges):
        return {"status": "PLANNING", "edges": edges, "looked": [each and each.to_json() for each in looked]}
    found = shards.gathered(shards.shards(dialect, whole), pods)
    total = sum(each.records for each in found)
    planned = [
        Shard(number, len(found), each.start, each.stop, each.row, each.records, total).to_json()
        for number, each in enumerate(found, 1)
    ]
    crc = 0
    for chunk in read(0, edges[0][0]):
        crc = zlib.crc32(chunk, crc)
    checksum = checksums.held(s3, source)
    if "SHA256" in checksum:
        checksum = _checksum_of_shards(s3, source, checksum, seconds_left)
        if not checksum and None in told:
            # The next call does nothing else.
            return {"status": "PLANNING", "edges": edges, "looked": [each.to_json() for each in whole]}
    return {"status": "PLANNED", "shards": planned, "crc": crc, "checksum": checksum}


def _checksum_of_shards(
    s3: Any, source: Source, held: Mapping[str, str], seconds_left: Callable[[], float]
) -> dict[str, str]:
    """The CRC-32 of a file that is what S3 has the SHA-256 of: only CRCs of parts come to that of the whole. Empty where one
    function has no time to see all bytes, as a single pod's file is not verified then. (S3 has a SHA-256 of the whole only of
    what was put at once, 5 GB at most: Amazon S3 User Guide, "Checking object integrity for data uploads".)

    Raises
    ------
    ScoringFailed
        It is not.
    SourceGone, SourceChanged, AccessDenied, AwsThrottled
    """
    digest, crc = checksums.Digest(source, held), 0
    for chunk in objects.read(s3, source):
        if seconds_left() < _RESERVE_SECONDS:
            logger.warning("not verified", source=source.uri)
            return {}
        digest.update(chunk)
        crc = zlib.crc32(chunk, crc)
    digest.check()
    return {"CRC32": base64.b64encode(crc.to_bytes(4, "big")).decode()}


def _first_record(s3: Any, source: Source, spec: Spec) -> int:
    """Where the first record begins, behind the header, if there is one."""
    blocks = Blocks(objects.read(s3, source), FIRST_BYTES, spec.dialect)
    format_of(spec).open(blocks)
    return blocks.position
