"""Who a token of EKS is from: a presigned URL of STS, which the embedded AWS reviews as EKS's authenticator does."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import aiohttp

from local.cluster import errors

_log = logging.getLogger(__name__)

AUTHENTICATED = "system:authenticated"

# EKS lets its authenticator's answer stand for a while as well; the token itself lives 15 minutes.
_CACHE_SECONDS = 30.0
# aws-iam-authenticator takes a token for 15 minutes from its signature on, whatever it says itself.
TOKEN_SECONDS = 900.0
_REVIEW_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class User:
    """An authenticated identity; RBAC knows nothing else of it."""

    name: str
    groups: tuple[str, ...]


class TokenReviews:
    """Asks a TokenReview webhook, and remembers its good answers for a while; without a webhook no token is good."""

    def __init__(self, session: aiohttp.ClientSession, url: str | None, token_seconds: float = TOKEN_SECONDS) -> None:
        self._session = session
        self._url = url
        self._token_seconds = token_seconds
        self._known: dict[bytes, tuple[float, User]] = {}

    async def user(self, token: str) -> User:
        """The user behind a token; raises 401 for one that nobody vouches for."""
        if _age(token) > self._token_seconds:
            raise errors.unauthorized()
        digest = hashlib.sha256(token.encode()).digest()
        expires, user = self._known.get(digest, (0.0, None))
        if user is None or expires < time.monotonic():
            user = await self._review(token)
            self._forget_expired()
            self._known[digest] = (time.monotonic() + _CACHE_SECONDS, user)
        return user

    async def _review(self, token: str) -> User:
        if self._url is None:
            raise errors.unauthorized()
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        try:
            async with self._session.post(self._url, json=review, timeout=_REVIEW_TIMEOUT) as response:
                response.raise_for_status()
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # A real API server answers 401 as well when its webhook is down, and says why in its log only.
            _log.warning("the TokenReview webhook failed: %s", type(error).__name__)
            raise errors.unauthorized() from error
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            raise errors.unauthorized()
        user = status.get("user") or {}
        # The API server adds this group to every user that it has authenticated.
        return User(user.get("username", ""), tuple(dict.fromkeys((*(user.get("groups") or ()), AUTHENTICATED))))

    def _forget_expired(self) -> None:
        now = time.monotonic()
        self._known = {digest: entry for digest, entry in self._known.items() if entry[0] > now}


def bearer(authorization: str) -> str:
    """The token in an Authorization header; empty if there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _age(token: str) -> float:
    """Seconds since a token of EKS, which is a presigned URL, was signed; 0 for what is no such token."""
    encoded = token.removeprefix("k8s-aws-v1.")
    try:
        url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        (signed,) = parse_qs(urlsplit(url).query)["X-Amz-Date"]
        when = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, KeyError):
        return 0.0
    return (datetime.now(UTC) - when).total_seconds()
