"""A request sent on to another server, and its answer sent back, both as they come and neither held whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

# Enough to keep the proxy busy between two turns of the event loop, and the most a request holds in each direction.
BUFFER = 2**20
# Headers that belong to one connection, not to the message (RFC 9110, 7.6.1). Expect is answered here.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "expect", "proxy-connection"}
)  # fmt: skip
# What aiohttp would add to a request by itself.
_NOT_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def server(handler: Any) -> web.Server:
    """A server for a handler that sends on what it gets; it is cancelled when its client goes."""
    return web.Server(handler, handler_cancellation=True, access_log=None, auto_decompress=False, read_bufsize=BUFFER)


async def forward(
    session: aiohttp.ClientSession,
    request: web.BaseRequest,
    url: URL,
    headers: Mapping[str, str],
    body: AsyncIterator[bytes] | None,
    check: Callable[[aiohttp.ClientResponse], None] = lambda _: None,
    **options: Any,
) -> web.StreamResponse:
    """Ask `url` what the request asks, with these headers and this body, and pass the answer on.

    `check` may raise instead of letting an answer pass; `options` are aiohttp's. When an answer breaks off in its middle, the client's connection is cut as well: only that
    tells it that it has not got the whole.

    Raises
    ------
    aiohttp.ClientError, TimeoutError
        There is no answer, or no whole one.
    """
    answer: web.StreamResponse | None = None
    try:
        async with session.request(
            request.method,
            url,
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=_NOT_OURS,
            read_bufsize=BUFFER,
            **options,
        ) as upstream:
            check(upstream)
            answer = web.StreamResponse(
                status=upstream.status, reason=upstream.reason, headers=CIMultiDict(end_to_end(upstream.headers))
            )
            await answer.prepare(request)
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer
    except (asyncio.CancelledError, TimeoutError, aiohttp.ClientError):
        if answer is not None and request.transport is not None:
            request.transport.abort()
        raise


def end_to_end(headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
    """Those headers that belong to the message and not to its connection."""
    named = {name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",")}
    return [(key, value) for key, value in headers.items() if key.lower() not in _HOP_BY_HOP | named]
