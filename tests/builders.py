"""What the unit tests are made of: one valid value of each kind, to be changed where a test says so."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from scoring.cluster import api as clusters
from scoring.cluster.refusals import AlreadyExists, NotFound
from scoring.errors import DropscoreError
from scoring.intake.identity import Source
from scoring.settings import Settings

ROOT = Path(__file__).parents[1]
ACCOUNT, REGION = "000000000000", "us-east-1"
CLUSTER, NAMESPACE = "dropscore-local", "dropscore"
INPUT_BUCKET, OUTPUT_BUCKET = "dropscore-input", "dropscore-output"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DIGEST = "sha256:" + "ab" * 32
ATTEMPT_ID = "6f2c7a4e-9c1b-4a53-8a57-0f3d1f2b9c11"
FILE_ID = "loans-2026-3b6f1c9d2a7e4f58"
POD_NAME = f"dropscore-{ATTEMPT_ID}"
STATES = f"arn:aws:states:{REGION}:{ACCOUNT}"
EXECUTION = f"{STATES}:execution:attempt:{ATTEMPT_ID}"
GATEWAY_URL = "http://gateway.example.com"

ENVIRONMENT = {
    "STACK_NAME": "dropscore",
    "INPUT_BUCKET": INPUT_BUCKET,
    "INPUT_PREFIX": "incoming/",
    "INPUT_SUFFIX": ".csv,.csv.gz,.jsonl",
    "IGNORED_FILES": "_*,.*,_temporary/,.spark-staging*/",
    "OUTPUT_BUCKET": OUTPUT_BUCKET,
    "OUTPUT_PREFIX": "scored/",
    "ECR_REGISTRY": REGISTRY,
    "DEFAULT_MODEL_IMAGE": "sas-anomaly",
    "ALLOWED_MODEL_IMAGES": f"{REGISTRY}/*",
    "DEFAULT_EKS_CLUSTER": CLUSTER,
    "CLUSTERS": json.dumps({CLUSTER: {"namespaces": [NAMESPACE, "batch"], "route": "gateway", "url": GATEWAY_URL}}),
    "DEFAULT_PROTOCOL": "sas",
    "TAG_WAIT_SECONDS": "0",
    "RECEIPTS": "false",
    "MAX_ERRORS": "10000",
    "SCORE_FILE_STATE_MACHINE_ARN": f"{STATES}:stateMachine:score_file",
    "ATTEMPT_STATE_MACHINE_ARN": f"{STATES}:stateMachine:attempt",
}
"""What template.yaml sets for the functions, with a cluster and without waiting for tags."""
PROGRESS = "scored/.progress/attempt-1"


def settings(**changes: str) -> Settings:
    return Settings.from_environ(ENVIRONMENT | {name.upper(): value for name, value in changes.items()})


class _Template(yaml.CSafeLoader):
    """YAML with CloudFormation's short functions, each read as a text such as `!GetAtt TearDown.Arn`."""

    def function(self, name: str, node: yaml.Node) -> str:
        if isinstance(node, yaml.SequenceNode):
            return f"!{name} [{', '.join(map(str, self.construct_sequence(node, deep=True)))}]"
        return f"!{name} {node.value}"


_Template.add_multi_constructor("!", _Template.function)


@functools.cache
def template() -> dict[str, Any]:
    """template.yaml. To be read only: it is parsed once."""
    found: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), Loader=_Template)
    return found


def parameter_takes(name: str, value: str) -> bool:
    """Whether a parameter of template.yaml may have this value, by its AllowedPattern."""
    return bool(re.fullmatch(template()["Parameters"][name]["AllowedPattern"], value))


def source(**changes: Any) -> Source:
    whole = Source(INPUT_BUCKET, "incoming/2026/loans.csv", "", "9b2cf535f27731c974343645a3985328", 15, "0065F1A2")
    return replace(whole, **changes)


def request(**changes: Any) -> dict[str, Any]:
    """The `request` of an attempt's state."""
    whole = {
        "image": f"{REGISTRY}/sas-anomaly@{DIGEST}",
        "profile": "",
        "cluster": CLUSTER,
        "cluster_settings": settings().clusters[CLUSTER].to_json(),
        "namespace": NAMESPACE,
        "protocol": "sas",
        "resources": {"cpu": "500m", "memory": "1Gi"},
        "pod": {"port": 8080},
        "limits": {},
        "output": {"bucket": OUTPUT_BUCKET, "key": "scored/2026/loans.csv.scoreout", "progress": PROGRESS},
        "deadlines": {"start_seconds": 900, "route_seconds": 120, "scoring_seconds": 86_400},
    }
    return whole | changes


def pod_state(**changes: Any) -> dict[str, Any]:
    """The `pod` of an attempt's state."""
    return {"name": POD_NAME, "namespace": NAMESPACE, "uid": "uid-1", "created": "2026-11-22T10:00:00Z"} | changes


def state(**more: Any) -> dict[str, Any]:
    """The state of an attempt; `more` is what the steps so far have added to it."""
    return {"source": source().to_json(), "file_id": FILE_ID, "lost_pods": {"count": 0}} | more


def envelope(state: dict[str, Any]) -> dict[str, Any]:
    """What a function gets: the Parameters of its Task in statemachine/attempt.asl.json."""
    return {
        "state": state,
        "file_id": FILE_ID,
        "attempt_id": ATTEMPT_ID,
        "execution": EXECUTION,
        "started": "2026-11-22T10:00:00.000Z",
    }


