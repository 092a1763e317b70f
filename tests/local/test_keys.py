"""What is encrypted with a key of the account, and who may use the key."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import account
from tests.local.conftest import ANYTHING, Aws, wait_for
from tests.queues import queue_of_topics

VIA_S3 = {"StringEquals": {"kms:ViaService": f"s3.{account.REGION}.amazonaws.com"}}
ROOT = {"AWS": f"arn:aws:iam::{account.ACCOUNT}:root"}


def key_of(aws: Aws, *statements: dict[str, Any]) -> str:
    """A key whose policy leaves it to IAM, and has these statements more."""
    policy = {"Statement": [{"Effect": "Allow", "Principal": ROOT, "Action": "kms:*", "Resource": "*"}, *statements]}
    arn: str = aws.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    return arn


def user_of(aws: Aws, *statements: dict[str, Any]) -> Callable[[str], Any]:
    """Who has these permissions, as what makes clients."""
    iam, name = aws.client("iam"), f"user-{uuid.uuid4()}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="it", PolicyDocument=json.dumps({"Statement": list(statements)}))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
    return lambda service: account.client(aws.endpoint_url, service, credentials)


@pytest.mark.parametrize("by_default", [True, False])
def test_who_writes_and_reads_with_a_key_needs_leave_to_use_it(aws: Aws, bucket: str, by_default: bool) -> None:
    key = key_of(aws)
    everything_in_s3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    uses = {"Effect": "Allow", "Resource": key, "Condition": VIA_S3}
    nobody = user_of(aws, everything_in_s3)("s3")
    reader = user_of(aws, everything_in_s3, uses | {"Action": "kms:Decrypt"})("s3")
    writer = user_of(aws, everything_in_s3, uses | {"Action": ["kms:Decrypt", "kms:GenerateDataKey"]})("s3")
    named = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    if by_default:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
        aws.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        named = {}
    where = {"Bucket": bucket, "Key": "a"}
    for each in (nobody, reader):
        with pytest.raises(ClientError, match="kms:GenerateDataKey"):
            each.put_object(**where, Body=b"a", **named)
        with pytest.raises(ClientError, match="kms:GenerateDataKey"):
            each.create_multipart_upload(**where, **named)
    version = writer.put_object(**where, Body=b"a", **named)["VersionId"]
    writer.put_object(**where, Body=b"newer", **named)
    for which in ({}, {"VersionId": version}):
        assert reader.get_object(**where, **which)["Body"].read()
        with pytest.raises(ClientError, match="kms:Decrypt"):
            nobody.get_object(**where, **which)
    assert nobody.head_object(**where)["ContentLength"] == 5
    upload = {"UploadId": writer.create_multipart_upload(**where, **named)["UploadId"], "PartNumber": 1}
    with pytest.raises(ClientError, match="kms:"):
        nobody.upload_part_copy(Bucket=bucket, Key="b", CopySource=where, **upload)
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        reader.upload_part(**where, **upload, Body=b"a")
    part = {
        "PartNumber": 1,
        "ETag": writer.upload_part_copy(**where, **upload, CopySource=where)["CopyPartResult"]["ETag"],
    }
    end = {"UploadId": upload["UploadId"], "MultipartUpload": {"Parts": [part]}}
    with pytest.raises(ClientError, match="kms:Decrypt"):
        nobody.complete_multipart_upload(**where, **end)
    writer.complete_multipart_upload(**where, **end)
    assert aws.client("s3").head_object(**where)["SSEKMSKeyId"] == key


def test_a_key_counts_only_by_way_of_s3_where_it_says_so(aws: Aws) -> None:
    key = key_of(aws)
    user = user_of(aws, {"Effect": "Allow", "Action": "kms:*", "Resource": key, "Condition": VIA_S3})
    with pytest.raises(ClientError, match="AccessDenied"):
        user("kms").generate_data_key(KeyId=key, KeySpec="AES_256")


def test_eventbridge_uses_a_topics_key_only_if_the_keys_policy_says_so(aws: Aws) -> None:
    """A topic tells an SQS queue what has come."""
    sns, sqs, events = aws.client("sns"), aws.client("sqs"), aws.client("events")
    may = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": "*"}
    keys = {
        "shut": key_of(aws),
        "open": key_of(aws, may | {"Action": ["kms:Decrypt", "kms:GenerateDataKey"]}),
    }
    queue, queue_arn = queue_of_topics(sqs, f"told-{uuid.uuid4()}")
    rule = f"rule-{uuid.uuid4()}"
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
    for name, key in keys.items():
        topic = sns.create_topic(Name=f"{name}-{uuid.uuid4()}", Attributes={"KmsMasterKeyId": key})["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
        events.put_targets(Rule=rule, Targets=[{"Id": name, "Arn": topic, "Input": json.dumps(name)}])
    events.put_events(Entries=[{"Source": rule, "DetailType": "Probe", "Detail": "{}"}])
    (message,) = wait_for(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    assert message["Body"] == '"open"'
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_a_template_gives_a_role_its_boundary_and_a_log_group_only_a_key_that_its_service_may_use(aws: Aws) -> None:
    iam, cloudformation = aws.client("iam"), aws.client("cloudformation")
    nothing = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    )
    boundary = iam.create_policy(PolicyName=f"boundary-{uuid.uuid4()}", PolicyDocument=nothing)["Policy"]["Arn"]
    logs = {
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{account.REGION}.amazonaws.com"},
        "Action": "kms:*",
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:*:*:log-group:mine-*"}},
    }
    trust = {"Statement": [{"Effect": "Allow", "Principal": ROOT, "Action": "sts:AssumeRole"}]}
    role = {
        "AssumeRolePolicyDocument": trust,
        "PermissionsBoundary": boundary,
        "Path": "/mine/",
        "Policies": [{"PolicyName": "it", "PolicyDocument": {"Statement": ANYTHING}}],
    }
    key = key_of(aws, logs)
    for name, ends in (("mine", "CREATE_COMPLETE"), ("other", "ROLLBACK_COMPLETE")):
        stack = f"{name}-{uuid.uuid4()}"
        group = {"LogGroupName": stack, "KmsKeyId": key}
        template = {
            "Resources": {
                "Role": {"Type": "AWS::IAM::Role", "Properties": role},
                "Group": {"Type": "AWS::Logs::LogGroup", "Properties": group, "DependsOn": "Role"},
            }
        }
        cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])

        def ended(stack: str = stack) -> str | None:
            status: str = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
            return None if status.endswith("_IN_PROGRESS") else status

        assert wait_for(ended) == ends
        if name == "mine":
            found = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId="Role")
            physical = found["StackResourceDetail"]["PhysicalResourceId"]
            made = iam.get_role(RoleName=physical)["Role"]
            assert (made["Path"], made["PermissionsBoundary"]["PermissionsBoundaryArn"]) == ("/mine/", boundary)
