"""The Kubernetes API over HTTP: one generic handler for every kind of object."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import yaml
from aiohttp import web

from local.cluster import (
    access_reviews,
    admission,
    auth,
    deletion,
    discovery,
    errors,
    patching,
    resources,
    selectors,
    validation,
    watch,
)
from local.cluster.auth import Access, Authenticator
from local.cluster.deletion import DeleteOptions
from local.cluster.errors import ApiError
from local.cluster.query import flag
from local.cluster.resources import GATEWAY_GROUP, PODS, KubeObject, Resource
from local.cluster.store import Store

_log = logging.getLogger(__name__)

# The largest request body a real API server takes is 3 MiB.
_MAX_BODY = 3 * 2**20

# pods/log, answered by the kubelet.
LogReader = Callable[[web.Request, KubeObject], Awaitable[web.StreamResponse]]


class Api:
    """Routes requests to the store, as the user who sends them."""

    def __init__(self, store: Store, authenticator: Authenticator, read_log: LogReader) -> None:
        self._store = store
        self._authenticator = authenticator
        self._read_log = read_log

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._answer_errors], client_max_size=_MAX_BODY)
        app.add_routes(discovery.routes())
        app.router.add_post(access_reviews.PATH, self._review_access)
        for root in ("/api/{version}", "/apis/{group}/{version}"):
            # The longer form first: "namespaces" is both a scope and a kind of its own, which has a status.
            for scope in ("/namespaces/{namespace}", ""):
                collection = f"{root}{scope}/{{plural:(?!status$)[^/]+}}"
                app.router.add_route("*", collection, self._handle)
                app.router.add_route("*", f"{collection}/{{name}}", self._handle)
                app.router.add_route("*", f"{collection}/{{name}}/{{subresource}}", self._handle)
        return app

    @web.middleware
    async def _answer_errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return _json(error.status(), error.code)
        except web.HTTPNotFound:
            return _json(errors.no_such_path().status(), 404)
        except web.HTTPMethodNotAllowed:
            return _json(errors.method_not_allowed().status(), 405)
        except web.HTTPRequestEntityTooLarge:
            too_large = ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {_MAX_BODY}")
            return _json(too_large.status(), 413)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # noqa: BLE001  # whatever it is, clients expect a Status, and the log gets the rest
            _log.exception("%s %s", request.method, request.path_qs)
            return _json(ApiError(500, "InternalError", "Internal error occurred").status(), 500)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        user = await self._authenticator.authenticate(request)
        access = _access(request)
        auth.authorize(self._store, user, access)
        if request.query.get("dryRun"):
            raise errors.bad_request("the embedded cluster has no dry run: it would do what was asked")
        match access:
            case Access(verb="create", subresource=None):
                manifest = await _body(request)
                return _json(admission.create(self._store, access.resource, access.namespace, manifest), 201)
            case Access(verb="list"):
                return self._list(request, access)
            case Access(verb="watch"):
                matches = _selection(request, access)
                return await watch.stream(request, self._store, access.resource, access.namespace, matches)
            case Access(verb="deletecollection"):
                return await self._delete_collection(request, access)
            case Access(verb="get", subresource="log"):
                return await self._read_log(request, self._existing(access))
            case Access(verb="get"):
                return _json(self._existing(access))
            case Access(verb="create", subresource="eviction"):
                return await self._evict(request, access)
            case Access(verb="delete"):
                return await self._delete(request, access)
            case Access(verb="update" | "patch", subresource=None | "status"):
                return await self._change(request, access)
        raise errors.method_not_allowed()

    async def _review_access(self, request: web.Request) -> web.Response:
        user = await self._authenticator.authenticate(request)
        return _json(access_reviews.answer(self._store, user, await _body(request)), 201)

    def _existing(self, access: Access) -> KubeObject:
        obj = self._store.get(access.resource, access.namespace, access.name or "")
        if obj is None:
            raise errors.not_found(access.resource, access.name or "")
        return obj

    def _list(self, request: web.Request, access: Access) -> web.Response:
        matches = _selection(request, access)
        found = [obj for obj in self._store.objects(access.resource, access.namespace) if matches(obj)]
        return _json(_list_of(access.resource, found, self._store.version))

    async def _delete(self, request: web.Request, access: Access) -> web.Response:
        options = DeleteOptions.parse(await _body(request), dict(request.query))
        obj = deletion.delete(self._store, access.resource, access.namespace, access.name or "", options)
        if access.resource.returns_deleted or obj["metadata"].get("deletionTimestamp"):
            return _json(obj)
        details: dict[str, Any] = {"name": access.name, "kind": access.resource.plural, "uid": obj["metadata"]["uid"]}
        if access.resource.group:
            details["group"] = access.resource.group
        return _json(_success(details))

    async def _delete_collection(self, request: web.Request, access: Access) -> web.Response:
        matches = _selection(request, access)
        options = DeleteOptions.parse(await _body(request), dict(request.query))
        found = [obj for obj in self._store.objects(access.resource, access.namespace) if matches(obj)]
        deleted = [
            deletion.delete(
                self._store, access.resource, obj["metadata"].get("namespace"), obj["metadata"]["name"], options
            )
            for obj in found
        ]
        return _json(_list_of(access.resource, deleted, self._store.version))

    async def _evict(self, request: web.Request, access: Access) -> web.Response:
        """The eviction API: mark the pod as disrupted, then delete it gracefully."""
        options = DeleteOptions.parse((await _body(request)).get("deleteOptions") or {}, {})
        pod = self._existing(access)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }

        def mark(new: KubeObject) -> None:
            others = [one for one in new["status"].get("conditions") or [] if one["type"] != condition["type"]]
            new["status"]["conditions"] = [*others, condition]

        self._store.update(PODS, access.namespace, pod["metadata"]["name"], mark)
        deletion.delete(self._store, PODS, access.namespace, pod["metadata"]["name"], options)
        return _json(_success(None), 201)

    async def _change(self, request: web.Request, access: Access) -> web.Response:
        """PUT and PATCH. Each keeps to its half of the object: the status, or everything else."""
        old = self._existing(access)
        body = await _body(request)
        new = patching.apply(request.content_type, body, old) if access.verb == "patch" else body
        _require_same_object(access, old, new)
        if access.subresource == "status":
            new = old | {"status": new.get("status") or {}}
        else:
            kept = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion")
            metadata = {key: value for key, value in new["metadata"].items() if key not in kept}
            metadata |= {key: value for key, value in old["metadata"].items() if key in kept}
            new = new | {"kind": old["kind"], "apiVersion": old["apiVersion"], "metadata": metadata}
            if "status" in old:
                new["status"] = old["status"]
            if access.resource is PODS:
                _require_unchanged_pod(old, new)
            validation.check(access.resource, new)
            if "generation" in old["metadata"]:
                changed = new.get("spec") != old.get("spec")
                metadata["generation"] = old["metadata"]["generation"] + (1 if changed else 0)

        def replace(target: KubeObject) -> None:
            target.clear()
            target.update(new)

        updated = self._store.update(access.resource, access.namespace, access.name or "", replace) or old
        deletion.finish(self._store, access.resource, updated)
        return _json(updated)


def _access(request: web.Request) -> Access:
    """The request in RBAC's terms; 404 for a path this cluster does not serve."""
    path = request.match_info
    namespace, plural, name, subresource = (path.get(key) for key in ("namespace", "plural", "name", "subresource"))
    resource = resources.find(path.get("group", ""), path["version"], plural or "")
    if resource is None:
        raise errors.no_such_path()
    if namespace and not resource.namespaced:
        raise errors.no_such_path()
    if subresource and subresource not in resource.subresources:
        raise errors.no_such_path()
    verbs = {
        "GET": "get" if name else "watch" if flag(request.query, "watch") else "list",
        "POST": "create" if not name or subresource else None,
        "PUT": "update" if name else None,
        "PATCH": "patch" if name else None,
        "DELETE": ("delete" if not subresource else None) if name else "deletecollection",
    }
    verb = verbs.get(request.method)
    if verb is None or (resource.namespaced and not namespace and verb not in ("list", "watch")):
        raise errors.method_not_allowed()
    return Access(verb, resource, namespace, name, subresource)


