"""A deployed dropscore, as a user and an administrator see it: drop a file, wait for its outcome, look what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from kubernetes import config as kubeconfig
from kubernetes.client import ApiClient

from local import parts, sam
from local import stack as embedded
from local.foreign import Foreign
from local.foreign.api import Api
from local.foreign.images import Publisher
from local.stack import Stack
from scoring.intake import identity

T = TypeVar("T")
# The stacks that this process's tests wait for.
_watched: list[Stack] = []
OURS = "app.kubernetes.io/managed-by=dropscore"
GROUPS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "configmaps": "/api/v1",
    "resourcequotas": "/api/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "ingresses": "/apis/networking.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
# What the functions make for an attempt; where there is no Gateway API, there are no HTTPRoutes.
MADE = ("pods", "services", "httproutes", "ingresses")


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 120.0) -> T:
    """Look until something is seen; an AssertionError that says what was waited for when it is not in time.

    More and more seldom: to look often would keep the processor from what is waited for.
    """
    until, pause = time.monotonic() + seconds, 0.2
    while True:
        for stack in _watched:
            # A part that has ended says why; whoever waits for it would only say that nothing came.
            embedded.check(stack)
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < until, f"{what} did not come within {seconds:.0f} s"
        time.sleep(pause)
        pause = min(pause * 1.3, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What came back for a file: the object's key, body and tags."""

    key: str
    body: bytes
    tags: Mapping[str, str]

    @property
    def error(self) -> dict[str, Any]:
        assert self.key.endswith(".error"), self.body[:500]
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def lines(self) -> list[bytes]:
        assert self.key.endswith(".scoreout"), self.body.decode()
        return self.body.splitlines()


