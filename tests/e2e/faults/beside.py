"""What a cluster puts beside the model, holds the pod back with, or leaves of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.builders import REGISTRY
from tests.e2e import models
from tests.e2e.faults import disturb
from tests.e2e.faults.case import Case, Stage
from tests.e2e.faults.model import says
from tests.e2e.faults.pod import REPLACED, drop_for_an_image, lost, while_starting
from tests.e2e.pipeline import wait_for

SMALL = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
# Longer than a pod has to start once it is admitted.
QUEUED_SECONDS = 32


def container(stage: Stage, name: str, *command: str, **more: Any) -> dict[str, Any]:
    """A container of the case's own image that does something else."""
    image = f"{REGISTRY}/{repository(stage)}:latest"
    return {"name": name, "image": image, "command": list(command), "resources": SMALL, **more}


def repository(stage: Stage) -> str:
    return f"tests/{stage.case.name}"


@contextmanager
def injected(stage: Stage, **spec: Any) -> Iterator[str]:
    """The cluster adds this to the spec of each pod of the case; the image that it does so for."""
    stage.pipeline.only_embedded("pods are changed by a rule that the embedded cluster alone knows")
    name = models.push(stage.pipeline, stage.case.model, repository(stage))
    rules = stage.pipeline.path("configmaps")
    rule = {"name": f"inject-{stage.case.name}", "labels": {"local.dropscore.io/injects": "pods"}}
    body = {"metadata": rule, "data": {"image": f"/{name}@", "spec": json.dumps(spec)}}
    stage.pipeline.call("POST", rules, body=body)
    try:
        yield name
    finally:
        stage.pipeline.call("DELETE", f"{rules}/{rule['name']}")


def beside(
    *command: str, kind: str = "containers", name: str = "istio-proxy", **more: Any
) -> Callable[[Stage], Iterable[str]]:
    """Drop a file for a model that the cluster puts a container beside."""

    def inject(stage: Stage) -> Iterable[str]:
        with injected(stage, **{kind: [container(stage, name, *command, **more)]}) as image:
            execution = stage.drop(model_image=image)
            stage.pipeline.ended(execution, 180)
        yield execution

    return inject


@contextmanager
def gated(stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Drop a file whose pod is held back as Kueue does it: a gate keeps it from the scheduler until there is room for it."""
    gate = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    with injected(stage, **gate) as image:
        execution = stage.drop(model_image=image)
        state = stage.pipeline.starting(execution)
        wait_for(
            "a gated pod", lambda: "SchedulingGated" in json.dumps(stage.pipeline.call("GET", stage.pod(state))), 30
        )
        yield execution, state


def admit(stage: Stage, state: Mapping[str, Any]) -> None:
    stage.pipeline.call("PATCH", stage.pod(state), body={"spec": {"schedulingGates": None}})


def hold_in_a_queue(stage: Stage) -> Iterable[str]:
    with gated(stage) as (execution, state):
        disturb.hold(QUEUED_SECONDS)
        admit(stage, state)
        stage.pipeline.ended(execution, 120)
    yield execution


def leave(**state: Any) -> Callable[[Stage, Mapping[str, Any]], None]:
    """What a kubelet writes of the model's container."""

    def do(stage: Stage, held: Mapping[str, Any]) -> None:
        (status,) = stage.pipeline.call("GET", stage.pod(held))["status"]["containerStatuses"]
        phase = "Failed" if "terminated" in state else "Pending"
        stage.tell(held, phase=phase, containerStatuses=[status | {"state": state, "ready": False}])

    return do


def drop_for_other_processors(stage: Stage) -> Iterable[str]:
    """The image's program is an ELF file of an architecture (S/390) that this machine is not."""
    stage.pipeline.only_embedded("Docker builds no image whose only program is none")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "app.py")
        program.write_bytes(b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(44))
        program.chmod(0o755)
        yield stage.drop(
            model_image=models.push(
                stage.pipeline, "well", repository(stage), entrypoint='["/app/app.py"]', app=program
            )
        )


def delete_the_route(stage: Stage, state: Mapping[str, Any]) -> None:
    only_with_gateway(stage)
    stage.pipeline.call("DELETE", stage.pipeline.path("httproutes", state["pod"]["name"]))


def only_with_gateway(stage: Stage) -> None:
    if stage.pipeline.stack.foreign.get("route", "gateway") != "gateway":
        pytest.skip("an HTTPRoute is taken away: ROUTE=gateway")


def take_the_route_away_for_a_while(stage: Stage) -> Iterable[str]:
    only_with_gateway(stage)
    execution = stage.drop()
    state = stage.scoring(execution)
    path = stage.pipeline.path("httproutes", state["pod"]["name"])
    route = stage.pipeline.call("GET", path)
    stage.pipeline.call("DELETE", path)
    stage.pipeline.state(execution, "wait_for_model", lambda held: "silent" in held["scoring"])
    metadata = {key: route["metadata"][key] for key in ("name", "labels", "ownerReferences")}
    stage.pipeline.call("POST", stage.pipeline.path("httproutes"), body={"metadata": metadata, "spec": route["spec"]})
    yield execution


