"""The pod of an attempt: how it is launched with its Service and route, and how all of it is torn down."""

from __future__ import annotations

from typing import Any

from scoring.cluster import manifest, room, routes
from scoring.cluster.api import Api, namespace_path
from scoring.cluster.manifest import ATTEMPT_LABEL, EXECUTION, OURS, Attempt
from scoring.cluster.refusals import AlreadyExists, NotFound
from scoring.errors import DropscoreError, PodRefused
from scoring.settings import ClusterSettings


def launch(api: Api, attempt: Attempt, cluster: ClusterSettings) -> dict[str, Any]:
    """Create the pod, its Service and its route, or adopt what an earlier call of the same attempt created.

    Returns
    -------
    dict
        The `pod` of the attempt's state: `name`, `namespace`, `uid`, `created` (RFC 3339), how many lost pods it `replaces`,
        and the `size` that it was admitted with.

    Raises
    ------
    QuotaExceeded, PodRefused, ClusterAccessDenied, ClusterUnreachable
    """
    namespace = attempt.request["namespace"]
    pod = _create_or_adopt(api, namespace_path(namespace) + "/pods", manifest.pod(attempt, cluster))
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": attempt.name,
        "uid": pod["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }
    if cluster.route != "pod_ip":
        service = manifest.service(attempt, owner, pod["metadata"]["labels"])
        _create_or_adopt(api, namespace_path(namespace) + "/services", service)
        route = routes.manifest(attempt.name, manifest.labels(attempt), owner, cluster, attempt.request)
        _create_or_adopt(api, routes.path(cluster.route, namespace), route)
    return {
        "name": attempt.name,
        "namespace": namespace,
        "uid": pod["metadata"]["uid"],
        "created": pod["metadata"]["creationTimestamp"],
        "replaces": attempt.lost_pods,
        "size": room.of_pod(pod["spec"]),
    }


def _create_or_adopt(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return api.call("POST", path, body=body)
    except NotFound as error:
        raise PodRefused(
            f"The cluster {api.name} cannot take a {body['kind']} here: {error.summary}",
            "Ask the cluster's administrator to apply cluster/ (namespace, RBAC, gateway).",
        ) from error
    except AlreadyExists:
        name = body["metadata"]["name"]
        try:
            existing = api.call("GET", f"{path}/{name}")
        except NotFound:
            existing = {"metadata": {}}  # gone since: the next try finds the name free
        wanted = body["metadata"]
        same = existing["metadata"].get("labels", {}).get(ATTEMPT_LABEL) == wanted["labels"][ATTEMPT_LABEL]
        owners = {owner["uid"] for owner in existing["metadata"].get("ownerReferences", ())}
        if same and owners == {owner["uid"] for owner in wanted.get("ownerReferences", ())}:
            return existing
        raise Leftover(f"A {body['kind']} {name} of an earlier pod is still being removed.") from None


def exists(api: Api, attempt: Attempt) -> bool:
    """Whether an earlier call of the same attempt has created the pod."""
    try:
        api.call("GET", f"{namespace_path(attempt.request['namespace'])}/pods/{attempt.name}")
    except NotFound:
        return False
    return True


class Leftover(DropscoreError):
    """An object of an earlier pod of the same attempt is not gone yet; the state machine tries again."""

    retryable = True


def tear_down(api: Api, namespace: str, attempt_id: str) -> list[str]:
    """Delete whatever bears the attempt's label in the namespace; nothing there is success.

    The pod goes first: it owns the Service and the route, so the cluster removes them with it even if this call ends
    here. They are looked for all the same, for the case that a pod was gone before they were made.

    Returns
    -------
    list of str
        What was deleted, as `kind/name`; what somebody has deleted before and is not gone yet is none of it.
    """
    deleted = []
    core = namespace_path(namespace)
    paths = [f"{core}/pods", f"{core}/services", *(routes.path(route, namespace) for route in ("gateway", "ingress"))]
    for path in paths:
        for item in _ours(api, path, f"{ATTEMPT_LABEL}={attempt_id}"):
            if "deletionTimestamp" in item["metadata"]:
                continue
            options = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "preconditions": {"uid": item["metadata"]["uid"]},
            }
            try:
                api.call("DELETE", f"{path}/{item['metadata']['name']}", body=options)
            except NotFound:
                continue
            deleted.append(f"{path.rsplit('/', 1)[-1]}/{item['metadata']['name']}")
    return deleted


def attempts(api: Api, namespace: str, executions: str) -> set[str]:
    """The attempts of this stack that have a pod in the namespace; `executions` is what their ARNs begin with.

    Several stacks may share a namespace: another one's pods are none of ours.
    """
    pods = _ours(api, namespace_path(namespace) + "/pods", ATTEMPT_LABEL)
    return {
        pod["metadata"]["labels"][ATTEMPT_LABEL]
        for pod in pods
        if pod["metadata"].get("annotations", {}).get(EXECUTION, "").startswith(executions)
    }


def _ours(api: Api, path: str, selector: str) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = api.call("GET", path, query={"labelSelector": f"{OURS},{selector}"})["items"]
    except NotFound:
        # The cluster knows no such kind: no Gateway API is installed.
        return []
    return items
