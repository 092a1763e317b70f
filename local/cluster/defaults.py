"""What a real API server fills in when a manifest leaves it out."""

from __future__ import annotations

import itertools
from typing import Any

from local.cluster import podspec, resources
from local.cluster.resources import GATEWAY_GROUP, KubeObject, Resource

_service_ips = itertools.count(10)


def apply(resource: Resource, obj: KubeObject) -> None:
    """Fill in the defaults of a new object, in place. Safe on an object that is not valid: it is checked afterwards."""
    fill = _DEFAULTS.get(resource)
    if fill is not None:
        fill(obj)


def _pod(pod: KubeObject) -> None:
    spec = pod["spec"]
    _set(
        spec,
        dnsPolicy="ClusterFirst",
        enableServiceLinks=True,
        preemptionPolicy="PreemptLowerPriority",
        priority=0,
        restartPolicy="Always",
        schedulerName="default-scheduler",
        securityContext={},
        terminationGracePeriodSeconds=30,
    )
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") == key for one in tolerations):
            tolerations.append({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300})
    for container in podspec.all_containers(spec):
        _container(container)
    pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}


def _container(container: dict[str, Any]) -> None:
    image = container.get("image") or ""
    tag = image.rpartition("/")[2].partition(":")[2]
    always = "@" not in image and tag in ("", "latest")
    _set(
        container,
        imagePullPolicy="Always" if always else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or []:
        _set(port, protocol="TCP")
    for variable in container.get("env") or []:
        field = (variable.get("valueFrom") or {}).get("fieldRef")
        if field:
            _set(field, apiVersion="v1")
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe:
            _set(probe, failureThreshold=3, periodSeconds=10, successThreshold=1, timeoutSeconds=1)
            if "httpGet" in probe:
                _set(probe["httpGet"], path="/", scheme="HTTP")
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, quantity in limits.items():
            requests.setdefault(name, quantity)


def quality_of_service(spec: dict[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from the cpu and memory of the containers."""
    amounts = []
    for container in podspec.all_containers(spec):
        requests, limits = (container["resources"].get(kind) or {} for kind in ("requests", "limits"))
        amounts += [(requests.get(name), limits.get(name)) for name in ("cpu", "memory")]
    if not any(request or limit for request, limit in amounts):
        return "BestEffort"
    return "Guaranteed" if all(limit and request == limit for request, limit in amounts) else "Burstable"


def _service(service: KubeObject) -> None:
    spec = service["spec"]
    _set(spec, internalTrafficPolicy="Cluster", sessionAffinity="None", type="ClusterIP")
    if spec["type"] != "ExternalName":
        if "clusterIP" not in spec:
            # Nothing answers at this address: the gateway goes to the pods themselves.
            number = next(_service_ips)
            spec["clusterIP"] = f"10.96.{number // 256 % 256}.{number % 256}"
        _set(spec, clusterIPs=[spec["clusterIP"]], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    for port in spec.get("ports") or []:
        _set(port, protocol="TCP")
        if "port" in port:
            _set(port, targetPort=port["port"])
    service["status"] = {"loadBalancer": {}}


def _namespace(namespace: KubeObject) -> None:
    metadata = namespace["metadata"]
    metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}


def _ingress(ingress: KubeObject) -> None:
    ingress["status"] = {"loadBalancer": {}}


def _http_route(route: KubeObject) -> None:
    spec = route["spec"]
    for parent in spec.get("parentRefs") or []:
        _set(parent, group=GATEWAY_GROUP, kind="Gateway")
    for rule in spec.setdefault("rules", [{}]):
        for match in rule.setdefault("matches", [{}]):
            _set(match, path={})
            _set(match["path"], type="PathPrefix", value="/")
        for backend in rule.get("backendRefs") or []:
            _set(backend, group="", kind="Service", weight=1)


def _gateway(gateway: KubeObject) -> None:
    for listener in gateway["spec"].get("listeners") or []:
        _set(listener, allowedRoutes={})
        _set(listener["allowedRoutes"], namespaces={})
        _set(listener["allowedRoutes"]["namespaces"], **{"from": "Same"})


def _set(target: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        target.setdefault(name, value)


_DEFAULTS = {
    resources.PODS: _pod,
    resources.SERVICES: _service,
    resources.NAMESPACES: _namespace,
    resources.INGRESSES: _ingress,
    resources.HTTP_ROUTES: _http_route,
    resources.GATEWAYS: _gateway,
}
