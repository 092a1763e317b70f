"""Deleting objects: preconditions, graceful deletion of pods, finalizers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from local.cluster import clock, errors
from local.cluster.resources import NAMESPACES, PODS, KubeObject, Resource
from local.cluster.store import Store

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True)
class DeleteOptions:
    """The part of metav1.DeleteOptions that has an effect here."""

    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str = "Background"

    @classmethod
    def parse(cls, body: dict[str, Any], query: dict[str, str]) -> Self:
        """From the request's body, else from its query, as a real API server takes them."""
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        preconditions = body.get("preconditions") or {}
        propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
        return cls(
            grace_seconds=None if grace is None else max(0, int(grace)),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            propagation=propagation,
        )


def delete(store: Store, resource: Resource, namespace: str | None, name: str, options: DeleteOptions) -> KubeObject:
    """Delete an object, or mark it for those who have to finish it. Returns its last state."""
    obj = store.get(resource, namespace, name)
    if obj is None:
        raise errors.not_found(resource, name)
    _check_preconditions(resource, obj, options)
    finalizer = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(options.propagation)
    grace = _grace_seconds(resource, obj, options)
    if grace == 0 and not finalizer and not obj["metadata"].get("finalizers") and resource is not NAMESPACES:
        return store.remove(resource, namespace, name) or obj

    def mark(new: KubeObject) -> None:
        metadata = new["metadata"]
        already = metadata.get("deletionGracePeriodSeconds")
        # A second delete may only shorten the time that is left.
        if already is None or grace < already:
            metadata["deletionTimestamp"] = clock.seconds(clock.now() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
        if finalizer and finalizer not in metadata.setdefault("finalizers", []):
            metadata["finalizers"].append(finalizer)
        if resource is NAMESPACES:
            new["status"]["phase"] = "Terminating"

    return store.update(resource, namespace, name, mark) or obj


def finish(store: Store, resource: Resource, obj: KubeObject) -> None:
    """Remove an object that is marked as deleted, unless a finalizer or a kubelet still holds it."""
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or resource is NAMESPACES
    if metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds") == 0 and not held:
        store.remove(resource, metadata.get("namespace"), metadata["name"])


def _check_preconditions(resource: Resource, obj: KubeObject, options: DeleteOptions) -> None:
    for what, key, wanted in (
        ("UID", "uid", options.uid),
        ("ResourceVersion", "resourceVersion", options.resource_version),
    ):
        present = obj["metadata"][key]
        if wanted is not None and wanted != present:
            detail = (
                f"the {what} in the precondition ({wanted}) does not match the {what} in record ({present}). "
                "The object might have been deleted and then recreated"
            )
            raise errors.conflict(resource, obj["metadata"]["name"], detail)


def _grace_seconds(resource: Resource, obj: KubeObject, options: DeleteOptions) -> int:
    """Only a pod that a kubelet runs gets time to end."""
    if resource is not PODS or not obj["spec"].get("nodeName") or obj["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace_seconds is not None:
        return options.grace_seconds
    return int(obj["spec"]["terminationGracePeriodSeconds"])
