"""Which pod a request to the gateway goes to, by HTTPRoute or by Ingress, and under which path."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.cluster import gateways, quantities
from local.cluster.gateways import Backend
from local.cluster.resources import HTTP_ROUTES, INGRESSES, PODS, SERVICES, KubeObject
from local.cluster.store import Store

_ANNOTATION = "nginx.ingress.kubernetes.io"
_INGRESS_BODY_LIMIT = "1m"
_INGRESS_READ_SECONDS = 60.0


# From the match of a path to the path that the pod is asked for.
Rewrite = Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Limits:
    """What a route puts on a request; None is no limit."""

    body_bytes: int | None = None
    read_seconds: float | None = None
    total_seconds: float | None = None


@dataclass(frozen=True)
class Rule:
    """One way to match a path, and what happens then."""

    host: str
    pattern: re.Pattern[str]
    rewrite: Rewrite | None
    backends: tuple[Backend, ...]
    limits: Limits


@dataclass(frozen=True)
class Match:
    """A request's rule, and the path that the pod is asked for."""

    rule: Rule
    path: str


class Router:
    """Finds rules and endpoints; the rules are read anew whenever one of the objects behind them changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read_at = -1
        self._rules: list[Rule] = []

    def find(self, host: str, path: str) -> Match | None:
        """The rule for a request, as a data plane would choose it: the most specific one."""
        version = self._store.last_change(gateways.WATCHED)
        if version != self._read_at:
            self._rules = [*_gateway_rules(self._store), *_ingress_rules(self._store)]
            self._read_at = version
        name = host.partition(":")[0].lower()
        for rule in self._rules:
            if _host_matches(rule.host, name):
                match = rule.pattern.match(path)
                if match:
                    return Match(rule, rule.rewrite(match) if rule.rewrite else path)
        return None

    def endpoint(self, backends: tuple[Backend, ...]) -> tuple[str, int] | None:
        """Address and port of a pod that serves, or None."""
        weighted = [backend for backend in backends if backend.weight > 0]
        if not weighted:
            return None
        backend = random.choices(weighted, [one.weight for one in weighted])[0]
        service = self._store.get(SERVICES, backend.namespace, backend.service)
        port = _service_port(service, backend.port) if service else None
        if service is None or port is None:
            return None
        ready = [pod for pod in self._store.objects(PODS, backend.namespace) if _serves(pod, service)]
        if not ready:
            return None
        pod = random.choice(ready)
        number = _pod_port(pod, port["targetPort"])
        return (pod["status"]["podIP"], number) if number else None

    def has_service(self, backends: tuple[Backend, ...]) -> bool:
        """Whether any of the services exists; the Gateway API wants a 500 when none does."""
        return any(self._store.get(SERVICES, one.namespace, one.service) for one in backends)


def _host_matches(rule: str, host: str) -> bool:
    return rule in ("", host) or (rule.startswith("*.") and host.endswith(rule[1:]) and host != rule[2:])


# -- HTTPRoute ---------------------------------------------------------------------------------------------------------


def _gateway_rules(store: Store) -> list[Rule]:
    """Exact paths first, then the longest prefix (Gateway API, HTTPRouteRule.matches)."""
    ranked = []
    for route in store.objects(HTTP_ROUTES):
        if not any(parent.accepted for parent in gateways.parents(store, route)):
            continue
        namespace = route["metadata"]["namespace"]
        for rule in route["spec"]["rules"]:
            backends = tuple(gateways.backend(namespace, one) for one in rule.get("backendRefs") or [])
            timeouts = rule.get("timeouts") or {}
            limits = Limits(total_seconds=_duration(timeouts.get("request") or timeouts.get("backendRequest")))
            for match in rule["matches"]:
                exact, value = match["path"]["type"] == "Exact", match["path"]["value"]
                prefix = value if exact else value.rstrip("/")
                pattern = re.compile(re.escape(prefix) + ("()$" if exact else "(/.*|)$"), re.DOTALL)
                rewrite = _url_rewrite(rule)
                for host in route["spec"].get("hostnames") or [""]:
                    ranked.append(((not exact, -len(prefix)), Rule(host, pattern, rewrite, backends, limits)))
    return [rule for _, rule in sorted(ranked, key=lambda one: one[0])]


def _url_rewrite(rule: dict[str, Any]) -> Rewrite | None:
    for one in rule.get("filters") or []:
        path = (one.get("urlRewrite") or {}).get("path") if one["type"] == "URLRewrite" else None
        if path and path["type"] == "ReplaceFullPath":
            return _replace_path(path["replaceFullPath"])
        if path:
            return _replace_prefix(path["replacePrefixMatch"].rstrip("/"))
    return None


def _replace_path(new: str) -> Rewrite:
    return lambda _: new


def _replace_prefix(new: str) -> Rewrite:
    return lambda match: new + match[1] or "/"


def _duration(text: str | None) -> float | None:
    """Gateway API durations: ``10s``, ``1h30m``, ``500ms``; ``0s`` is no limit."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    found = re.findall(r"(\d+)(h|ms|m|s)", text or "")
    return sum(int(number) * units[unit] for number, unit in found) or None


