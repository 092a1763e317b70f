"""Disturbances of a whole stack, each undone at its end. Only cases of the rough stack may use them."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3

from local.releases import release
from tests.e2e.faults import processes
from tests.e2e.pipeline import Pipeline, wait_for


@contextmanager
def api_server_away(pipeline: Pipeline) -> Iterator[None]:
    """Nothing listens at the API server's port (on a cluster of yours, at its front's); pods and gateway go on."""
    pid = processes.cluster(pipeline)
    os.kill(pid, signal.SIGUSR1)
    try:
        wait_for("the API server to go", lambda: not serves(pipeline), 30)
        yield
    finally:
        os.kill(pid, signal.SIGUSR2)
        wait_for("the API server to come back", lambda: serves(pipeline), 30)


def serves(pipeline: Pipeline) -> bool:
    described = pipeline.stack.client("eks").describe_cluster(name=pipeline.stack.cluster)["cluster"]
    host, _, port = described["endpoint"].removeprefix("https://").partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def frozen(pipeline: Pipeline) -> Iterator[None]:
    """The cluster takes connections and answers nothing: API server, node and gateway stand still."""
    pid = processes.cluster(pipeline)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def after(seconds: float, disturbance: Any) -> threading.Timer:
    """End a disturbance that was begun by `__enter__` after some seconds, whatever the test waits for meanwhile."""
    timer = threading.Timer(seconds, disturbance.__exit__, (None, None, None))
    timer.start()
    return timer


@contextmanager
def quota(pipeline: Pipeline, **hard: str) -> Iterator[None]:
    """Another ResourceQuota, such as `pods="1"`; an underscore stands for a dot."""
    path = pipeline.path("resourcequotas", "dropscore")
    usual = pipeline.call("GET", path)["spec"]["hard"]
    changed = {name.replace("_", "."): value for name, value in hard.items()}
    pipeline.call("PATCH", path, body={"spec": {"hard": usual | changed}})
    try:
        yield
    finally:
        pipeline.call("PATCH", path, body={"spec": {"hard": dict.fromkeys(changed) | usual}})


@contextmanager
def full(pipeline: Pipeline, **hard: str) -> Iterator[None]:
    """A namespace whose quota somebody else's pod and Service take up."""
    size = {"cpu": "20m", "memory": "16Mi"}
    container = {"name": "model", "image": "nowhere/nothing:1", "resources": {"requests": size, "limits": size}}
    spec = {
        "pods": {"containers": [container]},
        "services": {"ports": [{"port": 80}], "selector": {"app": "neighbour"}},
    }
    with quota(pipeline, **hard):
        for kind in spec:
            pipeline.call("POST", pipeline.path(kind), body={"metadata": {"name": "neighbour"}, "spec": spec[kind]})
        try:
            yield
        finally:
            for kind in spec:
                pipeline.call("DELETE", pipeline.path(kind, "neighbour"))


@contextmanager
def page_for_everything(pipeline: Pipeline, image: str) -> Iterator[None]:
    """The gateway leads every path that has no route of its own to a pod of somebody else's, which answers 200."""
    pipeline.only_embedded("what answers any path would answer for all others on the gateway as well")
    name, size = "everything", {"cpu": "20m", "memory": "64Mi"}
    container = {"name": "page", "image": image, "resources": {"requests": size, "limits": size}}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": name, "port": 80}]}
    spec = {
        "pods": {"containers": [container]},
        "services": {"ports": [{"port": 80, "targetPort": 8080}], "selector": {"app": name}},
        "httproutes": {"parentRefs": [{"name": "dropscore"}], "rules": [rule]},
    }
    for kind in spec:
        metadata = {"name": name, "labels": {"app": name}}
        pipeline.call("POST", pipeline.path(kind), body={"metadata": metadata, "spec": spec[kind]})
    anywhere = f"{pipeline.stack.gateway_url}/anywhere"
    try:
        wait_for("the page for everything", lambda: urllib3.request("GET", anywhere).status == 200, 30)
        yield
    finally:
        for kind in spec:
            pipeline.call("DELETE", pipeline.path(kind, name))
        wait_for("the page to go", lambda: urllib3.request("GET", anywhere).status == 404, 30)


@contextmanager
def without_binding(pipeline: Pipeline, name: str) -> Iterator[None]:
    """One of the functions' role bindings is gone."""
    path = pipeline.path("rolebindings", name)
    binding = pipeline.call("GET", path)
    pipeline.call("DELETE", path)
    try:
        yield
    finally:
        binding["metadata"] = {"name": name}
        pipeline.call("POST", pipeline.path("rolebindings"), body=binding)


@contextmanager
def denied(pipeline: Pipeline, bucket: str, action: str, key: str) -> Iterator[None]:
    """The bucket's policy denies everybody an action on some keys."""
    usual = pipeline.s3.get_bucket_policy(Bucket=bucket)["Policy"]
    policy = json.loads(usual)
    deny = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/{key}"}
    policy["Statement"].append(deny)
    pipeline.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    try:
        yield
    finally:
        pipeline.s3.put_bucket_policy(Bucket=bucket, Policy=usual)


@contextmanager
def time_out_of(pipeline: Pipeline, state_machine: str, seconds: int) -> Iterator[None]:
    """A state machine ends its executions after some seconds."""
    usual = pipeline.sfn.describe_state_machine(stateMachineArn=state_machine)["definition"]
    changed: Mapping[str, Any] = json.loads(usual) | {"TimeoutSeconds": seconds}
    release(pipeline.sfn, state_machine, json.dumps(changed))
    try:
        yield
    finally:
        release(pipeline.sfn, state_machine, usual)


def hold(seconds: float) -> None:
    """Let a disturbance last: how long it does is what the case is about."""
    time.sleep(seconds)
