"""The gateway's data plane: a streaming reverse proxy from the gateway's port to the pods."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.cluster import forwarding
from local.cluster.routing import Limits, Router

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0


class _TooLarge(Exception):
    """The request's body is larger than the route allows."""


class Proxy:
    """Answers every request on the gateway's port."""

    def __init__(self, router: Router, session: aiohttp.ClientSession) -> None:
        self._router = router
        self._session = session

    def server(self) -> web.Server:
        return forwarding.server(self._handle)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, mark, query = request.raw_path.partition("?")
        match = self._router.find(request.host, path)
        if match is None:
            return _error(404)
        limits = match.rule.limits
        if limits.body_bytes is not None and (request.content_length or 0) > limits.body_bytes:
            return _error(413)
        endpoint = self._router.endpoint(match.rule.backends)
        if endpoint is None:
            return _error(503 if self._router.has_service(match.rule.backends) else 500)
        url = URL(f"http://{endpoint[0]}:{endpoint[1]}{match.path}{mark}{query}", encoded=True)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._forward(request, url, limits)

    async def _forward(self, request: web.BaseRequest, url: URL, limits: Limits) -> web.StreamResponse:
        body = _Body(request, limits.body_bytes)
        try:
            async with asyncio.timeout(limits.total_seconds):
                return await forwarding.forward(
                    self._session,
                    request,
                    url,
                    _request_headers(request),
                    body.chunks() if request.body_exists else None,
                    timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=limits.read_seconds),
                )
        except TimeoutError:
            return _error(504)
        except aiohttp.ClientError as error:
            _log.info("%s %s: %s", request.method, url, error or type(error).__name__)
            return _error(413 if body.too_large else 502)


class _Body:
    """The request's body as it comes in, at most so many bytes of it."""

    def __init__(self, request: web.BaseRequest, limit: int | None) -> None:
        self._request = request
        self._limit = limit
        self.too_large = False

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._request.content.iter_any():
            size += len(chunk)
            if self._limit is not None and size > self._limit:
                self.too_large = True
                raise _TooLarge
            yield chunk


def _request_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = CIMultiDict(forwarding.end_to_end(request.headers))
    client = request.remote or ""
    before = headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{before}, {client}" if before else client
    headers.setdefault("X-Forwarded-Proto", "http")
    headers.setdefault("X-Forwarded-Host", request.host)
    return headers


def _error(code: int) -> web.Response:
    return web.Response(status=code, text=f"{code} {http.HTTPStatus(code).phrase}\n")