class Pipeline:
    """Everything a test does with the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        _watched.append(stack)
        self.s3, self.sfn = stack.client("s3"), stack.client("stepfunctions")

    @cached_property
    def kubernetes(self) -> ApiClient:
        return kubeconfig.new_client_from_config(self.stack.kubeconfig, self.stack.context or None)

    @cached_property
    def publisher(self) -> Publisher | None:
        """What brings images to a cluster of yours."""
        if not self.stack.foreign:
            return None
        foreign = Foreign(**self.stack.foreign)
        return Publisher.find(foreign, Api(foreign), parts.MODELS_PYTHON)

    def parameters(self) -> dict[str, str]:
        """What the stack was deployed with."""
        (stack,) = self.stack.client("cloudformation").describe_stacks(StackName=sam.STACK_NAME)["Stacks"]
        return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}

    def path(self, plural: str, name: str = "") -> str:
        """The path of a kind of objects in the stack's namespace, or of one of them."""
        collection = f"{GROUPS[plural]}/namespaces/{self.stack.namespace}/{plural}"
        return f"{collection}/{name}" if name else collection

    def only_embedded(self, reason: str) -> None:
        """Skip what cannot be tried on a cluster of yours."""
        if self.stack.foreign:
            pytest.skip(reason)

    def image(self, name: str) -> str:
        """What the tag model_image names for one of our models: on a cluster of yours, more than its repository."""
        return self.stack.images.get(name.removesuffix(":latest"), name) if self.stack.foreign else name

    def drop(self, name: str, body: bytes, **tags: str) -> str:
        """Put a file under the input prefix; the name of its execution."""
        key = self.stack.input_prefix + name
        named = {tag: self.image(tags[tag]) for tag in ("model_image", "modelimagename") if tag in tags}
        answer = self.s3.put_object(Bucket=self.stack.input_bucket, Key=key, Body=body, Tagging=urlencode(tags | named))
        return self.execution(key, answer.get("VersionId", ""))

    def execution(self, key: str, version_id: str) -> str:
        """The ARN of the `score_file` execution of one version of a file, once it has been started."""

        def look() -> str | None:
            # The newest come first.
            newest = self.sfn.list_executions(stateMachineArn=self.stack.score_file_arn, maxResults=100)
            for execution in newest["executions"]:
                if not execution["name"].startswith(identity.slug(key.rsplit("/", 1)[-1])):
                    continue
                arn = execution["executionArn"]
                source = json.loads(self.sfn.describe_execution(executionArn=arn)["input"])["source"]
                if source["key"] == key and source["version_id"] == version_id:
                    return str(arn)
            return None

        return wait_for(f"the execution of {key}", look, 30)

    def ended(self, execution: str, seconds: float = 120.0) -> dict[str, Any]:
        """The description of an execution that has ended."""

        def look() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sfn.describe_execution(executionArn=execution)
            return description if description["status"] != "RUNNING" else None

        return wait_for(f"the end of {execution}", look, seconds)

    def outcome(self, execution: str, seconds: float = 120.0) -> Outcome:
        """What came back for the file of an execution, once that has ended."""
        description = self.ended(execution, seconds)
        source = json.loads(description["input"])["source"]
        base = self.stack.output_prefix + source["key"].removeprefix(self.stack.input_prefix)
        return self.read_outcome(base + (".scoreout" if description["status"] == "SUCCEEDED" else ".error"))

    def read_outcome(self, key: str) -> Outcome:
        where = {"Bucket": self.stack.output_bucket, "Key": key}
        tags = {tag["Key"]: tag["Value"] for tag in self.s3.get_object_tagging(**where)["TagSet"]}
        return Outcome(key, self.s3.get_object(**where)["Body"].read(), tags)

    def score(self, name: str, body: bytes, **tags: str) -> Outcome:
        return self.outcome(self.drop(name, body, **tags))

    def attempt(self, execution: str) -> str:
        """The ARN of the newest attempt of a `score_file` execution."""
        for event in self.sfn.get_execution_history(executionArn=execution, reverseOrder=True)["events"]:
            for details in ("taskSubmittedEventDetails", "taskSucceededEventDetails", "taskFailedEventDetails"):
                text = event.get(details, {}).get("output") or event.get(details, {}).get("cause") or "{}"
                try:
                    document = json.loads(text)
                except ValueError:
                    continue
                if "ExecutionArn" in document:
                    return str(document["ExecutionArn"])
        raise AssertionError(f"{execution} has started no attempt")

    def attempts(self, execution: str) -> list[str]:
        """The ARNs of what an execution has started, oldest first: the attempts of a `score_file` execution."""
        return [
            json.loads(event["taskSubmittedEventDetails"]["output"])["ExecutionArn"]
            for event in self.history(execution)
            if event["type"] == "TaskSubmitted"
        ]

    def has_attempt(self, execution: str) -> bool:
        """Whether a `score_file` execution has started an attempt."""
        events = self.sfn.get_execution_history(executionArn=execution)["events"]
        return any(event["type"] == "TaskSubmitted" for event in events)

    def shards(self, execution: str) -> list[str]:
        """The ARNs of the attempts of a file's shards so far."""
        return self.attempts(self.attempt(execution)) if self.has_attempt(execution) else []

    def scoring_shards(self, execution: str, count: int) -> list[str]:
        """The attempts of a file's shards, once so many, and all of them, are being scored."""

        def look() -> list[str] | None:
            attempts = self.shards(execution)
            events = [event for attempt in attempts for event in self.history(attempt)]
            entered = [event.get("stateEnteredEventDetails", {}).get("name") for event in events]
            # Who is stopped before may begin an upload afterwards, which only S3's lifecycle ends.
            begun = self.keys(self.progress(execution) + "/") if attempts else []
            return attempts if len(attempts) == entered.count("stream_file") == len(begun) == count else None

        return wait_for(f"{count} shards that are scored", look)

    def state(
        self, execution: str, entered: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The state with which a file's newest attempt first entered a step, once it has; `holds` picks a later time."""

        def look() -> dict[str, Any] | None:
            if not self.has_attempt(execution):
                return None
            for event in self.history(self.attempt(execution)):
                details = event.get("stateEnteredEventDetails", {})
                if details.get("name") == entered and holds(json.loads(details["input"])):
                    state: dict[str, Any] = json.loads(details["input"])
                    return state
            return None

        return wait_for(f"{entered} of {execution}", look, 60)

    def starting(self, execution: str) -> dict[str, Any]:
        """The state of a file once its newest attempt has a pod, which launch_pod looks at first."""
        state, attempt = self.state(execution, "launch_pod"), self.attempt(execution).rsplit(":", 1)[-1]

        def pod() -> dict[str, Any] | None:
            found = self.call("GET", self.path("pods"), {"labelSelector": f"{OURS},dropscore.io/attempt={attempt}"})
            return next((item["metadata"] for item in found["items"]), None)

        made = wait_for(f"the pod of {execution}", pod, 60)
        return state | {"pod": {name: made[name] for name in ("name", "namespace", "uid")}}

    def scoring(self, execution: str, nth: int = 0) -> dict[str, Any]:
        """The state of a file once it is being scored by its newest attempt's nth pod (from 0)."""
        state = self.state(execution, "stream_file", lambda state: state["lost_pods"]["count"] == nth)
        attempt, progress = self.attempt(execution), state["request"]["output"]["progress"]

        def has_begun() -> bool:
            is_over = self.sfn.describe_execution(executionArn=attempt)["status"] != "RUNNING"
            return is_over or self.read(progress) is not None

        wait_for(f"the upload of {execution}", has_begun, 60)
        return state

    def history(self, execution: str) -> list[dict[str, Any]]:
        """All events of an execution, oldest first."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def executions(self, key: str) -> list[str]:
        """The ARNs of all `score_file` executions of a file."""
        found = []
        for page in self.sfn.get_paginator("list_executions").paginate(stateMachineArn=self.stack.score_file_arn):
            for execution in page["executions"]:
                if execution["name"].startswith(identity.slug(key.rsplit("/", 1)[-1])):
                    arn = execution["executionArn"]
                    if json.loads(self.sfn.describe_execution(executionArn=arn)["input"])["source"]["key"] == key:
                        found.append(arn)
        return found

    @cached_property
    def resources(self) -> dict[str, str]:
        """What the template made: physical by logical id."""
        found = self.stack.client("cloudformation").describe_stack_resources(StackName="dropscore")["StackResources"]
        return {entry["LogicalResourceId"]: entry["PhysicalResourceId"] for entry in found}

    def invoke(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Call a function, by its logical id."""
        answer = self.stack.client("lambda").invoke(
            FunctionName=self.resources[function], Payload=json.dumps(event).encode()
        )
        document: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, document
        return document

    def source(self, source: Mapping[str, Any]) -> bytes:
        """The dropped file that a state's `source` names."""
        which = {"VersionId": source["version_id"]} if source["version_id"] else {}
        return bytes(self.s3.get_object(Bucket=source["bucket"], Key=source["key"], **which)["Body"].read())

    def read(self, key: str) -> bytes | None:
        """An object of the output bucket; None while there is none."""
        try:
            return bytes(self.s3.get_object(Bucket=self.stack.output_bucket, Key=key)["Body"].read())
        except self.s3.exceptions.NoSuchKey:
            return None

    def objects(self, attempt_id: str | None = None) -> list[str]:
        """What is in the cluster of one attempt, or of all, as `kind/name`."""
        selector = f"{OURS},dropscore.io/attempt={attempt_id}" if attempt_id else OURS
        return [
            f"{kind}/{item['metadata']['name']}"
            for kind in MADE
            if kind != "httproutes" or self.stack.foreign.get("route", "gateway") == "gateway"
            for item in self.call("GET", self.path(kind), {"labelSelector": selector})["items"]
        ]

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A call to the API server as the cluster's administrator."""
        document: dict[str, Any] = json.loads(self.request(method, path, query, body))
        return document

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The same for what does not answer JSON, such as a pod's log."""
        patch = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        response = self.kubernetes.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": "application/json", "Accept": "application/json", **patch},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=20,
        )
        return bytes(response.data)

    def uploads(self, key: str) -> list[str]:
        """Unfinished uploads of an output key."""
        answer = self.s3.list_multipart_uploads(Bucket=self.stack.output_bucket, Prefix=key)
        return [upload["UploadId"] for upload in answer.get("Uploads", ()) if upload["Key"] == key]

    def progress(self, execution: str) -> str:
        """Where the attempt of a file keeps how far it is, and below it its shards'."""
        return f"{self.stack.output_prefix}.progress/{self.attempt(execution).rsplit(':', 1)[-1]}"

    def keys(self, prefix: str) -> list[str]:
        """What the output bucket holds that begins so."""
        listed = self.s3.list_objects_v2(Bucket=self.stack.output_bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", ())]

    def place(self, attempt_id: str) -> str:
        """Where an attempt waits for room in its namespace; empty if it does not."""
        found = [key for key in self.keys(f"{self.stack.output_prefix}.queue/") if key.endswith(attempt_id)]
        return found[0] if found else ""

    def _is_torn_down(self, attempt_id: str) -> bool:
        return not self.objects(attempt_id) and not self.place(attempt_id)

    def assert_nothing_left(self, execution: str) -> None:
        """No pod, Service, route, unfinished upload or record of the file, and no place in a queue; a pod may take its grace
        period to go.
        """
        attempt = self.attempt(execution)
        for each in (attempt, *self.shards(execution)):
            name = each.rsplit(":", 1)[-1]
            wait_for(f"the tear-down of {name}", partial(self._is_torn_down, name), 30)
        prefix = self.progress(execution)
        try:
            wait_for(f"the end of what is below {prefix}", lambda: not self.keys(prefix), 30)
        except AssertionError:
            raise AssertionError(self.keys(prefix)) from None
        source = json.loads(self.sfn.describe_execution(executionArn=execution)["input"])["source"]
        key = self.stack.output_prefix + source["key"].removeprefix(self.stack.input_prefix) + ".scoreout"
        wait_for(f"the end of the upload of {key}", lambda: not self.uploads(key), 30)
