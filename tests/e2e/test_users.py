"""A user of the folder has what the template's UsersPolicy gives, on the stack that enforces IAM, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError

from local import account
from scoring.intake.identity import ERROR_SUFFIX
from scoring.outcome import index
from tests.e2e import locked, models
from tests.e2e.pipeline import Pipeline

IN, OUT = "dropscore-input", "dropscore-output"
FILE = {"Bucket": IN, "Key": "incoming/users/one.csv"}
SCORED = "scored/users/one.csv.scoreout"
# Of what is left beside it for a moment, or only where there is reason for it.
BESIDE = tuple(f"scored/users/probe.csv.{suffix}" for suffix in ("error", "rejected", "receipt.json"))
PROGRESS = "scored/.progress/probe"
ENDED = "scored/.progress/.ended/"


@pytest.fixture(scope="module")
def execution(pipeline: Pipeline) -> Iterator[str]:
    """A file that a user has dropped, and the execution that the user has found for it."""
    s3 = pipeline.stack.user_client("s3")
    for key in (*BESIDE, PROGRESS, "elsewhere/probe.error"):
        pipeline.s3.put_object(Bucket=OUT, Key=key, Body=b"{}", Tagging="error=none")
    encrypted = locked.encryption(locked.key(pipeline.stack.client("kms")))
    tagging = urlencode({"model_image": models.push(pipeline, "well"), "protocol": "sagemaker"})
    upload = s3.create_multipart_upload(**FILE, Tagging=tagging, **encrypted)["UploadId"]
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
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=OUT, Prefix=ENDED)["Contents"]]
    name = execution.rsplit(":", 1)[-1]
    (record,) = [index.read(key, "scored/") for key in keys if index.execution_of(key, "scored/") == name]
    assert record
    assert (record.key, record.rows, record.error) == (FILE["Key"], 1, "")


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
        "write what has ended": ("s3", "put_object", {"Bucket": OUT, "Key": f"{ENDED}probe", "Body": b""}),
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


def test_one_folder_for_all_keeps_nobody_from_putting_over_the_files_of_others(pipeline: Pipeline) -> None:
    """As docs/deploy.md says: put and tag, but neither read nor delete."""
    theirs = {"Bucket": IN, "Key": "incoming/users/of-another.csv.error"}
    pipeline.s3.put_object(**theirs, Body=b"theirs")
    s3 = pipeline.stack.user_client("s3")
    s3.put_object_tagging(**theirs, Tagging={"TagSet": [{"Key": "model_image", "Value": "another"}]})
    s3.put_object(**theirs, Body=b"over it", **locked.encryption(locked.key(pipeline.stack.client("kms"))))
    for refused in (s3.get_object, s3.delete_object, s3.get_object_tagging):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused(**theirs)


@pytest.fixture
def team(pipeline: Pipeline) -> Iterator[Callable[[str], Any]]:
    """Clients of a user of the team risk, with the policy that docs/deploy.md tells an administrator to make."""
    iam = pipeline.stack.client("iam")
    arn = pipeline.resources["UsersPolicy"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    text = document if isinstance(document, str) else json.dumps(document)
    told = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
    (expressions,) = re.findall(r"^    sed ((?:-e '[^']+' )+)users.json > risk.json$", told, re.MULTILINE)
    given = [part for each in re.findall("-e '([^']+)'", expressions) for part in ("-e", each)]
    made = subprocess.run(["sed", *given], input=text, capture_output=True, text=True, check=True).stdout
    policy = json.loads(made)
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "ReadProgress"]
    iam.create_user(UserName="team-risk")
    iam.put_user_policy(UserName="team-risk", PolicyName="risk", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="team-risk")["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    yield lambda service: account.client(pipeline.stack.endpoint_url, service, credentials)
    iam.delete_access_key(UserName="team-risk", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="team-risk", PolicyName="risk")
    iam.delete_user(UserName="team-risk")


def test_a_team_with_a_folder_of_its_own_has_that_and_no_other(
    pipeline: Pipeline, team: Callable[[str], Any], execution: str
) -> None:
    s3, states = team("s3"), team("stepfunctions")
    encrypted = locked.encryption(locked.key(pipeline.stack.client("kms")))
    own_file = {"Bucket": IN, "Key": "incoming/risk/own.csv"}
    version = s3.put_object(**own_file, Body=b"a\n1\n", Tagging="protocol=soap", **encrypted)["VersionId"]
    users = Pipeline(pipeline.stack)
    users.s3, users.sfn = s3, states
    own = users.execution("incoming/risk/own.csv", version)
    assert users.outcome(own).key == f"scored/risk/own.csv{ERROR_SUFFIX}"
    assert s3.list_objects_v2(Bucket=OUT, Prefix="scored/risk/")["KeyCount"] == 1
    # Executions know no folders.
    assert states.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"
    done = []
    for what, operation, parameters in (
        ("drop in another folder", "put_object", {"Bucket": IN, "Key": "incoming/users/two.csv", "Body": b""}),
        ("tag in another folder", "put_object_tagging", {**FILE, "Tagging": {"TagSet": []}}),
        ("list another folder", "list_objects_v2", {"Bucket": IN, "Prefix": "incoming/users/"}),
        ("list what has ended", "list_objects_v2", {"Bucket": OUT, "Prefix": ENDED}),
        ("list all folders", "list_objects_v2", {"Bucket": OUT, "Prefix": "scored/"}),
        ("read another outcome", "get_object", {"Bucket": OUT, "Key": SCORED}),
        ("read another outcome's tags", "get_object_tagging", {"Bucket": OUT, "Key": SCORED}),
        ("read records on their way", "get_object", {"Bucket": OUT, "Key": PROGRESS}),
    ):
        try:
            getattr(s3, operation)(**parameters)
        except ClientError as error:
            assert "Denied" in error.response["Error"]["Code"], (what, error)
        else:
            done.append(what)
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
