"""Which objects are refused as invalid (422), and with which sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from local.cluster import errors, quantities, resources
from local.cluster.errors import Cause, forbidden_field, invalid_value, required, unsupported
from local.cluster.resources import KubeObject, Resource

_LABEL_FORM = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORM = rf"{_LABEL_FORM}(\.{_LABEL_FORM})*"
_SERVICE_FORM = "[a-z]([-a-z0-9]*[a-z0-9])?"
_VALUE_FORM = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_KEY_FORM = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_FORM}')"
)
_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_FORM}')"
)
_SERVICE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    f"and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_SERVICE_FORM}')"
)
_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE_FORM}')"
)
_LABEL_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_KEY_FORM}')"
)

# Roles and their like may be called anything that fits in a path segment ("system:masters").
_PATH_SEGMENT_NAMES = frozenset(
    {resources.ROLES, resources.ROLE_BINDINGS, resources.CLUSTER_ROLES, resources.CLUSTER_ROLE_BINDINGS}
)


def check(resource: Resource, obj: KubeObject) -> None:
    """Raise 422 Invalid with all that is wrong with the object, or return."""
    causes = [*_metadata(resource, obj["metadata"])]
    specific = _SPECIFIC.get(resource)
    if specific is not None:
        causes += specific(obj)
    if causes:
        raise errors.invalid(resource, obj["metadata"].get("name", ""), causes)


def _metadata(resource: Resource, metadata: dict[str, Any]) -> Iterator[Cause]:
    name = metadata.get("name") or ""
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name(resource, name)
    for key, value in (metadata.get("labels") or {}).items():
        yield from _label("metadata.labels", key, value)
    for index, owner in enumerate(metadata.get("ownerReferences") or []):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                detail = "version must not be empty" if field == "apiVersion" else f"{field} must not be empty"
                yield invalid_value(f"metadata.ownerReferences[{index}].{field}", owner.get(field, ""), detail)


def _name(resource: Resource, name: str) -> Iterator[Cause]:
    if resource in _PATH_SEGMENT_NAMES:
        if "/" in name or "%" in name or name in (".", ".."):
            yield invalid_value("metadata.name", name, "may not contain '/' or '%'")
        return
    if resource is resources.SERVICES:
        longest, form, sentence = 63, _SERVICE_FORM, _SERVICE
    elif resource is resources.NAMESPACES:
        longest, form, sentence = 63, _LABEL_FORM, _LABEL
    else:
        longest, form, sentence = 253, _SUBDOMAIN_FORM, _SUBDOMAIN
    if len(name) > longest:
        yield invalid_value("metadata.name", name, f"must be no more than {longest} characters")
    if not re.fullmatch(form, name):
        yield invalid_value("metadata.name", name, sentence)


def _label(field: str, key: str, value: Any) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if not re.fullmatch(_KEY_FORM, name) or len(name) > 63:
        yield invalid_value(field, key, _LABEL_KEY)
    if slash and not re.fullmatch(_SUBDOMAIN_FORM, prefix):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN}")
    if not isinstance(value, str):
        raise errors.bad_request(f"cannot unmarshal {type(value).__name__} into {field} of type string")
    if len(value) > 63:
        yield invalid_value(field, value, "must be no more than 63 characters")
    if not re.fullmatch(_VALUE_FORM, value):
        yield invalid_value(field, value, _LABEL_VALUE)


def _pod(pod: KubeObject) -> Iterator[Cause]:
    spec = pod["spec"]
    if not spec.get("containers"):
        yield required("spec.containers")
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], ("Always", "OnFailure", "Never"))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        detail = "must be between 1 and 2147483647, inclusive"
        yield invalid_value("spec.activeDeadlineSeconds", deadline, detail)
    names = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            field = f"spec.{kind}[{index}]"
            yield from _container(field, container)
            if container.get("name") in names:
                yield errors.duplicate(f"{field}.name", container["name"])
            names.add(container.get("name"))
            policy = container.get("restartPolicy")
            if policy is not None and (policy != "Always" or kind == "containers"):
                # Only the beginning of newer rules (per-container restarts) that nobody here needs.
                yield forbidden_field(f"{field}.restartPolicy", "may only be Always, and only of an init container")


def _container(field: str, container: dict[str, Any]) -> Iterator[Cause]:
    name = container.get("name")
    if not name:
        yield required(f"{field}.name")
    elif not re.fullmatch(_LABEL_FORM, name):
        yield invalid_value(f"{field}.name", name, _LABEL)
    if not container.get("image"):
        yield required(f"{field}.image")
    if container["imagePullPolicy"] not in ("Always", "IfNotPresent", "Never"):
        supported = ("Always", "IfNotPresent", "Never")
        yield unsupported(f"{field}.imagePullPolicy", container["imagePullPolicy"], supported)
    for index, port in enumerate(container.get("ports") or []):
        yield from _port(f"{field}.ports[{index}].containerPort", port.get("containerPort"))
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe and not any(handler in probe for handler in ("exec", "httpGet", "tcpSocket")):
            yield required(f"{field}.{kind}", "must specify a handler type")
    yield from _resources(f"{field}.resources", container["resources"])


def _resources(field: str, amounts: dict[str, Any]) -> Iterator[Cause]:
    values = {}
    for kind in ("limits", "requests"):
        for name, quantity in (amounts.get(kind) or {}).items():
            try:
                values[kind, name] = quantities.parse(quantity)
            except ValueError as error:
                raise errors.bad_request(f"unable to parse quantity's suffix of {field}.{kind}: {error}") from error
            if values[kind, name] < 0:
                yield invalid_value(f"{field}.{kind}[{name}]", str(quantity), "must be greater than or equal to 0")
    for (kind, name), value in values.items():
        limit = values.get(("limits", name))
        if kind == "requests" and limit is not None and value > limit:
            detail = f"must be less than or equal to {name} limit of {amounts['limits'][name]}"
            yield invalid_value(f"{field}.requests", str(amounts["requests"][name]), detail)


def _port(field: str, port: Any) -> Iterator[Cause]:
    if port is None:
        yield required(field)
    elif not isinstance(port, int) or not 1 <= port <= 65535:
        yield invalid_value(field, port, "must be between 1 and 65535, inclusive")


def _service(service: KubeObject) -> Iterator[Cause]:
    spec = service["spec"]
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    for index, port in enumerate(spec.get("ports") or []):
        yield from _port(f"spec.ports[{index}].port", port.get("port"))
    for key, value in (spec.get("selector") or {}).items():
        yield from _label("spec.selector", key, value)


def _ingress(ingress: KubeObject) -> Iterator[Cause]:
    spec = ingress["spec"]
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid_value("spec", spec, "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or []):
        for position, path in enumerate((rule.get("http") or {}).get("paths") or []):
            field = f"spec.rules[{index}].http.paths[{position}]"
            kinds = ("Exact", "ImplementationSpecific", "Prefix")
            if not path.get("pathType"):
                yield required(f"{field}.pathType", "pathType must be specified")
            elif path["pathType"] not in kinds:
                yield unsupported(f"{field}.pathType", path["pathType"], kinds)
            elif path["pathType"] != "ImplementationSpecific" and not path.get("path", "").startswith("/"):
                yield invalid_value(f"{field}.path", path.get("path", ""), "must be an absolute path")
            if not (path.get("backend") or {}).get("service"):
                yield required(f"{field}.backend", "resource or service backend is required")


def _http_route(route: KubeObject) -> Iterator[Cause]:
    for index, rule in enumerate(route["spec"]["rules"]):
        for position, match in enumerate(rule["matches"]):
            path = match["path"]
            if path["type"] != "RegularExpression" and not path["value"].startswith("/"):
                field = f"spec.rules[{index}].matches[{position}].path"
                detail = "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']"
                yield invalid_value(field, path["value"], detail)
        for position, backend in enumerate(rule.get("backendRefs") or []):
            if backend["kind"] == "Service" and "port" not in backend:
                field = f"spec.rules[{index}].backendRefs[{position}]"
                yield invalid_value(field, backend["name"], "Must have port for Service reference")


def _gateway(gateway: KubeObject) -> Iterator[Cause]:
    if not gateway["spec"].get("gatewayClassName"):
        yield required("spec.gatewayClassName")
    if not gateway["spec"].get("listeners"):
        yield required("spec.listeners")


_SPECIFIC = {
    resources.PODS: _pod,
    resources.SERVICES: _service,
    resources.INGRESSES: _ingress,
    resources.HTTP_ROUTES: _http_route,
    resources.GATEWAYS: _gateway,
}
