"""The sample events of events/: each is what its function gets, and its function takes it."""

import json
from typing import Any

import pytest

from scoring import aws
from scoring.cluster import api as clusters
from scoring.cluster import readiness
from scoring.cluster.containers import parse_time
from scoring.cluster.queue import Queue
from scoring.errors import Failure
from scoring.files import objects
from scoring.outcome import history
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, ROOT, Context, FakeApi, crashed, event, function, running
from tests.unit.servers import Reply, Server

SAMPLES = sorted(file.stem for file in (ROOT / "events").iterdir())
FUNCTIONS = sorted(folder.name for folder in (ROOT / "functions").iterdir() if (folder / "app.py").exists())
ATTEMPT = json.loads((ROOT / "statemachine/attempt.asl.json").read_text())["States"]
POD = event("await_pod")["state"]["pod"]


def test_each_function_has_a_sample() -> None:
    assert {sample.removesuffix("_eventbridge") for sample in SAMPLES} == set(FUNCTIONS)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in ATTEMPT])
def test_a_sample_is_what_the_state_machine_gives(name: str) -> None:
    sample, given = event(name), ATTEMPT[name]["Parameters"]
    assert sample.keys() == {key.removesuffix(".$") for key in given.get("Payload", given)}
    assert sample["execution"].endswith(f":{sample['attempt_id']}")
    assert sample["file_id"] == sample["state"]["file_id"]


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name in ATTEMPT and name not in ("persist_error", "queue_file")]
)
def test_a_sample_holds_what_the_steps_before_have_added(name: str) -> None:
    before: set[str] = set()
    one_pod = ("launch_pod", "await_pod", "stream_file")
    for step in (
        "resolve_request",
        *(("plan_shards",) if name == "plan_shards" else one_pod),
        "persist_output",
        "tear_down",
    ):
        if step == name:
            break
        before.add(ATTEMPT[step]["ResultPath"].removeprefix("$."))
    given, held = {"source", "file_id", "lost_pods", history.STARTED_BY}, event(name)["state"]
    assert held.keys() == given | before - {"pod.endpoint"}
    assert ("endpoint" in held.get("pod", {})) == ("pod" in before), "launch_pod has looked"


def test_a_sample_of_a_file_that_finds_no_room_holds_what_it_was_refused_with() -> None:
    refused = event("queue_file")["state"]
    assert refused.keys() == {*event("launch_pod")["state"], "full"}
    assert Failure.from_state(refused["full"]).details["lacks"] == {"pods": 1}


def run(name: str, given: dict[str, Any] | None = None, seconds: float = 60.0) -> dict[str, Any]:
    context = Context(seconds=seconds)
    answer: dict[str, Any] = function(name.removesuffix("_eventbridge")).handler(given or event(name), context)
    json.dumps(answer)
    return answer


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """The cluster of the samples, with the pod that they name."""
    found = FakeApi(pods=running(name=POD["name"], uid=POD["uid"]))
    monkeypatch.setattr(clusters, "connect", {found.name: found}.__getitem__)
    return found


def test_launch_pod_takes_its_sample(s3: Any, api: FakeApi) -> None:
    api.objects.clear()
    launched = run("launch_pod")
    assert launched.keys() == POD.keys()
    assert (launched["name"], launched["namespace"]) == (POD["name"], POD["namespace"])
    labels = next(iter(api.objects.values()))["metadata"]["labels"]
    assert labels["dropscore.io/file"] == event("launch_pod")["file_id"]


def test_a_pod_in_a_lost_ones_place_has_another_name(s3: Any, api: FakeApi) -> None:
    given = event("launch_pod")
    given["state"]["lost_pods"] = {"count": 2}
    launched = run("launch_pod", given)
    assert (launched["name"], launched["replaces"]) == (f"{POD['name']}-2", 2)


