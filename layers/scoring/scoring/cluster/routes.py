"""How a pod is reached: one builder for each kind of route, and the URL that follows from it.

A ready pod is not a routed pod: the data plane learns of the route in its own time, so the model's ping is asked for
through the route before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring.cluster.api import namespace_path
from scoring.settings import ClusterSettings

SERVICE_PORT = 80

# What the nginx family needs: strip the prefix, take bodies of any size without buffering, wait for a slow model.
_NGINX = "nginx.ingress.kubernetes.io"
_INGRESS_DEFAULTS: dict[str, Any] = {
    "class_name": "nginx",
    "path": "/{name}(/|$)(.*)",
    "path_type": "ImplementationSpecific",
    "annotations": {
        f"{_NGINX}/use-regex": "true",
        f"{_NGINX}/rewrite-target": "/$2",
        f"{_NGINX}/proxy-body-size": "0",
        f"{_NGINX}/proxy-request-buffering": "off",
        f"{_NGINX}/proxy-buffering": "off",
        f"{_NGINX}/proxy-read-timeout": "{scoring_seconds}",
        f"{_NGINX}/proxy-send-timeout": "{scoring_seconds}",
    },
}


def path(route: str, namespace: str) -> str:
    """The API path of the objects of a kind of route."""
    if route == "gateway":
        return namespace_path(namespace, "gateway.networking.k8s.io") + "/httproutes"
    return namespace_path(namespace, "networking.k8s.io") + "/ingresses"


def manifest(
    name: str,
    labels: Mapping[str, str],
    owner: Mapping[str, Any],
    cluster: ClusterSettings,
    request: Mapping[str, Any],
) -> dict[str, Any]:
    """The route object of an attempt: `/<name>/…` on the cluster's gateway or ingress, to the pod's `/…`."""
    metadata = {"name": name, "labels": dict(labels), "ownerReferences": [dict(owner)]}
    if cluster.route == "gateway":
        return _http_route(name, metadata, cluster)
    return _ingress(name, metadata, cluster, request["deadlines"])


def _http_route(name: str, metadata: dict[str, Any], cluster: ClusterSettings) -> dict[str, Any]:
    gateway = {"name": "dropscore", "namespace": cluster.namespaces[0], **cluster.gateway}
    rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {
            "parentRefs": [gateway],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
                    "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}],
                    "backendRefs": [{"name": name, "port": SERVICE_PORT}],
                    # No time-out of the gateway's own: how long a model may take is the request's deadline.
                    "timeouts": {"request": "0s"},
                }
            ],
        },
    }


def _ingress(
    name: str, metadata: dict[str, Any], cluster: ClusterSettings, deadlines: Mapping[str, int]
) -> dict[str, Any]:
    ingress = {**_INGRESS_DEFAULTS, **cluster.ingress}
    fill = {"name": name, "scoring_seconds": str(deadlines["scoring_seconds"])}

    def filled(template: str) -> str:
        for field, value in fill.items():
            template = template.replace("{" + field + "}", value)
        return template

    annotations = {key: filled(str(value)) for key, value in ingress["annotations"].items()}
    backend = {"service": {"name": name, "port": {"number": SERVICE_PORT}}}
    rule_path = {"path": filled(ingress["path"]), "pathType": ingress["path_type"], "backend": backend}
    rule = {"host": ingress["host"]} if ingress.get("host") else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata | {"annotations": annotations},
        "spec": {"ingressClassName": ingress["class_name"], "rules": [rule | {"http": {"paths": [rule_path]}}]},
    }


def said(route: Mapping[str, Any]) -> str:
    """What the status of a route object says, in words: whether its gateway or ingress controller has taken it up."""
    status = route.get("status") or {}
    if route.get("kind") == "Ingress":
        taken = bool((status.get("loadBalancer") or {}).get("ingress"))
        return "" if taken else "No ingress controller has given the Ingress an address (status.loadBalancer is empty)."
    conditions = [condition for parent in status.get("parents") or () for condition in parent.get("conditions") or ()]
    if not conditions:
        return "No gateway has taken up the HTTPRoute: its status has no condition."
    amiss = [condition for condition in conditions if condition.get("status") != "True"]
    told = [
        f"{one.get('type')} is {one.get('status')} ({one.get('reason')}: {one.get('message', '')})" for one in amiss
    ]
    return f"The gateway says of the HTTPRoute: {'; '.join(told) or 'accepted'}."


def url(cluster: ClusterSettings, name: str, pod: Mapping[str, Any], port: int) -> str:
    """The address of the model, without a slash at its end."""
    if cluster.route == "pod_ip":
        address = pod["status"]["podIP"]
        return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    return f"{cluster.url}/{name}"
