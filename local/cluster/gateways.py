"""Gateways, routes and ingresses as a controller sees them: which are its own, which are sound, and their status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.cluster import clock, selectors
from local.cluster.resources import (
    GATEWAY_CLASSES,
    GATEWAY_GROUP,
    GATEWAYS,
    HTTP_ROUTES,
    INGRESS_CLASSES,
    INGRESSES,
    NAMESPACES,
    SERVICES,
    KubeObject,
)
from local.cluster.store import Store

_GATEWAY_CONTROLLER = "dropscore.io/embedded-gateway"
_INGRESS_CONTROLLER = "k8s.io/ingress-nginx"

# The class that cluster/gateway.yaml names, as a data plane's installation would bring it.
GATEWAY_CLASS: KubeObject = {"metadata": {"name": "eg"}, "spec": {"controllerName": _GATEWAY_CONTROLLER}}
INGRESS_CLASS: KubeObject = {"metadata": {"name": "nginx"}, "spec": {"controller": _INGRESS_CONTROLLER}}

# What routing depends on.
WATCHED = (GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES, INGRESS_CLASSES, INGRESSES, NAMESPACES, SERVICES)


@dataclass(frozen=True)
class Backend:
    """A service that a route or an ingress sends requests to."""

    namespace: str
    service: str
    port: int | str
    weight: int = 1


@dataclass(frozen=True)
class Parent:
    """What one of our gateways makes of a route."""

    reference: dict[str, Any]
    gateway: KubeObject
    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        return self.reason == "Accepted"


def backend(namespace: str, reference: dict[str, Any]) -> Backend:
    return Backend(reference.get("namespace", namespace), reference["name"], reference["port"], reference["weight"])


def ingress_backend(namespace: str, reference: dict[str, Any]) -> Backend:
    service = reference["service"]
    port = service["port"]
    return Backend(namespace, service["name"], port.get("number") or port["name"])


def parents(store: Store, route: KubeObject) -> list[Parent]:
    """The gateways of ours that a route names; one that names no gateway of ours is nobody's business here."""
    found = []
    for reference in route["spec"].get("parentRefs") or []:
        namespace = reference.get("namespace", route["metadata"]["namespace"])
        gateway = store.get(GATEWAYS, namespace, reference["name"]) if reference["kind"] == "Gateway" else None
        if gateway is not None and _is_ours(store, gateway):
            reason, message = _acceptance(store, route, reference, gateway)
            found.append(Parent(reference, gateway, reason, message))
    return found


def is_served(store: Store, ingress: KubeObject) -> bool:
    """Whether an ingress names a class of ours; one without a class is served by nobody."""
    annotations = ingress["metadata"].get("annotations") or {}
    name = ingress["spec"].get("ingressClassName") or annotations.get("kubernetes.io/ingress.class")
    found = store.get(INGRESS_CLASSES, None, name) if name else None
    return found is not None and found["spec"].get("controller") == _INGRESS_CONTROLLER


async def keep_status(store: Store, address: str) -> None:
    """Write the status of gateways, routes and ingresses whenever something they depend on changes."""
    with store.subscribe(*WATCHED) as changes:
        _write_all(store, address)
        async for _ in changes:
            _write_all(store, address)


def _write_all(store: Store, address: str) -> None:
    for gateway_class in store.objects(GATEWAY_CLASSES):
        if gateway_class["spec"].get("controllerName") == _GATEWAY_CONTROLLER:
            _write(store, gateway_class, {"conditions": _conditions(gateway_class, {}, Accepted=("Accepted", ""))})
    for gateway in store.objects(GATEWAYS):
        if _is_ours(store, gateway):
            _write(store, gateway, _gateway_status(store, gateway, address))
    for route in store.objects(HTTP_ROUTES):
        _write(store, route, _route_status(store, route))
    for ingress in store.objects(INGRESSES):
        if is_served(store, ingress):
            _write(store, ingress, {"loadBalancer": {"ingress": [{"ip": address}]}})


_BY_KIND = {one.kind: one for one in WATCHED}


def _write(store: Store, obj: KubeObject, status: dict[str, Any]) -> None:
    store.set_status(_BY_KIND[obj["kind"]], obj, status)


def _is_ours(store: Store, gateway: KubeObject) -> bool:
    found = store.get(GATEWAY_CLASSES, None, gateway["spec"]["gatewayClassName"])
    return found is not None and found["spec"].get("controllerName") == _GATEWAY_CONTROLLER


def _acceptance(store: Store, route: KubeObject, reference: dict[str, Any], gateway: KubeObject) -> tuple[str, str]:
    wanted = reference.get("sectionName")
    listeners = [one for one in gateway["spec"]["listeners"] if wanted in (None, one["name"])]
    if not listeners:
        return "NoMatchingParent", "No listeners match this parent ref"
    if not any(_allows(store, gateway, listener, route) for listener in listeners):
        return "NotAllowedByListeners", "No listeners included by this parent ref allowed this attachment."
    unsupported = next(_unsupported(route), None)
    if unsupported:
        return "UnsupportedValue", unsupported
    return "Accepted", "Route is accepted"


