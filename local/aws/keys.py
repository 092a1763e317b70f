"""Repairs of what a key of the account means: nothing that is encrypted with it is written or read without leave to use it.

- S3 asks for leave to use the key, by way of S3, of who writes an object that is encrypted with it, and of who reads one; a
  template's default encryption counts. MiniStack notes the key down, and asks for nothing.
- EventBridge may use the key of a topic or a queue, and CloudWatch Logs that of a log group, only if the key's policy says so.
- Of a template, the key of a topic and of a function's variables, and a function's code signing configuration, are kept.
"""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, kms, lambda_svc, s3, sns, sqs

from local.aws.access import context_of_service
from local.aws.templates import after

READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"
KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id"

logger = logging.getLogger(__name__)


def repair() -> None:
    """Let keys and their policies count."""
    enforce, checks, invoke_target = (
        iam_evaluator.enforce,
        iam_actions.s3_additional_checks,
        eventbridge._invoke_target,
    )

    def enforce_by_way_of_s3(
        access_key_id: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None
    ) -> Any:
        if service == "s3" and action.startswith("kms:"):
            service, service_context = "kms", {"kms:ViaService": f"s3.{region or get_region()}.amazonaws.com"}
        return enforce(access_key_id, action, service, region, resource_arn, service_context)

    def checks_with_keys(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        return [*checks(method, path, headers, body, query), *uses_of_keys(method, path, headers, query)]

    def invoke_if_key_allows(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        arn = target.get("Arn", "")
        if key := _key_of(arn):
            context = {"aws:sourcearn": rule["Arn"]}
            if not all(key_allows(key, "events.amazonaws.com", action, context) for action in (READ, WRITE)):
                logger.warning("EventBridge may not use the key of %s", arn)
                return
        invoke_target(target, event, rule, view)

    iam_evaluator.enforce = enforce_by_way_of_s3
    iam_actions.s3_additional_checks = checks_with_keys
    eventbridge._invoke_target = invoke_if_key_allows
    after("AWS::S3::Bucket", encrypt_bucket)
    after("AWS::SNS::Topic", lambda arn, given: _keep(sns._topics[arn]["attributes"], "KmsMasterKeyId", given))
    after("AWS::Logs::LogGroup", check_log_group)
    after("AWS::Lambda::Function", keep_of_function)


def uses_of_keys(method: str, path: str, headers: Mapping[str, str], query: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a request to S3 does with keys: an action and the key's ARN for each (AWS KMS Developer Guide, "How Amazon S3 uses
    AWS KMS").
    """
    bucket, _, name = unquote(path).lstrip("/").partition("/")
    action = iam_actions._s3_action(method, path, query)
    uses = []
    if name and action == "PutObject":
        if upload := s3._multipart_uploads.get(s3._qp(query, "uploadId", "")):
            # Its parts are read again when it is completed.
            uses.append((READ if method == "POST" else WRITE, upload["preserved_headers"].get(KEY_ID)))
        else:
            uses.append((WRITE, headers.get(KEY_ID) or s3._bucket_default_sse_headers(bucket).get(KEY_ID)))
        if source := iam_actions._s3_source_object(dict(headers)):
            from_bucket, _, from_name = source[0].removeprefix("arn:aws:s3:::").partition("/")
            uses.append((READ, _key_of_object(from_bucket, from_name, source[1])))
    # Of a HEAD, only the checksum takes the key.
    elif action in ("GetObject", "GetObjectVersion") and (method == "GET" or headers.get("x-amz-checksum-mode")):
        uses.append((READ, _key_of_object(bucket, name, s3._qp(query, "versionId", ""))))
    return [(use, key) for use, key in uses if key]


def _key_of_object(bucket: str, name: str, version: str) -> str:
    found = s3._buckets.get(bucket, {}).get("objects", {}).get(name, {})
    if version and version != found.get("version_id"):
        versions = s3._object_versions.get((bucket, name), [])
        found = next((s3._object_record_from_version(each) for each in versions if each["version_id"] == version), {})
    return str(found.get("preserved_headers", {}).get(KEY_ID, ""))


def _key_of(arn: str) -> str:
    """The key that a topic's or a queue's messages are encrypted with; empty if there is none."""
    if arn in sns._topics:
        return str(sns._topics[arn]["attributes"].get("KmsMasterKeyId", ""))
    queue = sqs._queue_by_arn(arn) if ":sqs:" in arn else None
    return str(queue["attributes"].get("KmsMasterKeyId", "")) if queue else ""


def key_allows(key: str, service: str, action: str, context: Mapping[str, str]) -> bool:
    """Tell whether a key's policy lets a service use it."""
    found = kms.key_policy_for_arn(key)
    if not found:
        return False
    asked = context_of_service(service, action, key, context)
    return bool(iam_evaluator.evaluate_resource_policy(found[0], asked, service=service).decision == "Allow")


def encrypt_bucket(name: str, given: Mapping[str, Any]) -> None:
    rules = given.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    default: dict[str, str] = next((rule["ServerSideEncryptionByDefault"] for rule in rules), {})
    key = f"<KMSMasterKeyID>{default['KMSMasterKeyID']}</KMSMasterKeyID>" if "KMSMasterKeyID" in default else ""
    if default:
        rule = f"<SSEAlgorithm>{default['SSEAlgorithm']}</SSEAlgorithm>{key}"
        s3._put_bucket_encryption(name, f"<Rule><Default>{rule}</Default></Rule>".encode())


def check_log_group(name: str, given: Mapping[str, Any]) -> None:
    """Refuse a key that CloudWatch Logs may not use for this group, in AWS's words."""
    key, region = given.get("KmsKeyId"), get_region()
    arn = f"arn:aws:logs:{region}:{get_account_id()}:log-group:{name}"
    context = {"kms:encryptioncontext:aws:logs:arn": arn}
    service, actions = f"logs.{region}.amazonaws.com", ("kms:Encrypt", READ, WRITE, "kms:DescribeKey")
    if key and not all(key_allows(key, service, action, context) for action in actions):
        raise ValueError(f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}'")


def keep_of_function(name: str, given: Mapping[str, Any]) -> None:
    function = lambda_svc._functions[name]
    _keep(function["config"], "KMSKeyArn", {"KMSKeyArn": given.get("KmsKeyArn")})
    function["code_signing_config_arn"] = given.get("CodeSigningConfigArn", "")


def _keep(record: dict[str, Any], name: str, given: Mapping[str, Any]) -> None:
    if given.get(name):
        record[name] = given[name]
    else:
        record.pop(name, None)
