"""A user of the folder has what the template's UsersPolicy gives, on the stack that enforces IAM, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError

from tests.e2e.pipeline import Pipeline

IN, OUT = "dropscore-input", "dropscore-output"
FILE = {"Bucket": IN, "Key": "incoming/users/one.csv"}
SCORED = "scored/users/one.csv.scoreout"
# Of what is left beside it for a moment, or only where there is reason for it.
BESIDE = tuple(f"scored/users/probe.csv.{suffix}" for suffix in ("error", "rejected", "receipt.json"))
PROGRESS = "scored/.progress/probe"


@pytest.fixture(scope="module")
def execution(pipeline: Pipeline) -> Iterator[str]:
    """A file that a user has dropped, and the execution that the user has found for it."""
    s3 = pipeline.stack.user_client("s3")
    for key in (*BESIDE, PROGRESS, "elsewhere/probe.error"):
        pipeline.s3.put_object(Bucket=OUT, Key=key, Body=b"{}", Tagging="error=none")
    tags = urlencode({"model_image": pipeline.image("sas-anomaly"), "protocol": "sas"})
    upload = s3.create_multipart_upload(**FILE, Tagging=tags)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(**FILE, UploadId=upload, PartNumber=1, Body=b"a,b\n1,2\n")["ETag"]}
    assert len(s3.list_parts(**FILE, UploadId=upload)["Parts"]) == 1
    version = s3.complete_multipart_upload(**FILE, UploadId=upload, MultipartUpload={"Parts": [part]})["VersionId"]
    users = Pipeline(pipeline.stack)
    users.s3, users.sfn = s3, pipeline.stack.user_client("stepfunctions")
    found = users.execution(FILE["Key"], version)
    users.ended(found)
    yield found
    for key in (*BESIDE, PROGRESS, "elsewhere/probe.error"):
        pipeline.s3.delete_object(Bucket=OUT, Key=key)


def test_a_user_drops_a_file_follows_it_and_reads_what_comes_of_it(pipeline: Pipeline, execution: str) -> None:
    s3, states = pipeline.stack.user_client("s3"), pipeline.stack.user_client("stepfunctions")
    (stack,) = pipeline.stack.user_client("cloudformation").describe_stacks(StackName="dropscore")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    attempt = pipeline.attempt(execution)
    for each in (execution, attempt):
        assert states.describe_execution(executionArn=each)["status"] == "SUCCEEDED"
        assert states.get_execution_history(executionArn=each)["events"]
    for machine in ("ScoreFileStateMachineArn", "AttemptStateMachineArn"):
        assert states.list_executions(stateMachineArn=outputs[machine])["executions"]
    for key in (SCORED, *BESIDE):
        assert s3.head_object(Bucket=OUT, Key=key)["ContentLength"]
        assert s3.get_object(Bucket=OUT, Key=key)["Body"].read()
        assert s3.get_object_tagging(Bucket=OUT, Key=key)["TagSet"]
    assert s3.get_object(Bucket=OUT, Key=PROGRESS)["Body"].read()
    assert s3.list_objects_v2(Bucket=OUT, Prefix="scored/users/")["KeyCount"] >= 4
    assert s3.list_objects_v2(Bucket=IN, Prefix="incoming/users/")["KeyCount"] >= 1


def test_a_user_redrives_a_file_that_failed(pipeline: Pipeline) -> None:
    failed = pipeline.drop("users/fails.csv", b"a\n1\n", protocol="soap")
    assert pipeline.outcome(failed).error["error"] == "InvalidTags"
    states = pipeline.stack.user_client("stepfunctions")
    first = pipeline.attempt(failed)
    with pytest.raises(ClientError, match="AccessDenied"):
        states.redrive_execution(executionArn=first)
    states.redrive_execution(executionArn=failed)
    pipeline.ended(failed)
    assert pipeline.attempt(failed) != first


def refused(pipeline: Pipeline) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """What a user may not do: a service, an operation and its parameters for each."""
    machine = pipeline.stack.score_file_arn
    return {
        "drop elsewhere": ("s3", "put_object", {"Bucket": IN, "Key": "elsewhere/a.csv", "Body": b""}),
        "read a dropped file": ("s3", "get_object", FILE),
        "delete a dropped file": ("s3", "delete_object", FILE),
        "list all input": ("s3", "list_objects_v2", {"Bucket": IN}),
        "list elsewhere": ("s3", "list_objects_v2", {"Bucket": OUT, "Prefix": "elsewhere/"}),
        "list all output": ("s3", "list_objects_v2", {"Bucket": OUT}),
        "read elsewhere": ("s3", "get_object", {"Bucket": OUT, "Key": "elsewhere/probe.error"}),
        "write an outcome": ("s3", "put_object", {"Bucket": OUT, "Key": SCORED, "Body": b""}),
        "change an outcome's tags": (
            "s3",
            "put_object_tagging",
            {"Bucket": OUT, "Key": SCORED, "Tagging": {"TagSet": []}},
        ),
        "delete an outcome": ("s3", "delete_object", {"Bucket": OUT, "Key": SCORED}),
        "write progress": ("s3", "put_object", {"Bucket": OUT, "Key": PROGRESS, "Body": b""}),
        "start an execution": ("stepfunctions", "start_execution", {"stateMachineArn": machine, "input": "{}"}),
        "read a state machine": ("stepfunctions", "describe_state_machine", {"stateMachineArn": machine}),
        "read profiles": ("ssm", "get_parameters_by_path", {"Path": "/dropscore/profiles"}),
        "change a profile": (
            "ssm",
            "put_parameter",
            {"Name": "/dropscore/profiles/mine", "Value": "{}", "Type": "String"},
        ),
        "describe another stack": ("cloudformation", "describe_stacks", {"StackName": "another"}),
        "describe all stacks": ("cloudformation", "describe_stacks", {}),
        "read the template": ("cloudformation", "get_template", {"StackName": "dropscore"}),
        "call a function": ("lambda", "invoke", {"FunctionName": pipeline.resources["StreamFile"]}),
        "read logs": ("logs", "filter_log_events", {"logGroupName": pipeline.resources["FunctionLogs"]}),
        "tell EventBridge": (
            "events",
            "put_events",
            {"Entries": [{"Source": "dropscore", "DetailType": "File Scored", "Detail": "{}"}]},
        ),
        "look a cluster up": ("eks", "describe_cluster", {"name": "dropscore-local"}),
        "look an image up": ("ecr", "describe_images", {"repositoryName": "sas-anomaly"}),
        "make a key": ("iam", "create_access_key", {"UserName": "dropscore-user"}),
    }


def test_a_user_may_do_nothing_else(pipeline: Pipeline, execution: str) -> None:
    states = pipeline.stack.user_client("stepfunctions")
    done = []
    for what, (service, operation, parameters) in refused(pipeline).items():
        try:
            getattr(pipeline.stack.user_client(service), operation)(**parameters)
        except ClientError as error:
            assert "Denied" in error.response["Error"]["Code"], (what, error)
        else:
            done.append(what)
    with pytest.raises(ClientError, match="AccessDenied"):
        states.stop_execution(executionArn=execution)
    assert not done


def test_the_policy_has_no_wildcard_for_an_action_or_a_whole_resource(pipeline: Pipeline) -> None:
    iam = pipeline.stack.client("iam")
    arn = pipeline.resources["UsersPolicy"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    statements = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    assert statements
    for each in statements:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        resources = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        assert not any("*" in action for action in actions)
        assert "*" not in resources
