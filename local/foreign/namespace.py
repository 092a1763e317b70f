"""The namespace of its own that a stack has in a cluster of yours: made from cluster/, and removed with the stack.

It is on record before it is made: whatever ends a stack, `make down` (or the next one that is started) finds it.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from local.cluster import apply
from local.foreign import RECORD, Foreign
from local.foreign.api import Api
from local.processes import StackFailed

_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
_REMOVAL_SECONDS, _ADDRESS_SECONDS = 120.0, 60.0


def check(foreign: Foreign, api: Api) -> None:
    """Look whether the cluster has what is needed, before anything is made.

    Raises
    ------
    StackFailed
        With what is missing.
    """
    for verb, resource in (("impersonate", "users"), ("impersonate", "groups"), ("create", "namespaces")):
        if not api.may(verb, resource):
            raise StackFailed(
                f"The user of the context {foreign.context} may not {verb} {resource}: an administrator of the cluster may."
            )
    if foreign.route == "gateway":
        gateway_class(foreign, api)
    if foreign.route == "ingress" and api.get("/apis/networking.k8s.io/v1/ingressclasses/nginx") is None:
        raise StackFailed("The cluster has no IngressClass nginx: install ingress-nginx, or name another ROUTE=….")


def gateway_class(foreign: Foreign, api: Api) -> str:
    """The GatewayClass to be used: that of cluster/ if it is there, else the only one."""
    listed = api.get(f"{_GATEWAY_API}/gatewayclasses")
    names = [one["metadata"]["name"] for one in (listed or {}).get("items", [])]
    wanted = next(o["spec"]["gatewayClassName"] for o in _objects(foreign, "any") if o["kind"] == "Gateway")
    if wanted in names:
        return str(wanted)
    if len(names) == 1:
        return str(names[0])
    raise StackFailed(
        f"ROUTE=gateway needs the Gateway API and a GatewayClass {wanted}, or any single one; the cluster has "
        f"{', '.join(names) or 'none'}. Install a data plane, such as Envoy Gateway, or name another ROUTE=…."
    )


def create(foreign: Foreign, api: Api, state: Path) -> str:
    """Apply cluster/ to a namespace of its own, or again to the one that there is; its name.

    Raises
    ------
    StackFailed
        The cluster has refused an object.
    """
    record = state / RECORD
    known = json.loads(record.read_text()) if record.exists() else {}
    name = known.get("namespace") or f"dropscore-{secrets.token_hex(4)}"
    known = {"kubeconfig": foreign.kubeconfig, "context": foreign.context, "namespace": name}
    record.write_text(json.dumps(known))
    objects = _objects(foreign, name)
    for obj in objects:
        if obj["kind"] == "Gateway":
            obj["spec"]["gatewayClassName"] = gateway_class(foreign, api)
    try:
        apply.apply_objects(objects, api.send)
    except apply.ApplyFailed as failure:
        raise StackFailed(
            f"cluster/ cannot be applied to the cluster of the context {foreign.context}: {failure}"
        ) from failure
    return str(name)


def remove(state: Path) -> None:
    """Remove the namespace that is on record, and wait until it is gone.

    Raises
    ------
    StackFailed
        It is still there; the message says how it is removed.
    """
    record = state / RECORD
    known = json.loads(record.read_text())
    name, path = known["namespace"], f"/api/v1/namespaces/{known['namespace']}"
    try:
        api = Api(Foreign(known["kubeconfig"], known["context"]))
        deadline = time.monotonic() + _REMOVAL_SECONDS
        status, answer = api.send("DELETE", path)
        if status >= 400 and status != 404:
            raise StackFailed(str(answer.get("message")))
        while status != 404 and api.get(path) is not None:
            if time.monotonic() > deadline:
                raise StackFailed(f"It was still ending after {_REMOVAL_SECONDS:.0f} seconds.")
            time.sleep(0.5)
    except StackFailed as failure:
        raise StackFailed(
            f"The namespace {name} may be left in the cluster of the context {known['context']}: {failure} Run `make down` "
            f"again, or `kubectl --context {known['context']} delete namespace {name}`."
        ) from failure
    record.unlink()


def url(foreign: Foreign, api: Api, namespace: str) -> str:
    """Where models are reached, once something answers there: as it was said, or as the Gateway says; empty with pod_ip.

    Raises
    ------
    StackFailed
        Nobody says where, or nothing answers.
    """
    if foreign.route == "pod_ip":
        return ""
    deadline = time.monotonic() + _ADDRESS_SECONDS
    while True:
        found = foreign.url or _address(api, namespace)
        if found and _answers(found):
            return found
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    where = f"Nothing answers at {found}" if found else "The Gateway has got no address"
    raise StackFailed(
        f"{where} within {_ADDRESS_SECONDS:.0f} seconds: say by URL=… where the {foreign.route} is reached from this machine."
    )


def _address(api: Api, namespace: str) -> str:
    gateway = api.get(f"{_GATEWAY_API}/namespaces/{namespace}/gateways/dropscore") or {}
    addresses = gateway.get("status", {}).get("addresses") or ()
    return next((f"http://{address['value']}" for address in addresses), "")


def _answers(address: str) -> bool:
    """Whether a server answers, whatever it says: there is no route yet."""
    try:
        urllib3.request("GET", address, timeout=5.0, retries=False, preload_content=False).close()
    except HTTPError:
        return False
    return True


def _objects(foreign: Foreign, namespace: str) -> list[dict[str, Any]]:
    without = () if foreign.route == "gateway" else ("gateway.yaml",)
    return apply.objects(Path(__file__).parents[2] / "cluster", namespace, without)
