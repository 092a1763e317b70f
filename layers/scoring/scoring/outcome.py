"""What the user finds: `.scoreout` or `.error`, and the tags on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import Failure, ScoringFailed
from scoring.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, Source

# S3 User Guide, "Categorizing your storage using tags": the characters that every service allows, 256 of them at most.
_NOT_IN_TAGS = re.compile(r"[^\w +\-=.:/@]")


def tag_value(text: object) -> str:
    """Any text as the value of a tag."""
    return _NOT_IN_TAGS.sub("_", str(text))[:256]


def scored_tags(
    source: Source, request: Mapping[str, Any], execution: str, more: Mapping[str, object] | None = None
) -> dict[str, str]:
    """The tags of a `.scoreout`; `more` are those that are known only at the end (`duration_seconds`, `rows`)."""
    image, _, digest = request["image"].partition("@")
    tags: dict[str, object] = {
        "source": source.uri,
        "model_image": image,
        "model_digest": digest,
        "eks_cluster": request["cluster"],
        "k8s_namespace": request["namespace"],
        "execution": execution,
    }
    return {name: tag_value(value) for name, value in (tags | dict(more or {})).items()}


def error_key(output_key: str) -> str:
    """The key of the `.error` that lies where the `.scoreout` would."""
    return output_key.removesuffix(OUTPUT_SUFFIX) + ERROR_SUFFIX


def publish(s3: Any, output: Mapping[str, str], scoring: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Complete the upload, so that the whole file appears at once; tag it; remove a stale `.error`. May be repeated.

    Raises
    ------
    ScoringFailed
        The upload is gone, and the object there is not this attempt's.
    AccessDenied, AwsThrottled
    """
    where = {"Bucket": output["bucket"], "Key": output["key"]}
    call = f"s3:CompleteMultipartUpload of s3://{output['bucket']}/{output['key']}"
    with aws.errors_named(call):
        try:
            parts = [
                {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
                for page in s3.get_paginator("list_parts").paginate(**where, UploadId=scoring["upload_id"])
                for part in page["Parts"]
                # A later part is what a killed function left; its rows came again in the parts that count.
                if part["PartNumber"] <= scoring["parts"]
            ]
            s3.complete_multipart_upload(**where, UploadId=scoring["upload_id"], MultipartUpload={"Parts": parts})
        except ClientError as error:
            if aws.code(error) != "NoSuchUpload":
                raise
            # Completed by an earlier call of this attempt, whose answer was lost: then the object bears its execution.
            if _tags(s3, where).get("execution") != tags["execution"]:
                raise ScoringFailed("The upload of the scored file was aborted by somebody else.") from error
        s3.put_object_tagging(**where, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})
        s3.delete_object(Bucket=output["bucket"], Key=error_key(output["key"]))


def _tags(s3: Any, where: Mapping[str, str]) -> dict[str, str]:
    try:
        return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**where)["TagSet"]}
    except ClientError as error:
        if aws.code(error) == "NoSuchKey":
            return {}
        raise


def abort(s3: Any, output: Mapping[str, str], upload_id: str) -> None:
    """Throw an unfinished upload away; that there is none (any more) is success."""
    with aws.errors_named(f"s3:AbortMultipartUpload of s3://{output['bucket']}/{output['key']}"):
        try:
            s3.abort_multipart_upload(Bucket=output["bucket"], Key=output["key"], UploadId=upload_id)
        except ClientError as error:
            if aws.code(error) != "NoSuchUpload":
                raise


def forget_progress(s3: Any, output: Mapping[str, str]) -> None:
    """Delete the record of how far the attempt was; that there is none is success."""
    with aws.errors_named(f"s3:DeleteObject of s3://{output['bucket']}/{output['progress']}"):
        s3.delete_object(Bucket=output["bucket"], Key=output["progress"])


def error_document(
    failure: Failure,
    stage: str,
    state: Mapping[str, Any],
    pod: Mapping[str, Any],
    execution: Mapping[str, str],
    now: datetime,
) -> bytes:
    """The `.error`: JSON for a person, the most useful first."""
    document = {
        "summary": failure.summary,
        "remedy": failure.remedy,
        "stage": stage,
        "error": failure.name,
        "details": failure.details,
        "source": state.get("source"),
        "request": state.get("request"),
        "pod": pod,
        "execution": execution,
        "attempt": state.get("attempt_id"),
        "time": now.isoformat(timespec="seconds"),
    }
    text = json.dumps({key: value for key, value in document.items() if value}, indent=2, ensure_ascii=False)
    # No text is too broken to be told: half a surrogate pair is written as its escape.
    return text.encode("utf-8", "backslashreplace")


def put_error(s3: Any, bucket: str, key: str, body: bytes, tags: Mapping[str, str]) -> None:
    """Write the `.error`.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    tagging = urlencode(tags)
    with aws.errors_named(f"s3:PutObject of s3://{bucket}/{key}"):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", Tagging=tagging)


def console_link(execution: str) -> str:
    """The page of an execution in the Step Functions console."""
    region = execution.split(":")[3]
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"