def _selection(request: web.Request, access: Access) -> selectors.Predicate:
    by_labels = selectors.by_labels(request.query.get("labelSelector", ""))
    by_fields = selectors.by_fields(access.resource, request.query.get("fieldSelector", ""))
    return lambda obj: by_labels(obj) and by_fields(obj)


async def _body(request: web.Request) -> Any:
    if request.method == "PATCH":
        patching.check_type(request.content_type)
    elif request.content_type == "application/vnd.kubernetes.protobuf":
        raise errors.unsupported_media_type("the embedded cluster reads JSON and YAML, not protobuf")
    text = await request.read()
    if not text:
        return {}
    try:
        body = yaml.safe_load(text) if request.content_type == "application/yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(f"the object provided is unrecognized: {error}") from error
    if not isinstance(body, dict) and request.method != "PATCH":
        raise errors.bad_request("the object provided is unrecognized: it is not an object")
    return body


def _require_same_object(access: Access, old: KubeObject, new: KubeObject) -> None:
    metadata = new.setdefault("metadata", {})
    if metadata.get("name") != access.name:
        raise errors.bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({access.name})"
        )
    version = metadata.get("resourceVersion")
    if version and version != old["metadata"]["resourceVersion"]:
        detail = "the object has been modified; please apply your changes to the latest version and try again"
        raise errors.conflict(access.resource, access.name or "", detail)


def _require_unchanged_pod(old: KubeObject, new: KubeObject) -> None:
    gates, left = ((pod.get("spec", {}).get("schedulingGates") or []) for pod in (old, new))
    loses_gates = all(gate in gates for gate in left)

    def fixed(pod: KubeObject) -> dict[str, Any]:
        changeable = {"activeDeadlineSeconds"} | ({"schedulingGates"} if loses_gates else set())
        spec = {key: value for key, value in pod.get("spec", {}).items() if key not in changeable}
        spec["containers"] = [one | {"image": ""} for one in spec.get("containers", [])]
        return spec

    if fixed(old) != fixed(new):
        detail = (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
            "negative)"
        )
        raise errors.invalid(PODS, old["metadata"]["name"], [errors.forbidden_field("spec", detail)])


def _list_of(resource: Resource, objects: list[KubeObject], version: int) -> dict[str, Any]:
    if resource.group != GATEWAY_GROUP:
        # The kind of a built-in object is said once, by the list; custom resources carry it each.
        objects = [{key: obj[key] for key in obj if key not in ("kind", "apiVersion")} for obj in objects]
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(version)},
        "items": objects,
    }


def _success(details: dict[str, Any] | None) -> dict[str, Any]:
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": details} if details else {})


def _json(body: dict[str, Any], code: int = 200) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=code, content_type="application/json")
