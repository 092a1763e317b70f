"""``pods/log``: which instance's log is meant, and the answer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.cluster import errors
from local.cluster.kubelet import Kubelet
from local.cluster.logs import LogFile, LogOptions, render
from local.cluster.query import flag
from local.cluster.resources import KubeObject


async def read_log(kubelet: Kubelet, request: web.Request, pod: KubeObject) -> web.StreamResponse:
    """Answer a request for a container's log; raises 400 with the kubelet's sentence when there is none."""
    name = _container_name(pod, request.query.get("container"))
    if not pod["spec"].get("nodeName"):
        # As a real API server: there is no kubelet to ask yet.
        return web.Response(content_type="text/plain")
    container_id = _instance(pod, name, flag(request.query, "previous"))
    container = kubelet.container(pod["metadata"]["uid"], name)
    log = container.logs.get(container_id) if container else None
    if log is None:
        raise errors.bad_request(f"unable to retrieve container logs for {container_id}")
    try:
        options = LogOptions.parse(dict(request.query))
    except ValueError as error:
        raise errors.bad_request(f"invalid log options: {error}") from error
    if flag(request.query, "follow"):
        return await _follow(request, log, options)
    text = b"".join(render(log.path.read_bytes(), options))
    return web.Response(body=text[: options.limit_bytes], content_type="text/plain")


async def _follow(request: web.Request, log: LogFile, options: LogOptions) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    path = log.path
    with path.open("rb") as file:
        await response.write(b"".join(render(file.read(), options)))
        rest = LogOptions(timestamps=options.timestamps)
        while not log.closed:
            await log.wait()
            await response.write(b"".join(render(file.read(), rest)))
    await response.write_eof()
    return response


def _container_name(pod: KubeObject, wanted: str | None) -> str:
    names = [container["name"] for container in pod["spec"]["containers"]]
    initial = [container["name"] for container in pod["spec"].get("initContainers") or []]
    name = pod["metadata"]["name"]
    if wanted is None:
        if len(names) + len(initial) > 1:
            others = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
            raise errors.bad_request(
                f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]{others}"
            )
        return str(names[0])
    if wanted not in [*names, *initial]:
        raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


def _instance(pod: KubeObject, name: str, previous: bool) -> str:
    """The id of the container instance that is asked for (kubelet's validateContainerLogStatus)."""
    told = pod["status"]
    statuses = [*(told.get("containerStatuses") or []), *(told.get("initContainerStatuses") or [])]
    status: dict[str, Any] = next((one for one in statuses if one["name"] == name), {})
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    what = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    if previous:
        if not last:
            raise errors.bad_request(f"previous terminated {what} not found")
        return str(last["containerID"])
    if not state:
        raise errors.bad_request(f"{what} is not available")
    if "waiting" in state and not last:
        reason = state["waiting"]["reason"]
        why = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(reason, reason)
        raise errors.bad_request(f"{what} is waiting to start: {why}")
    return str(last["containerID"] if "waiting" in state and last else status["containerID"])
