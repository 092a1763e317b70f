"""Each function may do its own work and nobody else's: its real role, tried out on the stack that enforces IAM and RBAC."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e import locked
from tests.e2e.pipeline import Pipeline

FUNCTIONS = (
    "StartScoring",
    "ResolveRequest",
    "LaunchPod",
    "QueueFile",
    "AwaitPod",
    "StreamFile",
    "PlanShards",
    "PersistOutput",
    "PersistError",
    "TearDown",
    "SweepOrphans",
    "SweepVersions",
)
# A function that makes one call with whatever role it was given, and tells how that went.
PROBE = """
import boto3
from botocore.exceptions import ClientError
def handler(event, context):
    try:
        getattr(boto3.client(event["service"]), event["operation"])(**event["parameters"])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"
"""
IN, OUT = "dropscore-input", "dropscore-output"
ARN = "arn:aws:states:us-east-1:000000000000"
PLACE = "scored/.queue/probe/probe/probe"
NO_UPLOAD = {"UploadId": "none"}
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "read a file": ("s3", "get_object", {"Bucket": IN, "Key": "incoming/probe.csv"}),
    "read a file's tags": ("s3", "get_object_tagging", {"Bucket": IN, "Key": "incoming/probe.csv"}),
    "read outside the folder": ("s3", "get_object", {"Bucket": IN, "Key": "elsewhere/probe.csv"}),
    "overwrite a file": ("s3", "put_object", {"Bucket": IN, "Key": "incoming/probe.csv", "Body": b"".decode()}),
    "write a scored file": ("s3", "create_multipart_upload", {"Bucket": OUT, "Key": "scored/probe.csv.scoreout"}),
    "write an error": ("s3", "put_object", {"Bucket": OUT, "Key": "scored/probe.csv.error", "Body": ""}),
    "write outside the folder": ("s3", "put_object", {"Bucket": OUT, "Key": "elsewhere.error", "Body": ""}),
    "write what was rejected": ("s3", "create_multipart_upload", {"Bucket": OUT, "Key": "scored/probe.csv.rejected"}),
    "give a scored file up": (
        "s3",
        "abort_multipart_upload",
        {"Bucket": OUT, "Key": "scored/probe.csv.scoreout", **NO_UPLOAD},
    ),
    "give what was rejected up": (
        "s3",
        "abort_multipart_upload",
        {"Bucket": OUT, "Key": "scored/probe.csv.rejected", **NO_UPLOAD},
    ),
    "read the tags of what was rejected": (
        "s3",
        "get_object_tagging",
        {"Bucket": OUT, "Key": "scored/probe.csv.rejected"},
    ),
    "delete what was rejected": ("s3", "delete_object", {"Bucket": OUT, "Key": "scored/probe.csv.rejected"}),
    "delete a scored file": ("s3", "delete_object", {"Bucket": OUT, "Key": "scored/probe.csv.scoreout"}),
    "read the tags of an error": ("s3", "get_object_tagging", {"Bucket": OUT, "Key": "scored/probe.csv.error"}),
    "delete an error": ("s3", "delete_object", {"Bucket": OUT, "Key": "scored/probe.csv.error"}),
    "tell EventBridge": (
        "events",
        "put_events",
        {"Entries": [{"Source": "probe", "DetailType": "Probe", "Detail": "{}"}]},
    ),
    "record what was told": ("s3", "put_object", {"Bucket": OUT, "Key": "scored/.progress/.told/probe", "Body": ""}),
    "record what has ended": ("s3", "put_object", {"Bucket": OUT, "Key": "scored/.progress/.ended/probe", "Body": ""}),
    "read what has ended": ("s3", "get_object", {"Bucket": OUT, "Key": "scored/.progress/.ended/probe"}),
    "read a place": ("s3", "get_object", {"Bucket": OUT, "Key": PLACE}),
    "take a place": ("s3", "put_object", {"Bucket": OUT, "Key": PLACE, "Body": ""}),
    "give a place up": ("s3", "delete_object", {"Bucket": OUT, "Key": PLACE}),
    "call a file": ("stepfunctions", "send_task_success", {"taskToken": "none", "output": "{}"}),
    "read a history": (
        "stepfunctions",
        "get_execution_history",
        {"executionArn": f"{ARN}:execution:dropscore-attempt:probe"},
    ),
    "list the versions of a function": ("lambda", "list_versions_by_function", {"FunctionName": "LaunchPod"}),
    "delete a version of a function": ("lambda", "delete_function", {"FunctionName": "LaunchPod", "Qualifier": "999"}),
    "look an image up": ("ecr", "describe_images", {"repositoryName": "sas-anomaly"}),
    "look a cluster up": ("eks", "describe_cluster", {"name": "dropscore-local"}),
    "list clusters": ("eks", "list_clusters", {}),
    "read profiles": ("ssm", "get_parameters_by_path", {"Path": "/dropscore/profiles"}),
    "read clusters": ("ssm", "get_parameters_by_path", {"Path": "/dropscore/clusters"}),
    "read other parameters": ("ssm", "get_parameters_by_path", {"Path": "/dropscore"}),
    "change a profile": (
        "ssm",
        "put_parameter",
        {"Name": "/dropscore/profiles/probe", "Value": "{}", "Type": "String"},
    ),
}
# What is not there is no matter of permission.
DONE = (
    "ok",
    "NoSuchUpload",
    "NoSuchKey",
    "InvalidToken",
    "ExecutionDoesNotExist",
    "ResourceNotFoundException",
    "RepositoryNotFoundException",
)
QUEUE = {"read a place", "take a place", "give a place up", "call a file"}
MAY = {
    "StartScoring": set(),
    "ResolveRequest": {
        "read a file",
        "read a file's tags",
        "look an image up",
        "look a cluster up",
        "read profiles",
        "read clusters",
    },
    "LaunchPod": {"look a cluster up", *QUEUE},
    "QueueFile": QUEUE,
    "AwaitPod": {"look a cluster up"},
    # It may write all records of progress.
    "StreamFile": {
        "read what has ended",
        "read a file",
        "write a scored file",
        "write what was rejected",
        "give a scored file up",
        "give what was rejected up",
        "record what was told",
        "record what has ended",
        "look a cluster up",
    },
    "PlanShards": {
        "read what has ended",
        "read a file",
        "write a scored file",
        "write what was rejected",
        "give a scored file up",
        "give what was rejected up",
        "record what was told",
        "record what has ended",
    },
    "PersistOutput": {
        "write a scored file",
        "write what was rejected",
        "give a scored file up",
        "give what was rejected up",
        "read the tags of what was rejected",
        "delete what was rejected",
        "read the tags of an error",
        "delete an error",
        "tell EventBridge",
        "record what was told",
        "record what has ended",
    },
    "PersistError": {
        "write an error",
        "read the tags of an error",
        "tell EventBridge",
        "record what was told",
        "record what has ended",
        "read a history",
        "look a cluster up",
    },
    "TearDown": {
        "read what has ended",
        "give a scored file up",
        "give what was rejected up",
        "read a history",
        "look a cluster up",
        *QUEUE,
    },
    "SweepOrphans": {"look a cluster up", "read clusters", *QUEUE},
    "SweepVersions": {"list the versions of a function", "delete a version of a function"},
}


@pytest.fixture(scope="module")
def names(pipeline: Pipeline) -> dict[str, str]:
    """What the template's resources are called on the stack."""
    resources = pipeline.stack.client("cloudformation").describe_stack_resources(StackName="dropscore")
    return {entry["LogicalResourceId"]: entry["PhysicalResourceId"] for entry in resources["StackResources"]}


