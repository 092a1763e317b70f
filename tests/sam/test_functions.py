"""Each function in its container, invoked with its sample event; what the event names is put in place first."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest

from local import parts, sam_local
from local.stack import Stack
from tests.e2e.pipeline import Pipeline, wait_for
from tests.sam.conftest import STATE, Invoke

pytestmark = pytest.mark.sam

State = dict[str, Any]

EVENTS = parts.ROOT / "events"
PEOPLE = (parts.ROOT / "models/sas-anomaly/sample.csv").read_bytes()
ROWS = len(PEOPLE.splitlines()) - 1


def sample(name: str, state: State | None = None) -> Any:
    """The sample event of a function; its state is what this stack has made so far, where it has."""
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if state:
        event["state"] |= state
    return event


def pod_name() -> str:
    """The name of the pod, and of all that belongs to it, of the attempt in the sample events."""
    return f"dropscore-{sample('launch_pod')['attempt_id']}"


def step(invoke: Invoke, function: str, event: Any, field: str) -> State:
    """Do as the state machine: what the function answers becomes a field of the state."""
    answer = invoke(function, event)
    assert answer.error is None, answer
    state: State = event["state"]
    return state | {field: answer.payload}


@pytest.fixture(scope="module")
def execution(pipeline: Pipeline) -> str:
    """The execution that scored the file of the sample events when it was dropped; it is over."""
    key = sample("resolve_request")["state"]["source"]["key"]
    name, tags = key.removeprefix(pipeline.stack.input_prefix), {"model_image": "sas-anomaly", "protocol": "sas"}
    execution = pipeline.drop(name, PEOPLE, **tags)
    assert pipeline.ended(execution)["status"] == "SUCCEEDED"
    return execution


@pytest.fixture(scope="module")
def dropped(execution: str, pipeline: Pipeline) -> State:
    """The file as its S3 event told of it."""
    return {"source": json.loads(pipeline.ended(execution)["input"])["source"]}


@pytest.fixture(scope="module")
def resolved(invoke: Invoke, dropped: State) -> State:
    return step(invoke, "ResolveRequest", sample("resolve_request", dropped), "request")


@pytest.fixture(scope="module")
def launched(invoke: Invoke, resolved: State) -> State:
    return step(invoke, "LaunchPod", sample("launch_pod", resolved), "pod")


@pytest.fixture(scope="module")
def ready(invoke: Invoke, launched: State) -> State:
    looked = step(invoke, "AwaitPod", sample("await_pod", launched), "endpoint")
    return launched | {"pod": launched["pod"] | {"endpoint": looked["endpoint"]}}


@pytest.fixture(scope="module")
def scored(invoke: Invoke, ready: State) -> State:
    return step(invoke, "StreamFile", sample("stream_file", ready), "scoring")


@pytest.fixture(scope="module")
def persisted(invoke: Invoke, scored: State) -> State:
    return step(invoke, "PersistOutput", sample("persist_output", scored), "output")


def test_start_scoring_starts_the_file_once(invoke: Invoke, dropped: State, pipeline: Pipeline) -> None:
    event = sample("start_scoring")
    source, record = dropped["source"], event["Records"][0]["s3"]["object"]
    record |= {"size": source["size"], "eTag": source["etag"], "versionId": source["version_id"]}
    first, again = invoke("StartScoring", event), invoke("StartScoring", event)
    assert first.payload == again.payload
    (name,) = first.payload["started"]
    started = f"{pipeline.stack.score_file_arn.replace(':stateMachine:', ':execution:')}:{name}"
    assert pipeline.ended(started)["status"] == "SUCCEEDED"


def test_resolve_request_answers_the_request(resolved: State, stack: Stack) -> None:
    request, sampled = resolved["request"], sample("launch_pod")["state"]["request"]
    assert request["image"].split("@")[0] == sampled["image"].split("@")[0]
    sampled["cluster_settings"]["url"] = stack.gateway_url
    assert {**request, "image": ""} == {**sampled, "image": ""}


def test_launch_pod_answers_the_pod(launched: State, pipeline: Pipeline) -> None:
    assert launched["pod"].keys() == sample("await_pod")["state"]["pod"].keys()
    assert launched["pod"]["name"] == pod_name()
    assert launched["pod"]["endpoint"]["status"] == "READY", "it is soon"


def test_await_pod_answers_where_the_model_is(ready: State, stack: Stack) -> None:
    pod = ready["pod"]["uid"]
    url, protocol = f"{stack.gateway_url}/{pod_name()}", ready["request"]["protocol"]
    found = {"status": "READY", "url": url, "protocol": protocol, "pod": pod}
    assert ready["pod"]["endpoint"] == found
    assert found.keys() == sample("stream_file")["state"]["pod"]["endpoint"].keys()


def test_stream_file_answers_that_the_whole_file_is_scored(scored: State) -> None:
    assert (scored["scoring"]["status"], scored["scoring"]["rows"]) == ("DONE", ROWS)


def test_persist_output_publishes_the_scored_file(persisted: State, pipeline: Pipeline) -> None:
    where = persisted["request"]["output"]
    assert persisted["output"] == {"uri": f"s3://{where['bucket']}/{where['key']}", "rows": ROWS}
    body = pipeline.s3.get_object(Bucket=where["bucket"], Key=where["key"])["Body"].read()
    assert len(body.splitlines()) == ROWS + 1


def test_persist_error_writes_the_error_file(invoke: Invoke, launched: State, pipeline: Pipeline) -> None:
    event = sample("persist_error", launched)
    failure = invoke("PersistError", event).payload
    assert failure["error"] == event["state"]["error"]["Error"]
    bucket, key = failure["uri"].removeprefix("s3://").split("/", 1)
    document = json.loads(pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert document["error"] == failure["error"]
    assert document["pod"]["name"] == launched["pod"]["name"]


def test_tear_down_leaves_nothing(invoke: Invoke, persisted: State, pipeline: Pipeline) -> None:
    attempt_id = pod_name().removeprefix("dropscore-")
    there = pipeline.objects(attempt_id)
    assert there == [f"{kind}/{pod_name()}" for kind in ("pods", "services", "httproutes")]
    assert invoke("TearDown", sample("tear_down", persisted)).payload == {"deleted": there}
    wait_for("the tear-down", lambda: not pipeline.objects(attempt_id), 30)


def test_tear_down_hears_of_an_attempt_from_eventbridge(invoke: Invoke, execution: str, pipeline: Pipeline) -> None:
    event, attempt = sample("tear_down_eventbridge"), pipeline.attempt(execution)
    event["detail"] |= {"executionArn": attempt, "name": attempt.rpartition(":")[2]}
    assert invoke("TearDown", event).payload == {"deleted": []}


def test_sweep_orphans_deletes_a_pod_that_no_execution_knows(
    invoke: Invoke, resolved: State, pipeline: Pipeline
) -> None:
    orphan = str(uuid.uuid4())
    assert invoke("LaunchPod", sample("launch_pod", resolved) | {"attempt_id": orphan}).error is None
    assert invoke("SweepOrphans", sample("sweep_orphans")).payload == {"swept": [orphan]}
    wait_for("the sweep", lambda: not pipeline.objects(orphan), 30)


NOT_SCORED = {"bucket": parts.OUTPUT_BUCKET, "key": parts.OUTPUT_PREFIX + "never-dropped.csv.scoreout"}


@pytest.mark.parametrize(
    ("function", "name", "changed", "error"),
    [
        ("ResolveRequest", "resolve_request", {"source": {"key": "incoming/never-dropped.csv"}}, "SourceGone"),
        ("LaunchPod", "launch_pod", {"request": {"cluster": "no-such-cluster"}}, "ClusterNotFound"),
        ("AwaitPod", "await_pod", {"pod": {"uid": "of-an-earlier-one"}}, "PodLost"),
        ("StreamFile", "stream_file", {"source": {"size": 0}}, "EmptyFile"),
        ("PersistOutput", "persist_output", {"request": {"output": NOT_SCORED}}, "ScoringFailed"),
    ],
)
def test_an_error_comes_under_its_own_name_with_what_to_do(
    invoke: Invoke, function: str, name: str, changed: State, error: str
) -> None:
    event = sample(name)
    for field, values in changed.items():
        event["state"][field] |= values
    answer = invoke(function, event)
    assert answer.error == error, answer
    assert json.loads(answer.message).keys() >= {"summary", "remedy"}


def test_each_function_has_the_permissions_of_its_own_role_only(stack: Stack) -> None:
    variables = json.loads((STATE / sam_local.VARIABLES).read_text())
    assert len(variables) == 12
    for function, given in variables.items():
        sts = boto3.client(
            "sts",
            endpoint_url=stack.endpoint_url,
            region_name=given["AWS_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=given["AWS_SESSION_TOKEN"],
        )
        role = sts.get_caller_identity()["Arn"].split("/")[1]
        assert role.startswith(f"dropscore-{function}Role-")
