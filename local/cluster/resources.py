"""The kinds of objects the embedded cluster stores, and how each is addressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KubeObject = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind of object: where it lives in the API and what it is called."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    # An object of these kinds is answered whole when it is deleted; of the others, a Status of success.
    returns_deleted: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name in error messages: ``pods``, ``httproutes.gateway.networking.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The URL path of the collection, or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


GATEWAY_GROUP = "gateway.networking.k8s.io"
_NETWORKING = "networking.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False, ("status",), ("ns",))
NODES = Resource("", "v1", "Node", "nodes", False, ("status",), ("no",))
PODS = Resource("", "v1", "Pod", "pods", True, ("status", "log", "eviction"), ("po",), returns_deleted=True)
SERVICES = Resource("", "v1", "Service", "services", True, ("status",), ("svc",), returns_deleted=True)
EVENTS = Resource("", "v1", "Event", "events", short_names=("ev",))
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", short_names=("cm",))
SECRETS = Resource("", "v1", "Secret", "secrets")
SERVICE_ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", short_names=("sa",), returns_deleted=True)
RESOURCE_QUOTAS = Resource("", "v1", "ResourceQuota", "resourcequotas", True, ("status",), ("quota",), True)
GATEWAY_CLASSES = Resource(GATEWAY_GROUP, "v1", "GatewayClass", "gatewayclasses", False, ("status",), ("gc",))
GATEWAYS = Resource(GATEWAY_GROUP, "v1", "Gateway", "gateways", True, ("status",), ("gtw",))
HTTP_ROUTES = Resource(GATEWAY_GROUP, "v1", "HTTPRoute", "httproutes", True, ("status",))
INGRESS_CLASSES = Resource(_NETWORKING, "v1", "IngressClass", "ingressclasses", False)
INGRESSES = Resource(_NETWORKING, "v1", "Ingress", "ingresses", True, ("status",), ("ing",))
NETWORK_POLICIES = Resource(_NETWORKING, "v1", "NetworkPolicy", "networkpolicies", short_names=("netpol",))
ROLES = Resource(_RBAC, "v1", "Role", "roles")
ROLE_BINDINGS = Resource(_RBAC, "v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES = Resource(_RBAC, "v1", "ClusterRole", "clusterroles", False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False)

ALL = (
    NAMESPACES, NODES, PODS, SERVICES, EVENTS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, RESOURCE_QUOTAS,
    GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES, INGRESS_CLASSES, INGRESSES, NETWORK_POLICIES,
    ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS,
)  # fmt: skip

_BY_PLURAL = {(r.group, r.version, r.plural): r for r in ALL}
_BY_KIND = {(r.api_version, r.kind): r for r in ALL}


def find(group: str, version: str, plural: str) -> Resource | None:
    """The resource behind a URL, or None when this cluster does not serve it."""
    return _BY_PLURAL.get((group, version, plural))


def find_kind(api_version: str, kind: str) -> Resource | None:
    """The resource behind a manifest's ``apiVersion`` and ``kind``."""
    return _BY_KIND.get((api_version, kind))