@pytest.fixture(scope="module")
def roles(names: dict[str, str]) -> dict[str, str]:
    return {name: f"arn:aws:iam::000000000000:role{locked.ROLE_PATH}{names[f'{name}Role']}" for name in FUNCTIONS}


@pytest.fixture
def probe(pipeline: Pipeline, roles: dict[str, str]) -> Iterator[Callable[..., str]]:
    """Make a call with a function's role; `ok`, or the code of AWS's refusal."""
    aws = pipeline.stack.client("lambda")
    made: list[str] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("app.py", PROBE)
    runtime = aws.list_functions()["Functions"][0]["Runtime"]

    def call(function: str, service: str, operation: str, parameters: dict[str, Any]) -> str:
        name = f"probe-{function}-{id(made)}"
        if name not in made:
            aws.create_function(
                FunctionName=name,
                Runtime=runtime,
                Role=roles[function],
                Handler="app.handler",
                Code={"ZipFile": buffer.getvalue()},
                Timeout=30,
            )
            made.append(name)
        payload = json.dumps({"service": service, "operation": operation, "parameters": parameters})
        answer = json.loads(aws.invoke(FunctionName=name, Payload=payload)["Payload"].read())
        assert isinstance(answer, str), answer
        return answer

    yield call
    for name in made:
        aws.delete_function(FunctionName=name)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_its_own_work_and_no_other(
    pipeline: Pipeline, probe: Callable[..., str], names: dict[str, str], function: str
) -> None:
    for bucket, key in ((IN, "elsewhere/probe.csv"), (OUT, "scored/probe.csv.error")):
        pipeline.s3.put_object(Bucket=bucket, Key=key, Body=b"")
    # Not by way of the folder's event: the object has to be there, not to be scored.
    pipeline.s3.put_object(Bucket=IN, Key="incoming/probe.csv.error", Body=b"")
    keys = {"incoming/probe.csv": "incoming/probe.csv.error", "LaunchPod": names["LaunchPod"]}
    encrypted = locked.encryption(locked.key(pipeline.stack.client("kms")))
    allowed = set()
    for what, (service, operation, parameters) in CALLS.items():
        parameters = {
            name: keys.get(value, value) if isinstance(value, str) else value for name, value in parameters.items()
        }
        if operation in ("put_object", "create_multipart_upload"):
            parameters |= encrypted
        answer = probe(function, service, operation, parameters)
        assert answer in (*DONE, "AccessDenied", "AccessDeniedException"), (what, answer)
        if answer in DONE:
            allowed.add(what)
    assert allowed == MAY[function]
