"""A locked-down account: what its administrators make before the stack is deployed, and what they demand of it."""

from __future__ import annotations

import json
import re
from typing import Any

from local import account, parts, sam

STACK = sam.STACK_NAME
BOUNDARY = f"arn:aws:iam::{account.ACCOUNT}:policy/boundary"
ROLE_PATH = "/teams/risk/"
PARAMETERS = {
    "PermissionsBoundaryArn": BOUNDARY,
    "RolePath": ROLE_PATH,
    "AccessLogBucketName": "dropscore-access-logs",
    "CodeSigningConfigArn": f"arn:aws:lambda:{account.REGION}:{account.ACCOUNT}:code-signing-config:csc-0123456789abcdef0",
    "OutputVersioning": "Enabled",
}
KEY_ALIAS = "alias/dropscore"


def prepare(endpoint_url: str) -> dict[str, str]:
    """Make the key and the boundary, unless they are there; give the parameters of the stack that name them."""
    iam, kms = account.client(endpoint_url, "iam"), account.client(endpoint_url, "kms")
    if BOUNDARY not in [policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]]:
        document = {"Version": "2012-10-17", "Statement": [boundary()]}
        iam.create_policy(PolicyName=BOUNDARY.rpartition("/")[2], PolicyDocument=json.dumps(document))
    return PARAMETERS | {"KmsKeyArn": key(kms)}


def boundary() -> dict[str, Any]:
    """What docs/deploy.md says that a boundary has to allow, as the one statement of a policy."""
    (line,) = re.findall(
        r"^\| `PermissionsBoundaryArn` \|.*$", (parts.ROOT / "docs/deploy.md").read_text(), re.MULTILINE
    )
    named = re.findall(r"`([a-z0-9]+(?::[A-Za-z]+)?)`", line.split("|")[3])
    assert len(named) == 13, named
    return {"Effect": "Allow", "Action": [name if ":" in name else f"{name}:*" for name in named], "Resource": "*"}


def key(kms: Any) -> str:
    """The account's key, with the policy that docs/deploy.md tells to give it."""
    for alias in kms.list_aliases()["Aliases"]:
        if alias["AliasName"] == KEY_ALIAS:
            return str(kms.describe_key(KeyId=alias["TargetKeyId"])["KeyMetadata"]["Arn"])
    (policy,) = re.findall(r"```json\n(.*?)```", (parts.ROOT / "docs/deploy.md").read_text(), re.DOTALL)
    for documented, ours in (("123456789012", account.ACCOUNT), ("eu-west-1", account.REGION)):
        policy = policy.replace(documented, ours)
    made = kms.create_key(Policy=policy)["KeyMetadata"]
    kms.create_alias(AliasName=KEY_ALIAS, TargetKeyId=made["KeyId"])
    return str(made["Arn"])


def deny_what_names_no_key(s3: Any, bucket: str) -> None:
    """Have a bucket deny what is not written with the key, as an administrator does (Amazon S3 User Guide, "Using server-side
    encryption with AWS KMS keys").
    """
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    denied = {
        "Sid": "KeyOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
    }
    policy["Statement"] = [each for each in policy["Statement"] if each.get("Sid") != "KeyOnly"] + [denied]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def encryption(key: str) -> dict[str, str]:
    """The parameters of a request of S3 that begins an object."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
