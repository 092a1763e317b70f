"""The stream of a watch: what is there, then what changes, one JSON document a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from aiohttp import web

from local.cluster import errors
from local.cluster.query import flag
from local.cluster.resources import KubeObject, Resource
from local.cluster.selectors import Predicate
from local.cluster.store import Change, Store

# A real API server ends a watch after 30 to 60 minutes when the client names no time.
_LONGEST_SECONDS = 1800.0


async def stream(
    request: web.Request, store: Store, resource: Resource, namespace: str | None, matches: Predicate
) -> web.StreamResponse:
    """Answer a watch request until its timeoutSeconds are over or the client goes."""
    query = request.query
    seconds = float(query.get("timeoutSeconds") or _LONGEST_SECONDS)
    bookmarks = flag(query, "allowWatchBookmarks")
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()

    def wanted(change: Change) -> bool:
        return change.resource is resource and namespace in (None, change.object["metadata"].get("namespace"))

    with store.subscribe(resource) as changes:
        try:
            first = list(_first(store, resource, namespace, matches, query.get("resourceVersion") or "0"))
        except errors.ApiError as error:
            # The answer has begun by then on a real server: a watch that is too old fails in the stream.
            first = [_line("ERROR", error.status())]
            seconds = 0.0
        await response.prepare(request)
        if first:
            await response.write(b"".join(first))
        try:
            async with asyncio.timeout(seconds):
                async for change in changes:
                    line = _seen(change, matches) if wanted(change) else None
                    if line:
                        await response.write(line)
        except TimeoutError:
            if bookmarks and seconds:
                metadata = {"resourceVersion": str(store.version), "creationTimestamp": None}
                mark = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
                await response.write(_line("BOOKMARK", mark))
    await response.write_eof()
    return response


def _first(
    store: Store, resource: Resource, namespace: str | None, matches: Predicate, version: str
) -> Iterator[bytes]:
    """What the client has not seen: everything there is, or the changes since the version it knows."""
    if version == "0":
        for obj in store.objects(resource, namespace):
            if matches(obj):
                yield _line("ADDED", obj)
        return
    if not version.isdecimal():
        raise errors.bad_request(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    for change in store.changes_since(int(version)):
        if change.resource is resource and namespace in (None, change.object["metadata"].get("namespace")):
            line = _seen(change, matches)
            if line:
                yield line


def _seen(change: Change, matches: Predicate) -> bytes | None:
    """A change as one who selects sees it: an object that leaves the selection is deleted for them."""
    before = change.previous is not None and matches(change.previous)
    after = change.type != "DELETED" and matches(change.object)
    if before and after:
        return _line("MODIFIED", change.object)
    if after:
        return _line("ADDED", change.object)
    if before:
        return _line("DELETED", change.object)
    return None


def _line(kind: str, obj: KubeObject) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"
