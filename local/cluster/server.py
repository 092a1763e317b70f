"""The cluster put together: store, API, controllers, node and gateway, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from local import docker
from local.cluster import admission, certificates, collector, gateways, node, podlogs, serving
from local.cluster.api import Api
from local.cluster.auth import Authenticator
from local.cluster.dataplane import Proxy
from local.cluster.engine import Engine
from local.cluster.events import EventRecorder
from local.cluster.image_store import ImageStore
from local.cluster.kubelet import Kubelet
from local.cluster.listener import Listener
from local.cluster.process import MemoryGuard, Reaper
from local.cluster.resources import GATEWAY_CLASSES, INGRESS_CLASSES, NAMESPACES, NODES, KubeObject, Resource
from local.cluster.routing import Router
from local.cluster.runtime import Node
from local.cluster.scheduler import Scheduler
from local.cluster.store import Store
from local.cluster.tokens import TOKEN_SECONDS, TokenReviews

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The command line."""

    state_dir: Path
    host: str
    port: int
    gateway_port: int
    registry_url: str
    token_review_url: str | None = None
    token_seconds: float = TOKEN_SECONDS
    capacity: node.Capacity = field(default_factory=node.Capacity)
    node_labels: dict[str, str] = field(default_factory=dict)


async def serve(settings: Settings) -> None:
    """Run the cluster until SIGTERM or SIGINT; raises what ended it otherwise."""
    loop = asyncio.get_running_loop()
    stopped = serving.until_stopped(loop)
    state = settings.state_dir.resolve()
    state.mkdir(parents=True, exist_ok=True)
    # Pods do not outlive a cluster; after a SIGKILL their files do, and those that Docker runs.
    shutil.rmtree(state / "pods", ignore_errors=True)
    docker.remove_of(state)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(_session())
        reaper = await Reaper.start()
        stack.push_async_callback(reaper.stop)
        store = _new_store(settings)
        memory = MemoryGuard()
        engine = Engine(state)
        stack.callback(engine.close)
        shared = Node(
            store=store,
            events=EventRecorder(store, "kubelet", node.NAME),
            images=ImageStore(settings.registry_url, state / "images"),
            reaper=reaper,
            memory=memory,
            session=session,
            engine=engine,
            failed=partial(serving.fail, stopped),
        )
        kubelet = Kubelet(shared, node.NAME, state / "pods")
        stack.callback(kubelet.kill_all)
        await stack.enter_async_context(
            _background(
                stopped,
                kubelet.run(),
                memory.run(),
                Scheduler(store, node.NAME).run(),
                collector.collect_garbage(store),
                collector.empty_namespaces(store),
                collector.keep_quotas(store),
                gateways.keep_status(store, settings.host),
            )
        )
        token = secrets.token_urlsafe(32)
        authenticator = Authenticator(token, TokenReviews(session, settings.token_review_url, settings.token_seconds))
        api = Api(store, authenticator, lambda request, pod: podlogs.read_log(kubelet, request, pod))
        context, ca_file = certificates.issue(state, settings.host)
        listener = Listener(
            lambda: _api_runner(api), settings.host, settings.port, context, partial(serving.fail, stopped)
        )
        stack.push_async_callback(listener.close)
        await listener.open()
        listener.obey(loop)
        proxy = Proxy(Router(store), session)
        gateway_runner = web.ServerRunner(proxy.server(), shutdown_timeout=1)
        await stack.enter_async_context(_runner(gateway_runner))
        await web.TCPSite(gateway_runner, settings.host, settings.gateway_port).start()
        stack.callback(_announce(settings, state, ca_file, token).unlink, missing_ok=True)
        await stopped


def _api_runner(api: Api) -> web.BaseRunner:
    return web.AppRunner(api.application(), handler_cancellation=True, access_log=None, shutdown_timeout=1)


def _session() -> aiohttp.ClientSession:
    """One client for probes, webhook and gateway; connections are not kept, as servers close them when they like."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _new_store(settings: Settings) -> Store:
    store = Store()
    for name in ("default", "kube-system"):
        admission.create(store, NAMESPACES, None, {"metadata": {"name": name}})
    classes: list[tuple[Resource, KubeObject]] = [
        (GATEWAY_CLASSES, gateways.GATEWAY_CLASS),
        (INGRESS_CLASSES, gateways.INGRESS_CLASS),
        (NODES, node.manifest(settings.capacity, settings.node_labels, settings.host)),
    ]
    for resource, manifest in classes:
        admission.create(store, resource, None, manifest)
    return store


@contextlib.asynccontextmanager
async def _background(stopped: asyncio.Future[None], *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Controllers run for ever: one that ends has failed, and a cluster without it would be a wrong one."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            serving.fail(stopped, task.exception() or RuntimeError(f"{task.get_coro()} has ended"))

    tasks = [asyncio.create_task(one) for one in work]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _runner(runner: web.BaseRunner) -> AsyncIterator[None]:
    await runner.setup()
    try:
        yield
    finally:
        await runner.cleanup()


def _announce(settings: Settings, state: Path, ca_file: Path, token: str) -> Path:
    """Write cluster.json, and the kubeconfig that it names."""
    api_url = f"https://{settings.host}:{settings.port}"
    kubeconfig = state / "kubeconfig"
    certificates.write_kubeconfig(kubeconfig, api_url, ca_file, token)
    description = {
        "api_url": api_url,
        "ca_file": str(ca_file),
        "gateway_url": f"http://{settings.host}:{settings.gateway_port}",
        "kubeconfig": str(kubeconfig),
    }
    _log.info("serving at %s, gateway at %s", api_url, description["gateway_url"])
    return serving.announce(state, description)
