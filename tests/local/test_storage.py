"""S3 and ECR as our reading, writing and tagging relies on them, and who may invoke a function."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode
from typing import Any
from zlib import crc32

import pytest
from botocore.exceptions import ClientError

from local import account
from tests.local.conftest import ANYTHING, Aws, wait_for


def test_a_range_of_a_version(aws: Aws, bucket: str) -> None:
    s3 = aws.client("s3")
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    part = s3.get_object(Bucket=bucket, Key="k", VersionId=version, Range="bytes=4-")
    assert (part["Body"].read(), part["ContentRange"]) == (b"456789", "bytes 4-9/10")
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket=bucket, Key="k", VersionId=version, Range="bytes=10-")


def test_tags_of_a_multipart_upload_arrive_with_the_object(aws: Aws, bucket: str) -> None:
    s3, where = aws.client("s3"), {"Bucket": bucket, "Key": "out"}
    upload = s3.create_multipart_upload(**where, Tagging="rows=3&source=s3://a b")["UploadId"]
    part = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**where)["TagSet"]}
    assert tags == {"rows": "3", "source": "s3://a b"}


def test_an_upload_may_ask_for_the_checksum_of_all_of_it(aws: Aws, bucket: str) -> None:
    s3, where = aws.client("s3"), {"Bucket": bucket, "Key": "out"}
    bodies = (b"x" * (5 << 20), b"y")
    for kind, checksum in (("FULL_OBJECT", crc32(b"".join(bodies)).to_bytes(4, "big")), ("COMPOSITE", b"")):
        upload = s3.create_multipart_upload(**where, ChecksumAlgorithm="CRC32", ChecksumType=kind)["UploadId"]
        etags = [
            s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)["ETag"]
            for number, body in enumerate(bodies, 1)
        ]
        parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
        found = s3.head_object(**where, ChecksumMode="ENABLED")
        assert found["ChecksumType"] == kind
        assert not checksum or b64decode(found["ChecksumCRC32"]) == checksum
        assert s3.get_object(**where, ChecksumMode="ENABLED")["Body"].read() == b"".join(bodies)


def test_only_the_last_part_may_be_small(aws: Aws, bucket: str) -> None:
    s3, where = aws.client("s3"), {"Bucket": bucket, "Key": "out"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    uploaded = [s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)]
    parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(uploaded, 1)]}
    with pytest.raises(ClientError, match="EntityTooSmall"):
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)


@pytest.mark.parametrize("tagging", ["k=a%2Ab", "k=" + "v" * 257, "%C3%BC!=v", "k" * 129 + "=v"])
def test_tags_that_s3_refuses(aws: Aws, bucket: str, tagging: str) -> None:
    with pytest.raises(ClientError, match="InvalidTag"):
        aws.client("s3").put_object(Bucket=bucket, Key="k", Body=b"", Tagging=tagging)


def test_a_new_object_has_tags_of_its_own(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="without-versions")
    s3.put_object(Bucket="without-versions", Key="k", Body=b"", Tagging="a=b")
    s3.put_object(Bucket="without-versions", Key="k", Body=b"")
    assert s3.get_object_tagging(Bucket="without-versions", Key="k")["TagSet"] == []


def test_an_image_that_is_not_there(aws: Aws) -> None:
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="models/empty")
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_images(repositoryName="models/empty", imageIds=[{"imageTag": "1"}])
    assert ecr.describe_images(repositoryName="models/empty")["imageDetails"] == []


def test_s3_invokes_a_function_only_for_a_bucket_that_its_policy_names(aws: Aws, bucket: str) -> None:
    function, s3 = aws.function("notified"), aws.client("s3")
    notification = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [notification]}
    )
    allow(aws, function, "s3.amazonaws.com", "arn:aws:s3:::other")
    s3.put_object(Bucket=bucket, Key="refused", Body=b"")
    allow(aws, function, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    s3.put_object(Bucket=bucket, Key="allowed", Body=b"")
    assert wait_for(lambda: invocations(aws, "notified")) == 1


def test_a_rule_invokes_a_function_only_if_its_policy_names_the_rule(aws: Aws) -> None:
    function, events = aws.function("ruled"), aws.client("events")
    rule = events.put_rule(Name="ruling", EventPattern=json.dumps({"source": ["us"]}))["RuleArn"]
    events.put_targets(Rule="ruling", Targets=[{"Id": "function", "Arn": function}])
    event = {"Source": "us", "DetailType": "it", "Detail": "{}"}
    events.put_events(Entries=[event])
    allow(aws, function, "events.amazonaws.com", rule)
    events.put_events(Entries=[event])
    assert wait_for(lambda: invocations(aws, "ruled")) == 1


def allow(aws: Aws, function: str, service: str, source: str) -> None:
    aws.client("lambda").add_permission(
        FunctionName=function,
        Action="lambda:InvokeFunction",
        Principal=service,
        SourceArn=source,
        StatementId=str(uuid.uuid4()),
    )


def invocations(aws: Aws, function: str) -> int:
    logs, group = aws.client("logs"), f"/aws/lambda/{function}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return 0
    return sum(event["message"].startswith("END ") for event in logs.filter_log_events(logGroupName=group)["events"])


def test_a_policy_that_asks_for_tls_lets_a_user_in(aws: Aws, bucket: str) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    statement = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
    as_user(aws, "writer", ANYTHING, "s3").put_object(Bucket=bucket, Key="k", Body=b"")


def test_who_puts_an_object_with_tags_needs_leave_to_tag(aws: Aws, bucket: str) -> None:
    allow_put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3 = as_user(aws, "putter", [allow_put], "s3")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=b")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_multipart_upload(Bucket=bucket, Key="k", Tagging="a=b")


def test_leave_for_a_stack_is_leave_for_that_stack(aws: Aws) -> None:
    stack = f"arn:aws:cloudformation:{account.REGION}:{account.ACCOUNT}:stack/mine/*"
    allow_one = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": stack}
    cloudformation = as_user(aws, "describer", [allow_one], "cloudformation")
    # There is none: that is what an answer says to who may ask.
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="mine")
    for other in ({"StackName": "another"}, {}):
        with pytest.raises(ClientError, match="AccessDenied"):
            cloudformation.describe_stacks(**other)


def as_user(aws: Aws, name: str, statements: list[dict[str, str]], service: str) -> Any:
    """The client of a new user who may do so much."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="it", PolicyDocument=json.dumps({"Statement": statements}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return account.client(aws.endpoint_url, service, credentials)
