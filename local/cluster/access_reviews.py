"""SelfSubjectAccessReview: what a user may do (``kubectl auth can-i``)."""

from __future__ import annotations

from typing import Any

from local.cluster import auth, errors
from local.cluster.auth import Access
from local.cluster.errors import ApiError
from local.cluster.resources import KubeObject, Resource
from local.cluster.store import Store
from local.cluster.tokens import User

PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def answer(store: Store, user: User, review: KubeObject) -> KubeObject:
    """The review with its status. Only what is about resources is answered."""
    asked: dict[str, Any] | None = (review.get("spec") or {}).get("resourceAttributes")
    if asked is None:
        raise errors.bad_request("the embedded cluster reviews spec.resourceAttributes only")
    resource = Resource(asked.get("group", ""), "", "", asked.get("resource", ""))
    names = (asked.get(key) or None for key in ("namespace", "name", "subresource"))
    try:
        auth.authorize(store, user, Access(asked.get("verb", ""), resource, *names))
        allowed = True
    except ApiError:
        allowed = False
    return review | {"metadata": {}, "status": {"allowed": allowed}}