def test_queue_file_takes_its_sample(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: dict[str, Any] = {}
    monkeypatch.setattr(Queue, "wake", lambda _, token, message: woken.setdefault(token, message))
    place = run("queue_file")["place"]
    assert place.startswith("scored/.queue/dropscore-local/dropscore/20261122T095221.448Z-")
    etag = s3.head_object(Bucket=OUTPUT_BUCKET, Key=place)["ETag"]
    assert woken == {event("queue_file")["token"]: {"wait_seconds": 5, "freed": None, "awake": etag}}


def test_await_pod_takes_its_sample(api: FakeApi, server: Server) -> None:
    given = event("await_pod")
    given["state"]["request"]["cluster_settings"]["url"] = server.url
    server.answers[f"GET /{POD['name']}/"] = Reply(body=b"pong")
    url = f"{server.url}/{POD['name']}"
    assert run("await_pod", given) == {"status": "READY", "url": url, "protocol": "sas", "pod": POD["uid"]}


def test_await_pod_says_what_it_waits_for(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "await_ready", lambda *given: readiness.Waiting("a node: 0/1 nodes are available"))
    monkeypatch.setenv("CLUSTERS", json.dumps({api.name: {"namespaces": ["dropscore"], "url": "http://gateway"}}))
    assert run("await_pod") == {
        "status": "PENDING",
        "pod": POD["uid"],
        "waiting_for": "a node: 0/1 nodes are available",
        "wait_seconds": 60,
        "admitted": parse_time(POD["created"]).isoformat(),
    }


def drop(s3: Any, given: dict[str, Any]) -> bytes:
    """Put a file of the sample's size where the sample says, which then names it."""
    dropped = given["state"]["source"]
    s3.put_bucket_versioning(Bucket=dropped["bucket"], VersioningConfiguration={"Status": "Enabled"})
    body = (b"x\n" * dropped["size"])[: dropped["size"]]
    answer = s3.put_object(Bucket=dropped["bucket"], Key=dropped["key"], Body=body)
    dropped |= {"version_id": answer["VersionId"], "etag": answer["ETag"].strip('"')}
    return body


def test_stream_file_takes_its_sample(s3: Any, server: Server, api: FakeApi) -> None:
    given = event("stream_file")
    body = drop(s3, given)
    given["state"]["pod"]["endpoint"]["url"] = server.url
    server.answers |= {
        "POST /executions": Reply(201, b'{"id": "7.1"}'),
        "GET /query/7.1/log": Reply(body=b"Completed!\n"),
        "GET /query/7.1": Reply(body=body),
    }
    begun = run("stream_file", given)
    assert (begun["status"], bool(begun["upload_id"])) == ("RUNNING", True), (
        "to fetch the result is another Lambda's work"
    )


def test_plan_shards_takes_its_sample(s3: Any) -> None:
    given = event("plan_shards")
    drop(s3, given)
    states = aws.client("stepfunctions")
    role = "arn:aws:iam::000000000000:role/dropscore-attempt"
    machine = states.create_state_machine(name="dropscore-attempt", definition="{}", roleArn=role)["stateMachineArn"]
    states.start_execution(stateMachineArn=machine, name=given["attempt_id"])
    planned = run("plan_shards", given, seconds=900.0)
    assert (planned["status"], len(planned["shards"])) == ("PLANNED", given["state"]["request"]["pods"])
    assert planned["upload_id"]
    assert planned["state_machine"] == machine


def test_persist_output_takes_its_sample(s3: Any) -> None:
    given = event("persist_output")
    output = given["state"]["request"]["output"]
    upload_id = objects.Upload.create(s3, output["bucket"], output["key"], {})
    upload = objects.Upload(s3, output["bucket"], output["key"], upload_id)
    upload.write(b"x" * given["state"]["scoring"]["bytes"])
    upload.finish()
    upload.wait()
    given["state"]["scoring"]["upload_id"] = upload_id
    assert run("persist_output", given)["rows"] == given["state"]["scoring"]["rows"]


def test_persist_error_takes_its_sample(s3: Any) -> None:
    told = run("persist_error")
    assert told["error"] == "ImageNotFound"
    assert told["uri"] == f"s3://{OUTPUT_BUCKET}/scored/2026/people & march.csv.error"


def test_tear_down_takes_its_samples(s3: Any, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    given = event("tear_down")
    labels = {"app.kubernetes.io/managed-by": "dropscore", "dropscore.io/attempt": given["attempt_id"]}
    api.put("pods", crashed(name=POD["name"], uid=POD["uid"], labels=labels))
    assert run("tear_down") == {"deleted": [f"pods/{POD['name']}"]}
    state = json.loads(event("tear_down_eventbridge")["detail"]["input"])
    monkeypatch.setattr(history, "last_state", lambda stepfunctions, arn: state)
    assert run("tear_down_eventbridge") == {"deleted": []}


def test_the_samples_tell_of_one_file() -> None:
    """So that they can be tried one after the other, as the state machine would."""
    given = [event(name)["state"] for name in SAMPLES if "state" in event(name)]
    assert len({json.dumps(state["source"]) for state in given}) == 1
    source = given[0]["source"]
    assert (source["bucket"], given[0]["source"]["key"]) == (INPUT_BUCKET, "incoming/2026/people & march.csv")
    entry = event("start_scoring")["Records"][0]["s3"]["object"]
    assert (entry["versionId"], entry["sequencer"]) == (source["version_id"], source["sequencer"])