def _allows(store: Store, gateway: KubeObject, listener: dict[str, Any], route: KubeObject) -> bool:
    allowed = listener["allowedRoutes"]["namespaces"]
    home, namespace = gateway["metadata"]["namespace"], route["metadata"]["namespace"]
    match allowed["from"]:
        case "All":
            return True
        case "Selector":
            found = store.get(NAMESPACES, None, namespace)
            labels = (found or {"metadata": {}})["metadata"].get("labels") or {}
            return selectors.matches_labels(allowed.get("selector") or {}, labels)
    return bool(home == namespace)


def _unsupported(route: KubeObject) -> Iterator[str]:
    """What this data plane does not do: said in the status rather than silently left out."""
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            if match["path"]["type"] not in ("PathPrefix", "Exact"):
                yield f"path match type {match['path']['type']} is not supported"
            for kind in ("headers", "queryParams", "method"):
                if match.get(kind):
                    yield f"{kind} matching is not supported"
        for one in rule.get("filters") or []:
            if one["type"] != "URLRewrite" or (one.get("urlRewrite") or {}).get("hostname"):
                yield f"filter {one['type']} is not supported beyond URLRewrite of the path"


def _unresolved(store: Store, route: KubeObject) -> tuple[str, str]:
    namespace = route["metadata"]["namespace"]
    for rule in route["spec"]["rules"]:
        for reference in rule.get("backendRefs") or []:
            if (reference["group"], reference["kind"]) != ("", "Service"):
                return "InvalidKind", f"Backend kind {reference['kind']} is not supported"
            found = backend(namespace, reference)
            if found.namespace != namespace:
                return "RefNotPermitted", f"Backend ref to Service {found.namespace}/{found.service} not permitted"
            if store.get(SERVICES, found.namespace, found.service) is None:
                return "BackendNotFound", f"Service {found.namespace}/{found.service} not found"
    return "ResolvedRefs", "Resolved all the Object references for the Route"


def _route_status(store: Store, route: KubeObject) -> dict[str, Any]:
    others = [
        one
        for one in (route.get("status") or {}).get("parents") or []
        if one.get("controllerName") != _GATEWAY_CONTROLLER
    ]
    before = {
        str(one["parentRef"]): one
        for one in (route.get("status") or {}).get("parents") or []
        if one.get("controllerName") == _GATEWAY_CONTROLLER
    }
    resolved = _unresolved(store, route)
    ours = [
        {
            "parentRef": parent.reference,
            "controllerName": _GATEWAY_CONTROLLER,
            "conditions": _conditions(
                route,
                before.get(str(parent.reference), {}),
                Accepted=(parent.reason, parent.message),
                ResolvedRefs=resolved,
            ),
        }
        for parent in parents(store, route)
    ]
    return {"parents": others + ours}


def _gateway_status(store: Store, gateway: KubeObject, address: str) -> dict[str, Any]:
    old = gateway.get("status") or {}
    before = {one["name"]: one for one in old.get("listeners") or []}
    attached = [
        parent.reference.get("sectionName")
        for route in store.objects(HTTP_ROUTES)
        for parent in parents(store, route)
        if parent.accepted and parent.gateway["metadata"]["uid"] == gateway["metadata"]["uid"]
    ]
    programmed = ("Programmed", f"Address assigned to the Gateway: {address}")
    listeners = [
        {
            "name": listener["name"],
            "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}],
            "attachedRoutes": sum(name in (None, listener["name"]) for name in attached),
            "conditions": _conditions(
                gateway,
                before.get(listener["name"], {}),
                Programmed=("Programmed", "Sending translated listener configuration to the data plane"),
                Accepted=("Accepted", "Listener has been successfully translated"),
                ResolvedRefs=("ResolvedRefs", "Listener references have been resolved"),
            ),
        }
        for listener in gateway["spec"]["listeners"]
    ]
    accepted = ("Accepted", "The Gateway has been scheduled by the embedded gateway")
    return {
        "addresses": [{"type": "IPAddress", "value": address}],
        "conditions": _conditions(gateway, old, Accepted=accepted, Programmed=programmed),
        "listeners": listeners,
    }


def _conditions(obj: KubeObject, old: dict[str, Any], **wanted: tuple[str, str]) -> list[dict[str, Any]]:
    """Conditions of metav1.Condition; one holds when its reason is its own name."""
    before = {one["type"]: one for one in old.get("conditions") or []}
    conditions = []
    for kind, (reason, message) in wanted.items():
        status = "True" if reason == kind else "False"
        known = before.get(kind)
        since = known["lastTransitionTime"] if known and known["status"] == status else clock.seconds()
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": obj["metadata"].get("generation", 1),
            }
        )
    return conditions