def s3_notification(*keys: str, **changes: Any) -> dict[str, Any]:
    """An event of S3 itself; the keys are URL-encoded already, as S3 does it."""
    entry = {"size": 15, "eTag": "9b2cf535f27731c974343645a3985328", "sequencer": "0065F1A2"} | changes
    return {"Records": [{"s3": {"bucket": {"name": INPUT_BUCKET}, "object": entry | {"key": key}}} for key in keys]}


def event(name: str) -> dict[str, Any]:
    """A sample event of events/."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found


def function(name: str) -> ModuleType:
    """The module of a function: functions/<name>/app.py (all are called app, so they are loaded by path)."""
    spec = importlib.util.spec_from_file_location(f"functions_{name}", ROOT / "functions" / name / "app.py")
    if spec is None or spec.loader is None:
        raise LookupError(f"no function {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Context:
    """The context that Lambda gives a function."""

    seconds: float = 60.0
    function_name: str = "test"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:test"
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def recorded_pod(case: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A pod that a real kubelet and scheduler wrote, and its events.

    Most were recorded with a container called `main`: here it bears the name of ours.
    """
    text = (ROOT / "tests/unit/data/pods" / f"{case}.json").read_text()
    found = json.loads(re.sub(r"\bmain\b", "model", text))
    return found["pod"], found["events"]


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A pod of ours with a status of the test's choice."""
    whole = {"name": POD_NAME, "namespace": NAMESPACE, "uid": "uid-1", "resourceVersion": "1"} | metadata
    container = {"name": "model", "image": "model:1", "resources": {"limits": {"memory": "1Gi"}}}
    return {"kind": "Pod", "metadata": whole, "spec": {"containers": [container]}, "status": status}


def running(**metadata: Any) -> dict[str, Any]:
    """A pod that is ready."""
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]
    serving = [{"name": "model", "ready": True, "state": {"running": {"startedAt": "2026-11-22T10:00:05Z"}}}]
    return pod(
        {"phase": "Running", "podIP": "10.0.0.7", "conditions": conditions, "containerStatuses": serving}, **metadata
    )


def pending(**metadata: Any) -> dict[str, Any]:
    """A pod whose container is being made."""
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
    waiting = [{"name": "model", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    return pod({"phase": "Pending", "conditions": conditions, "containerStatuses": waiting}, **metadata)


def crashed(**metadata: Any) -> dict[str, Any]:
    """A pod whose model has ended with exit code 1."""
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    return pod({"phase": "Failed", "containerStatuses": [{"name": "model", "state": ended}]}, **metadata)


class FakeApi(clusters.Api):
    """An API server with a memory and a script: in place of `clusters.Api`.

    `objects` is what it holds, by path; `refusals` are errors to raise, by method and path (or path alone); each item of
    `watches` is what one watch brings. `calls` is what it was asked for.
    """

    def __init__(self, **objects: dict[str, Any]) -> None:
        self.name = CLUSTER
        self.objects: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, Exception] = {}
        self.watches: list[Iterable[dict[str, Any]]] = []
        self.log = "loading model\nready\n"
        self.events: list[dict[str, Any]] = []
        self.calls: list[str] = []
        for kind, found in objects.items():
            self.put(kind, found)

    def put(self, kind: str, found: dict[str, Any]) -> None:
        self.objects[path(kind, found["metadata"]["name"])] = found

    def call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> dict[str, Any]:
        self._ask(method, path)
        if method == "POST":
            return self._create(f"{path}/{body['metadata']['name']}", body)
        if path.endswith("/events"):
            return {"items": self.events}
        if path.rsplit("/", 1)[-1] in GROUPS:
            return {"items": self._selected(path, (query or {}).get("labelSelector", ""))}
        if path not in self.objects:
            raise NotFound(f"{path} not found")
        return self.objects.pop(path) if method == "DELETE" else self.objects[path]

    def text(self, path: str, query: dict[str, Any]) -> str:
        self._ask("GET", path)
        return self.log

    def watch(self, path: str, query: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        self._ask("WATCH", path)
        return iter(self.watches.pop(0) if self.watches else ())

    def _selected(self, path: str, selector: str) -> list[dict[str, Any]]:
        wanted = [term.partition("=") for term in selector.split(",") if term]

        def matches(found: dict[str, Any]) -> bool:
            labels = found["metadata"].get("labels", {})
            return all(name in labels and (not equals or labels[name] == value) for name, equals, value in wanted)

        return [found for at, found in self.objects.items() if at.startswith(f"{path}/") and matches(found)]

    def _ask(self, method: str, path: str) -> None:
        self.calls.append(f"{method} {path}")
        for key in (f"{method} {path}", path, method):
            if key in self.refusals:
                raise self.refusals[key]

    def _create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path in self.objects:
            raise AlreadyExists(f"{path} already exists")
        more = {"uid": f"uid-{len(self.objects) + 1}", "creationTimestamp": "2026-11-22T10:00:00Z"}
        self.objects[path] = body | {"metadata": body["metadata"] | more}
        return self.objects[path]


GROUPS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "ingresses": "/apis/networking.k8s.io/v1",
}


def path(kind: str, name: str = POD_NAME, namespace: str = NAMESPACE) -> str:
    """The path of an object in the API; `kind` as paths write it (`pods`)."""
    return f"{GROUPS[kind]}/namespaces/{namespace}/{kind}/{name}"


def error_of(raised: DropscoreError) -> dict[str, str]:
    """The `error` of a state after a function raised this: what Lambda and Step Functions make of it."""
    payload = {"errorMessage": str(raised), "errorType": type(raised).__name__, "requestId": "1", "stackTrace": []}
    return {"Error": type(raised).__name__, "Cause": json.dumps(payload)}
