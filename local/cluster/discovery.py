"""What the API server says of itself: version, health, and the kinds it serves (which ``kubectl`` asks for)."""

from __future__ import annotations

import platform
from typing import Any

from aiohttp import web

from local.cluster import resources
from local.cluster.resources import Resource

VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0+embedded",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-04-23T00:00:00Z",
    "goVersion": "",
    "compiler": platform.python_implementation().lower(),
    "platform": "linux/amd64",
}

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def routes() -> list[web.RouteDef]:
    """Answered to anybody, as ``system:public-info-viewer`` and ``system:discovery`` allow it in a real cluster."""
    found = [web.get(path, _healthy) for path in ("/healthz", "/livez", "/readyz")]
    found.append(web.get("/version", _document(VERSION)))
    found.append(web.get("/api", _document({"kind": "APIVersions", "versions": ["v1"]})))
    versions = sorted({one.api_version for one in resources.ALL})
    paths = {version: f"apis/{version}" if "/" in version else f"api/{version}" for version in versions}
    groups = [_group(one) for one in versions if "/" in one]
    found.append(web.get("/apis", _document({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
    for version, path in paths.items():
        found.append(web.get(f"/{path}", _document(_resource_list(version))))
        found.append(web.get(f"/openapi/v3/{path}", _document(_openapi(version))))
    schemas = {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths.values()}
    found.append(web.get("/openapi/v3", _document({"paths": schemas})))
    return found


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _document(body: dict[str, Any]) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


def _group(api_version: str) -> dict[str, Any]:
    group, _, version = api_version.partition("/")
    preferred = {"groupVersion": api_version, "version": version}
    return {"name": group, "versions": [preferred], "preferredVersion": preferred}


def _resource_list(api_version: str) -> dict[str, Any]:
    served = [one for one in resources.ALL if one.api_version == api_version]
    entries = [entry for one in served for entry in _entries(one)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": entries}


def _openapi(api_version: str) -> dict[str, Any]:
    """Just enough for ``kubectl apply``, which asks whether the server checks fields itself."""
    group, _, version = api_version.rpartition("/")
    parameters = [{"name": "fieldValidation", "in": "query"}]
    paths = {
        one.path("{namespace}", "{name}"): {
            "patch": {
                "parameters": parameters,
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": one.kind},
            }
        }
        for one in resources.ALL
        if one.api_version == api_version
    }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]}, "paths": paths}


def _entries(resource: Resource) -> list[dict[str, Any]]:
    common = {"namespaced": resource.namespaced, "kind": resource.kind}
    singular = resource.kind.lower()
    names = {"name": resource.plural, "singularName": singular, "shortNames": list(resource.short_names)}
    entries = [common | names | {"verbs": _VERBS}]
    for subresource in resource.subresources:
        verbs = {"log": ["get"], "eviction": ["create"]}.get(subresource, ["get", "patch", "update"])
        entries.append(common | {"name": f"{resource.plural}/{subresource}", "singularName": "", "verbs": verbs})
    return entries
