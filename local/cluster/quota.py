"""ResourceQuota: what a namespace uses, and which creations exceed it."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from local.cluster import errors, podspec, quantities, resources
from local.cluster.resources import PODS, RESOURCE_QUOTAS, SERVICES, KubeObject, Resource
from local.cluster.store import Store

Usage = dict[str, Decimal]

_COMPUTE = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "cpu", "memory")
# Plurals that have a quota name of their own beside count/<resource>.
_NAMED = frozenset({PODS, SERVICES, resources.CONFIG_MAPS, resources.SECRETS, RESOURCE_QUOTAS})


def usage(resource: Resource, obj: KubeObject) -> Usage:
    """What one object takes from the quotas of its namespace, by quota name."""
    taken: Usage = {f"count/{resource.qualified}": Decimal(1)}
    if resource is PODS:
        # A pod that has ended still counts as an object, but takes no room any more.
        if obj["status"].get("phase") not in ("Succeeded", "Failed"):
            taken["pods"] = Decimal(1)
            taken |= _compute(obj)
    elif resource in _NAMED:
        taken[resource.plural] = Decimal(1)
        kind = obj["spec"]["type"] if resource is SERVICES else ""
        if kind == "LoadBalancer":
            taken["services.loadbalancers"] = Decimal(1)
        if kind in ("LoadBalancer", "NodePort"):
            taken["services.nodeports"] = Decimal(len(obj["spec"]["ports"]))
    return taken


def _compute(pod: KubeObject) -> Usage:
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for kind in ("requests", "limits"):
        for name, amount in podspec.amounts(pod["spec"], kind).items():
            # A bare name in a quota means the requests.
            for quota_name in (f"{kind}.{name}", name) if kind == "requests" else (f"{kind}.{name}",):
                total[quota_name] += amount
    return total


def used(store: Store, namespace: str, names: set[str]) -> Usage:
    """The sum over all objects of a namespace, for these quota names."""
    total = dict.fromkeys(names, Decimal(0))
    for resource in resources.ALL:
        if resource.namespaced and (resource is PODS or resource in _NAMED or f"count/{resource.qualified}" in names):
            for obj in store.objects(resource, namespace):
                for name, value in usage(resource, obj).items():
                    if name in total:
                        total[name] += value
    return total


def admit(store: Store, resource: Resource, obj: KubeObject) -> None:
    """Refuse (403) an object that a quota of its namespace has no room for."""
    namespace = obj["metadata"].get("namespace")
    if not namespace:
        return
    wanted = usage(resource, obj)
    for quota in store.objects(RESOURCE_QUOTAS, namespace):
        name = quota["metadata"]["name"]
        hard = {key: quantities.parse(value) for key, value in (quota["spec"].get("hard") or {}).items()}
        if resource is PODS:
            missing = sorted(key for key in hard if key in _COMPUTE and not _all_specify(obj, key))
            if missing:
                detail = f"failed quota: {name}: must specify {','.join(missing)}"
                raise errors.forbidden(resource, obj["metadata"]["name"], detail)
        present = used(store, namespace, set(hard))
        exceeded = sorted(key for key in hard if key in wanted and present[key] + wanted[key] > hard[key])
        if exceeded:
            detail = (
                f"exceeded quota: {name}, requested: {_listing(exceeded, wanted)}, "
                f"used: {_listing(exceeded, present)}, limited: {_listing(exceeded, hard)}"
            )
            raise errors.forbidden(resource, obj["metadata"]["name"], detail)


def _all_specify(pod: KubeObject, key: str) -> bool:
    kind, _, name = key.rpartition(".")
    kind = kind or "requests"
    return all(name in (one["resources"].get(kind) or {}) for one in podspec.all_containers(pod["spec"]))


def _listing(names: list[str], values: Usage) -> str:
    return ",".join(f"{name}={_text(name, values[name])}" for name in names)


def _text(name: str, value: Decimal) -> str:
    return quantities.text(value, binary=name.endswith(("memory", "storage")))


def refresh_status(store: Store, namespace: str) -> None:
    """Write ``status.used`` of the namespace's quotas."""
    for quota in store.objects(RESOURCE_QUOTAS, namespace):
        hard = quota["spec"].get("hard") or {}
        present = used(store, namespace, set(hard))
        status = {"hard": hard, "used": {name: _text(name, present[name]) for name in hard}}
        store.set_status(RESOURCE_QUOTAS, quota, status)