FOR_EVER = ("sleep", "600")
CASES = (
    Case(
        "crash-beside-a-sidecar",
        "the model's container ends at its start, the mesh's sidecar runs on",
        "PodCrashed",
        "exit code 1. The log ends: fatal: weights missing",
        "Repair the image",
        model="crashes",
        inject=beside(*FOR_EVER),
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"]["log_tail"], "fatal: weights missing"),
    ),
    Case(
        "out-of-memory-beside-a-sidecar",
        "the model needs more memory than its limit, the mesh's sidecar runs on",
        "PodCrashed",
        "ran out of memory (128Mi)",
        "tag memory",
        model="eats-memory-at-start",
        inject=beside(*FOR_EVER),
    ),
    Case(
        "crash-while-scoring-beside-a-sidecar",
        "the model's container ends in the middle of a batch, the mesh's sidecar runs on",
        "PodCrashed",
        "exit code 3. The log ends: fatal: the model gave up",
        "Repair the image",
        model="dies",
        inject=beside(*FOR_EVER),
    ),
    Case(
        "sidecar-ends",
        "a container beside the model ends well before the model is ready, which leaves the pod unready for ever",
        but="scored: what counts is the model's container",
        model="slow-to-start",
        inject=beside("sleep", "0.5"),
    ),
    Case(
        "sidecar-fails-while-scoring",
        "a container beside the model fails while the model has a batch",
        but="scored: what counts is the model's container",
        model="slow",
        inject=beside("python", "-c", "import time; time.sleep(3); raise SystemExit(1)"),
    ),
    Case(
        "native-sidecar",
        "the mesh's proxy is an init container that goes on running",
        but="scored",
        inject=beside(*FOR_EVER, kind="initContainers", restartPolicy="Always"),
    ),
    Case(
        "native-sidecar-never-starts",
        "the mesh's proxy never starts, so the model does not",
        "PodNotReady",
        "the pod waited for the init container istio-proxy",
        "none of the model's",
        inject=beside(
            *FOR_EVER,
            kind="initContainers",
            restartPolicy="Always",
            startupProbe={"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 600},
        ),
    ),
    Case(
        "init-container-fails",
        "an init container that the cluster injects fails, so the model is never started",
        "PodCrashed",
        "The init container vault-agent, before the model, ended with exit code 3",
        "none of the model's",
        inject=beside(
            "python", "-c", "print('no such role'); raise SystemExit(3)", kind="initContainers", name="vault-agent"
        ),
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"]["log_tail"], "no such role"),
    ),
    Case(
        "held-in-a-queue",
        f"a queue (Kueue) holds the pod back for {QUEUED_SECONDS} s, longer than it may take to start",
        but="scored: the clock of the start begins when the pod is admitted",
        inject=hold_in_a_queue,
    ),
    Case(
        "node-rebooted",
        "the node is started anew and knows nothing of the container any more (ContainerStatusUnknown, 137)",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(
            leave(terminated={"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "could not be located"})
        ),
        check=lost(1),
    ),
    Case(
        "node-rebooted-in-its-runtime",
        "the node is started anew, and its runtime does not know how the container ended (Unknown, 255)",
        but=REPLACED,
        model="slow-to-start",
        inject=while_starting(leave(terminated={"exitCode": 255, "reason": "Unknown"})),
        check=lost(1),
    ),
    Case(
        "runtime-too-slow",
        "the node's runtime takes too long to create the container (context deadline exceeded), and then has done it",
        but="scored",
        model="slow-to-start",
        inject=while_starting(
            leave(waiting={"reason": "CreateContainerError", "message": "context deadline exceeded"})
        ),
    ),
    Case(
        "image-for-other-processors",
        "the image is built for another processor architecture",
        "PodCrashed",
        "another processor architecture",
        "docker buildx build --platform",
        inject=drop_for_other_processors,
    ),
    Case(
        "image-user-named",
        "the image names its user by a name where the cluster's settings forbid root",
        "PodRefused",
        "image has non-numeric user (mlflow)",
        "`USER 1000`",
        inject=drop_for_an_image(user="mlflow"),
    ),
    Case(
        "loads-behind-an-open-port",
        "the model opens its port, and loads for longer than a route may be missing",
        but="scored when it is loaded: loading is a part of the start",
        model="loads",
    ),
    Case(
        "workers-die",
        "the server keeps its port open while its workers die for want of a capability (nginx, setgid)",
        "PodNotReady",
        "setgid(33) failed (1: Operation not permitted)",
        "`capabilities`",
        model="workers-die",
    ),
    Case(
        "route-deleted-while-starting",
        "somebody deletes the route before the model is ready",
        "RouteNotReady",
        "The route is gone from the cluster: somebody has deleted it",
        "gateway or ingress controller",
        model="slow-to-start",
        inject=while_starting(delete_the_route),
    ),
    Case(
        "route-away-while-scoring",
        "the route is away for a while in mid-scoring: the gateway answers 404 in the model's place",
        but="scored when it is back",
        model="later",
        protocol="sas",
        inject=take_the_route_away_for_a_while,
    ),
)
