"""Who a request is from (authentication) and whether it may (RBAC)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.cluster import errors
from local.cluster.errors import ApiError
from local.cluster.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Resource
from local.cluster.store import Store
from local.cluster.tokens import AUTHENTICATED, TokenReviews, User, bearer

ADMINISTRATORS = "system:masters"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_ADMIN = User("kubernetes-admin", (ADMINISTRATORS, AUTHENTICATED))


class Authenticator:
    """Tells users by bearer token: the administrator's own, or one that the TokenReview webhook knows."""

    def __init__(self, admin_token: str, reviews: TokenReviews) -> None:
        self._admin_token = admin_token
        self._reviews = reviews

    async def authenticate(self, request: web.Request) -> User:
        """The user behind a request; raises 401 for a token nobody vouches for."""
        token = bearer(request.headers.get("Authorization", ""))
        if not token:
            return ANONYMOUS
        if hmac.compare_digest(token.encode(), self._admin_token.encode()):
            return _impersonated(request) or _ADMIN
        user = await self._reviews.user(token)
        if ADMINISTRATORS not in user.groups:
            _refuse_impersonation(request, user)
        return user


def _impersonated(request: web.Request) -> User | None:
    """Who an administrator asks to be taken for (``kubectl --as``)."""
    name = request.headers.get("Impersonate-User")
    if name is None:
        return None
    return User(name, (*request.headers.getall("Impersonate-Group", []), AUTHENTICATED))


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
