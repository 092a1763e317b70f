"""Who a request is from (authentication) and whether it may (RBAC)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from local.cluster import errors
from local.cluster.errors import ApiError
from local.cluster.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Resource
from local.cluster.store import Store

_log = logging.getLogger(__name__)

ADMINISTRATORS = "system:masters"

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


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_ADMIN = User("kubernetes-admin", (ADMINISTRATORS, "system:authenticated"))


class Authenticator:
    """Tells users by bearer token: the administrator's own, or one that the TokenReview webhook knows."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        admin_token: str,
        review_url: str | None,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        self._session = session
        self._admin_token = admin_token
        self._review_url = review_url
        self._token_seconds = token_seconds
        self._known: dict[bytes, tuple[float, User]] = {}

    async def authenticate(self, request: web.Request) -> User:
        """The user behind a request; raises 401 for a token nobody vouches for."""
        scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        if hmac.compare_digest(token.encode(), self._admin_token.encode()):
            return _impersonated(request) or _ADMIN
        if _age(token) > self._token_seconds:
            raise errors.unauthorized()
        digest = hashlib.sha256(token.encode()).digest()
        expires, user = self._known.get(digest, (0.0, ANONYMOUS))
        if expires < time.monotonic():
            user = await self._review(token)
            self._forget_expired()
            self._known[digest] = (time.monotonic() + _CACHE_SECONDS, user)
        if ADMINISTRATORS not in user.groups:
            _refuse_impersonation(request, user)
        return user

    async def _review(self, token: str) -> User:
        if self._review_url is None:
            raise errors.unauthorized()
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        try:
            async with self._session.post(self._review_url, json=review, timeout=_REVIEW_TIMEOUT) as response:
                response.raise_for_status()
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # A real API server answers 401 as well when its webhook is down, and says why in its log only.
            _log.warning("TokenReview webhook %s failed: %s", self._review_url, error)
            raise errors.unauthorized() from error
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            raise errors.unauthorized()
        user = status.get("user") or {}
        return User(user.get("username", ""), (*(user.get("groups") or ()), "system:authenticated"))

    def _forget_expired(self) -> None:
        now = time.monotonic()
        self._known = {digest: entry for digest, entry in self._known.items() if entry[0] > now}


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


def _impersonated(request: web.Request) -> User | None:
    """Who an administrator asks to be taken for (``kubectl --as``)."""
    name = request.headers.get("Impersonate-User")
    if name is None:
        return None
    return User(name, (*request.headers.getall("Impersonate-Group", []), "system:authenticated"))


def _refuse_impersonation(request: web.Request, user: User) -> None:
    name = request.headers.get("Impersonate-User")
    if name is not None:
        what = 'resource "users" in API group "" at the cluster scope'
        message = f'users "{name}" is forbidden: User "{user.name}" cannot impersonate {what}'
        raise ApiError(403, "Forbidden", message, {"name": name, "kind": "users"})


@dataclass(frozen=True)
class Access:
    """What a request wants to do, in RBAC's terms."""

    verb: str
    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str | None = None

    @property
    def what(self) -> str:
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


def authorize(store: Store, user: User, access: Access) -> None:
    """Raise 403 unless a role bound to the user allows it."""
    if ADMINISTRATORS in user.groups or any(_allows(rule, access) for rule in _rules(store, user, access.namespace)):
        return
    scope = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    what = f'resource "{access.what}" in API group "{access.resource.group}"'
    detail = f'User "{user.name}" cannot {access.verb} {what} {scope}'
    raise errors.forbidden(access.resource, access.name, detail)


def _rules(store: Store, user: User, namespace: str | None) -> Iterator[dict[str, Any]]:
    bindings = store.objects(CLUSTER_ROLE_BINDINGS)
    if namespace:
        bindings = bindings + store.objects(ROLE_BINDINGS, namespace)
    for binding in bindings:
        if any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or []):
            reference = binding["roleRef"]
            if reference["kind"] == "ClusterRole":
                role = store.get(CLUSTER_ROLES, None, reference["name"])
            else:
                role = store.get(ROLES, binding["metadata"]["namespace"], reference["name"])
            yield from (role or {}).get("rules") or []


def _is_subject(subject: dict[str, Any], user: User, namespace: str | None) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{home}:{subject['name']}"
    return False


def _allows(rule: dict[str, Any], access: Access) -> bool:
    return (
        _has(rule.get("verbs"), access.verb)
        and _has(rule.get("apiGroups"), access.resource.group)
        and _has(rule.get("resources"), access.what, f"*/{access.subresource}" if access.subresource else None)
        and (not rule.get("resourceNames") or access.name in rule["resourceNames"])
    )


def _has(allowed: Iterable[str] | None, *wanted: str | None) -> bool:
    choices = set(allowed or ())
    return "*" in choices or any(one in choices for one in wanted)
