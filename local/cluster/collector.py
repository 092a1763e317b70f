"""Garbage collection: dependents go with their owners, contents with their namespace."""

from __future__ import annotations

from typing import Any

from local.cluster import deletion, errors, quota, resources
from local.cluster.deletion import FOREGROUND, ORPHAN, DeleteOptions
from local.cluster.resources import NAMESPACES, RESOURCE_QUOTAS, KubeObject, Resource
from local.cluster.store import Change, Store

# Events own nothing and are owned by nothing; there are too many of them to look at each time.
_COLLECTED = tuple(resource for resource in resources.ALL if resource is not resources.EVENTS)


async def collect_garbage(store: Store) -> None:
    """Follow the store for ever: delete what has lost its last owner, finish what is being deleted."""
    with store.subscribe(*_COLLECTED) as changes:
        async for change in changes:
            if change.type == "DELETED":
                _release_dependents(store, change.object["metadata"]["uid"])
            else:
                _settle(store, change.resource, change.object)


def _settle(store: Store, resource: Resource, obj: KubeObject) -> None:
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        if metadata.get("ownerReferences") and not _living_owners(store, metadata):
            _delete(store, resource, obj)
        return
    finalizers = metadata.get("finalizers") or []
    dependents = _dependents(store, metadata["uid"])
    if ORPHAN in finalizers:
        for kind, dependent in dependents:
            _drop_owner(store, kind, dependent, metadata["uid"])
        _drop_finalizer(store, resource, obj, ORPHAN)
    elif FOREGROUND in finalizers:
        for kind, dependent in dependents:
            if not dependent["metadata"].get("deletionTimestamp"):
                _delete(store, kind, dependent)
        if not _dependents(store, metadata["uid"]):
            _drop_finalizer(store, resource, obj, FOREGROUND)


def _release_dependents(store: Store, uid: str) -> None:
    for kind, dependent in _dependents(store, uid):
        if not _living_owners(store, dependent["metadata"]):
            _delete(store, kind, dependent)
        else:
            _drop_owner(store, kind, dependent, uid)


def _dependents(store: Store, uid: str) -> list[tuple[Resource, KubeObject]]:
    return [
        (resource, obj)
        for resource in _COLLECTED
        for obj in store.objects(resource)
        if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or [])
    ]


def _living_owners(store: Store, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The owners that exist: the same uid, and in the dependent's own namespace or in none."""
    living = []
    for owner in metadata["ownerReferences"]:
        found = store.by_uid(owner["uid"])
        if found and found[1]["metadata"].get("namespace") in (None, metadata.get("namespace")):
            living.append(owner)
    return living


def _delete(store: Store, resource: Resource, obj: KubeObject) -> None:
    """Delete exactly this object; that it is gone already, or another one bears its name, is as good.

    A change is looked at later than it happened, so somebody else may have been first.
    """
    metadata = obj["metadata"]
    try:
        deletion.delete(
            store, resource, metadata.get("namespace"), metadata["name"], DeleteOptions(uid=metadata["uid"])
        )
    except errors.ApiError as refused:
        if refused.code not in (404, 409):
            raise


def _drop_owner(store: Store, resource: Resource, obj: KubeObject, uid: str) -> None:
    def change(new: KubeObject) -> None:
        metadata = new["metadata"]
        metadata["ownerReferences"] = [owner for owner in metadata["ownerReferences"] if owner["uid"] != uid]

    store.update(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"], change)


def _drop_finalizer(store: Store, resource: Resource, obj: KubeObject, finalizer: str) -> None:
    def change(new: KubeObject) -> None:
        new["metadata"]["finalizers"] = [one for one in new["metadata"]["finalizers"] if one != finalizer]

    updated = store.update(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"], change)
    if updated is not None:
        deletion.finish(store, resource, updated)


async def empty_namespaces(store: Store) -> None:
    """Delete the contents of a namespace that is being deleted, and the namespace when it is empty."""
    kinds = [kind for kind in resources.ALL if kind.namespaced]
    with store.subscribe(NAMESPACES, *kinds) as changes:
        async for change in changes:
            name = _namespace_of(change)
            namespace = store.get(NAMESPACES, None, name)
            if namespace is None or namespace["status"]["phase"] != "Terminating":
                continue
            for kind in kinds:
                for obj in store.objects(kind, name):
                    if not obj["metadata"].get("deletionTimestamp"):
                        _delete(store, kind, obj)
            if not any(store.objects(kind, name) for kind in kinds):
                store.remove(NAMESPACES, None, namespace["metadata"]["name"])


async def keep_quotas(store: Store) -> None:
    """Keep ``status.used`` of every ResourceQuota up to date."""
    with store.subscribe(*(one for one in resources.ALL if one.namespaced and one is not resources.EVENTS)) as changes:
        async for change in changes:
            # A quota's own status is what is written here.
            if change.resource is RESOURCE_QUOTAS and change.type == "MODIFIED":
                continue
            quota.refresh_status(store, _namespace_of(change))


def _namespace_of(change: Change) -> str:
    metadata = change.object["metadata"]
    return str(metadata["name"] if change.resource is NAMESPACES else metadata["namespace"])