# -- Ingress -----------------------------------------------------------------------------------------------------------


def _ingress_rules(store: Store) -> list[Rule]:
    """As ingress-nginx: exact paths first, then the longest path."""
    served = [ingress for ingress in store.objects(INGRESSES) if gateways.is_served(store, ingress)]
    # Once one Ingress says so, all paths of its host are regular expressions, those of other Ingresses as well
    # (docs of ingress-nginx, "Ingress Path Matching").
    regular = {host for ingress in served if _is_regular(ingress) for host, *_ in _ingress_paths(ingress)}
    ranked = []
    for ingress in served:
        annotations = ingress["metadata"].get("annotations") or {}
        rewrite = annotations.get(f"{_ANNOTATION}/rewrite-target")
        limits = _ingress_limits(annotations)
        for host, path, kind, backend in _ingress_paths(ingress):
            as_regex = host in regular
            exact = kind == "Exact" and not as_regex
            pattern = _ingress_pattern(path, kind, as_regex)
            rank = (not exact, -len(path))
            target = None if rewrite is None else _nginx_rewrite(rewrite)
            ranked.append((rank, Rule(host, pattern, target, (backend,), limits)))
    return [rule for _, rule in sorted(ranked, key=lambda one: one[0])]


def _is_regular(ingress: KubeObject) -> bool:
    annotations = ingress["metadata"].get("annotations") or {}
    return f"{_ANNOTATION}/rewrite-target" in annotations or annotations.get(f"{_ANNOTATION}/use-regex") == "true"


def _ingress_paths(ingress: KubeObject) -> Iterator[tuple[str, str, str, Backend]]:
    namespace, spec = ingress["metadata"]["namespace"], ingress["spec"]
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            found = gateways.ingress_backend(namespace, path["backend"])
            yield rule.get("host", ""), path.get("path", "/"), path["pathType"], found
    if spec.get("defaultBackend"):
        yield "", "/", "Prefix", gateways.ingress_backend(namespace, spec["defaultBackend"])


def _ingress_pattern(path: str, kind: str, as_regex: bool) -> re.Pattern[str]:
    if as_regex:
        # nginx: location ~* "^<path>"
        return re.compile(path, re.IGNORECASE | re.DOTALL)
    if kind == "Exact":
        return re.compile(re.escape(path) + "$")
    if kind == "Prefix":
        return re.compile(re.escape(path.rstrip("/")) + "(/|$)")
    return re.compile(re.escape(path))


def _nginx_rewrite(template: str) -> Rewrite:
    """``$1`` … ``$9`` stand for what the path's groups have matched."""

    def rewrite(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            number = int(reference[1])
            return (match[number] or "") if number <= match.re.groups else ""

        return re.sub(r"\$(\d)", group, template) or "/"

    return rewrite


def _ingress_limits(annotations: dict[str, str]) -> Limits:
    size = annotations.get(f"{_ANNOTATION}/proxy-body-size", _INGRESS_BODY_LIMIT).lower()
    # nginx counts in 1024s: 8k, 1m, 2g.
    body = int(quantities.parse(re.sub(r"[kmg]$", lambda unit: unit[0].upper() + "i", size)))
    seconds = float(annotations.get(f"{_ANNOTATION}/proxy-read-timeout", _INGRESS_READ_SECONDS))
    return Limits(body_bytes=body or None, read_seconds=seconds)


# -- endpoints ---------------------------------------------------------------------------------------------------------


def _serves(pod: KubeObject, service: KubeObject) -> bool:
    """As the endpoint slice controller: ready pods, or all that have not ended where the service says so."""
    selector, labels = service["spec"].get("selector") or {}, pod["metadata"].get("labels") or {}
    selected = bool(selector) and all(labels.get(key) == value for key, value in selector.items())
    if not selected or "podIP" not in pod["status"] or pod["status"]["phase"] in ("Succeeded", "Failed"):
        return False
    if service["spec"].get("publishNotReadyAddresses"):
        return True
    conditions = pod["status"].get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _service_port(service: KubeObject, port: int | str) -> dict[str, Any] | None:
    ports = service["spec"].get("ports") or []
    return next((one for one in ports if port in (one["port"], one.get("name"))), None)


def _pod_port(pod: KubeObject, target: int | str) -> int | None:
    if isinstance(target, int):
        return target
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or [])
    return next((port["containerPort"] for port in ports if port.get("name") == target), None)
