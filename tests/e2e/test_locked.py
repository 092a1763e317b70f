"""In a locked-down account: every role is bounded and has its path, and everything is encrypted with the account's key."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e import locked
from tests.e2e.pipeline import Pipeline

IN, OUT = "dropscore-input", "dropscore-output"


@pytest.fixture(scope="module")
def key(pipeline: Pipeline) -> str:
    return locked.key(pipeline.stack.client("kms"))


def of_type(pipeline: Pipeline, kind: str) -> list[str]:
    """The names of the stack's resources of a type."""
    listed = pipeline.stack.client("cloudformation").describe_stack_resources(StackName=locked.STACK)["StackResources"]
    return [each["PhysicalResourceId"] for each in listed if each["ResourceType"] == kind]


def test_every_role_is_bounded_and_has_its_path(pipeline: Pipeline) -> None:
    iam = pipeline.stack.client("iam")
    roles = [iam.get_role(RoleName=name)["Role"] for name in of_type(pipeline, "AWS::IAM::Role")]
    # Of twelve functions, two state machines and the schedules.
    assert len(roles) == 15
    assert {role["Path"] for role in roles} == {locked.ROLE_PATH}
    assert {role["PermissionsBoundary"]["PermissionsBoundaryArn"] for role in roles} == {locked.BOUNDARY}


def test_a_bucket_that_denies_what_names_no_key_gets_everything_that_comes_of_a_file(
    pipeline: Pipeline, key: str
) -> None:
    """A scored file and a failed one, and by the bucket's policy whatever else the functions write in all of these tests."""
    s3 = pipeline.stack.user_client("s3")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=IN, Key="incoming/locked/plain.csv", Body=b"a\n1\n")
    failed = pipeline.drop("locked/fails.csv", b"a\n1\n", protocol="soap")
    scored = pipeline.drop("locked/one.csv", b"a,b\n1,2\n", model_image="sas-anomaly", protocol="sas")
    assert pipeline.outcome(failed).error["error"] == "InvalidTags"
    assert pipeline.outcome(scored).lines
    written: dict[str, Any] = {}
    for page in pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=OUT, Prefix="scored/locked/"):
        for each in page.get("Contents", ()):
            written[each["Key"]] = pipeline.s3.head_object(Bucket=OUT, Key=each["Key"]).get("SSEKMSKeyId")
    assert {"scored/locked/fails.csv.error", "scored/locked/one.csv.scoreout"} <= written.keys()
    assert set(written.values()) == {key}


def test_functions_queues_logs_and_the_topic_have_the_key(pipeline: Pipeline, key: str) -> None:
    functions, logs = pipeline.stack.client("lambda"), pipeline.stack.client("logs")
    sqs, sns = pipeline.stack.client("sqs"), pipeline.stack.client("sns")
    for name in of_type(pipeline, "AWS::Lambda::Function"):
        assert functions.get_function_configuration(FunctionName=name)["KMSKeyArn"] == key
        signing = functions.get_function_code_signing_config(FunctionName=name)
        assert signing["CodeSigningConfigArn"] == locked.PARAMETERS["CodeSigningConfigArn"]
    queues = of_type(pipeline, "AWS::SQS::Queue")
    topics = of_type(pipeline, "AWS::SNS::Topic")
    groups = of_type(pipeline, "AWS::Logs::LogGroup")
    assert (len(queues), len(topics), len(groups)) == (2, 1, 2)
    for queue in queues:
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert attributes["KmsMasterKeyId"] == key
        assert attributes.get("SqsManagedSseEnabled", "false") == "false"
    assert sns.get_topic_attributes(TopicArn=topics[0])["Attributes"]["KmsMasterKeyId"] == key
    for group in groups:
        (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        assert found["kmsKeyId"] == key
