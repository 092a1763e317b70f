"""The front: an API server to the functions, which passes on to the real one what they ask, in their own name.

It takes a bearer token of EKS, has it reviewed, and sends the request on with the credentials of a kubeconfig's user and
the headers `Impersonate-User` and `Impersonate-Group`. Requests and answers stream.

Whoever reaches it has a kubeconfig's powers within reach: what is passed on is chosen by name, and what is not expected is
refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.account import ACCOUNT
from local.cluster import errors, forwarding
from local.cluster.errors import ApiError
from local.cluster.tokens import AUTHENTICATED, TokenReviews, User, bearer
from local.foreign.kubeconfig import Upstream

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
# What a request may tell the real API server; nothing else passes, and above all nobody's name.
_PASSED = ("Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent")
_DISGUISE = "impersonate-"
# The roles of the embedded account, and what cluster/rbac.yaml binds.
_ROLES, _OURS = f"arn:aws:sts::{ACCOUNT}:assumed-role/", "dropscore:"


class Front:
    """Answers every request for the cluster."""

    def __init__(self, reviews: TokenReviews, upstream: Upstream, session: aiohttp.ClientSession) -> None:
        self._reviews = reviews
        self._upstream = upstream
        self._session = session
        options: dict[str, Any] = {"ssl": upstream.tls, "server_hostname": upstream.server_name}
        self._options = options | {
            "proxy": upstream.proxy,
            # A watch or a log may be quiet for as long as it lasts.
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        }

    def server(self) -> web.Server:
        return forwarding.server(self._handle)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            user = await self._reviews.user(_token(request))
            _check_user(user)
            _check_request(request, user)
            return await self._forward(request, user)
        except ApiError as error:
            return _refusal(error)
        except (TimeoutError, aiohttp.ClientError) as error:
            _log.warning("%s %s: %s", request.method, request.path, error or type(error).__name__)
            return _refusal(
                ApiError(503, "ServiceUnavailable", f"the cluster behind the front does not answer: {error}")
            )

    async def _forward(self, request: web.BaseRequest, user: User) -> web.StreamResponse:
        headers = CIMultiDict((name, request.headers[name]) for name in _PASSED if name in request.headers)
        # An exec plugin may be asked anew, which takes its time.
        authorization = await asyncio.to_thread(self._upstream.authorization)
        if authorization:
            headers["Authorization"] = authorization
        headers["Impersonate-User"] = user.name
        for group in user.groups:
            # The API server adds this one itself, and may not let everybody ask for it.
            if group != AUTHENTICATED:
                headers.add("Impersonate-Group", group)
        return await forwarding.forward(
            self._session,
            request,
            URL(self._upstream.url + request.raw_path, encoded=True),
            headers,
            request.content.iter_any() if request.body_exists else None,
            check=_check_answer,
            **self._options,
        )


def _token(request: web.BaseRequest) -> str:
    token = bearer(request.headers.get("Authorization", ""))
    if not token:
        raise errors.unauthorized()
    return token


def _check_user(user: User) -> None:
    """Refuse who would be taken for a part of the cluster, or for somebody else who has leave there: whoever reaches the
    embedded AWS may make access entries.
    """
    others = [group for group in user.groups if not group.startswith(_OURS) and group != AUTHENTICATED]
    if others or not user.name.startswith(_ROLES):
        raise ApiError(403, "Forbidden", f"nobody may be {', '.join([user.name, *others])} by an access entry")


def _check_request(request: web.BaseRequest, user: User) -> None:
    """Refuse a request that would be somebody else's, or go elsewhere."""
    disguises = [name for name in request.headers if name.lower().startswith(_DISGUISE)]
    if disguises:
        raise ApiError(
            403, "Forbidden", f'User "{user.name}" cannot impersonate: {", ".join(disguises)} is not allowed'
        )
    path = request.raw_path.partition("?")[0]
    # The address is made by putting the two together: a path without its slash would change the host, and one that climbs
    # would leave the cluster where a proxy serves several.
    if not path.startswith("/") or {".", ".."} & set(unquote(path).split("/")):
        raise errors.bad_request("the path must begin with a slash and go down only")


def _check_answer(answer: aiohttp.ClientResponse) -> None:
    if answer.status == 401:
        # The token was good: who is not known there is the kubeconfig's user.
        raise ApiError(503, "ServiceUnavailable", "the cluster behind the front refuses the kubeconfig's credentials")


def _refusal(error: ApiError) -> web.Response:
    return web.Response(body=json.dumps(error.status()).encode(), status=error.code, content_type="application/json")
