"""The way of a new object into the store: defaults, validation, namespace, service account, quota."""

from __future__ import annotations

import copy
import secrets

from local.cluster import defaults, errors, injection, pod_security, quota, validation
from local.cluster.resources import (
    GATEWAY_GROUP,
    INGRESSES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    KubeObject,
    Resource,
)
from local.cluster.store import Store

# The letters of generated names: no vowels and none that look alike, so that no word appears.
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX = 58

# Fields a client may send but the server alone decides.
_SERVER_METADATA = (
    "uid", "creationTimestamp", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
    "managedFields", "generation",
)  # fmt: skip


def create(store: Store, resource: Resource, namespace: str | None, manifest: KubeObject) -> KubeObject:
    """Admit a manifest and store it; raises the ApiError a real API server answers."""
    obj = copy.deepcopy(manifest)
    _address(resource, namespace, obj)
    metadata = obj["metadata"]
    # Kubernetes looks at the namespace before it looks at the object.
    if namespace:
        _require_live_namespace(store, resource, namespace, metadata.get("name"))
    if "status" in resource.subresources and resource is not NODES:
        # Only a controller says how an object is.
        obj.pop("status", None)
    if _has_spec(resource):
        obj["spec"] = obj.get("spec") or {}
    if resource is PODS:
        injection.apply(store, obj)
    defaults.apply(resource, obj)
    validation.check(resource, obj)
    if store.get(resource, namespace, metadata["name"]) is not None:
        raise errors.already_exists(resource, metadata["name"])
    if resource is PODS:
        _require_service_account(store, obj)
        pod_security.admit(store, obj)
    quota.admit(store, resource, obj)
    created = store.create(resource, obj)
    if resource is NAMESPACES:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        create(store, SERVICE_ACCOUNTS, metadata["name"], account)
    return created


def _address(resource: Resource, namespace: str | None, obj: KubeObject) -> None:
    """Check kind and namespace against the URL, and give the object its name."""
    if obj.get("kind", resource.kind) != resource.kind or obj.get("apiVersion", resource.api_version) != (
        resource.api_version
    ):
        raise errors.bad_request(
            f"{obj.get('kind')} in version {str(obj.get('apiVersion'))!r} cannot be handled as a {resource.kind}"
        )
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
    metadata = obj["metadata"] = dict(obj.get("metadata") or {})
    for name in _SERVER_METADATA:
        metadata.pop(name, None)
    if namespace:
        if metadata.get("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    prefix = metadata.get("generateName")
    if prefix and not metadata.get("name"):
        suffix = "".join(secrets.choice(_NAME_LETTERS) for _ in range(5))
        metadata["name"] = prefix[:_LONGEST_PREFIX] + suffix
    if resource.group == GATEWAY_GROUP or resource in (INGRESSES, NETWORK_POLICIES):
        metadata["generation"] = 1


def _has_spec(resource: Resource) -> bool:
    return resource.group == GATEWAY_GROUP or resource in (PODS, SERVICES, INGRESSES, NETWORK_POLICIES)


def _require_live_namespace(store: Store, resource: Resource, namespace: str, name: str | None) -> None:
    found = store.get(NAMESPACES, None, namespace)
    if found is None:
        raise errors.not_found(NAMESPACES, namespace)
    if found["status"]["phase"] == "Terminating":
        detail = f"unable to create new content in namespace {namespace} because it is being terminated"
        error = errors.forbidden(resource, name, detail)
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
        error.details = (error.details or {}) | {"causes": [cause | {"field": "metadata.namespace"}]}
        raise error


def _require_service_account(store: Store, pod: KubeObject) -> None:
    namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    if store.get(SERVICE_ACCOUNTS, namespace, account) is None:
        detail = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise errors.forbidden(PODS, pod["metadata"]["name"], detail)
