"""What the user finds: `.scoreout` or `.error`, and the tags on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import Failure, ScoringFailed
from scoring.files.objects import Upload
from scoring.files.seals import sealed
from scoring.intake import shard
from scoring.intake import state as held
from scoring.intake.identity import ERROR_SUFFIX, OUTPUT_SUFFIX, Source, rejected_key

# S3 User Guide, "Categorizing your storage using tags": the characters that every service allows, 256 of them at most.
_NOT_IN_TAGS = re.compile(r"[^\w +\-=.:/@]")
# The same: ten an object. These give way first where there are more; the execution tells them, too.
_MOST_TAGS, _GIVE_WAY = 10, ("duration_seconds", "protocol", "k8s_namespace", "pods")


def tag_value(text: object) -> str:
    """Any text as the value of a tag."""
    return _NOT_IN_TAGS.sub("_", str(text))[:256]


def scored_tags(
    source: Source, request: Mapping[str, Any], execution: str, more: Mapping[str, object] | None = None
) -> dict[str, str]:
    """The tags of a `.scoreout`; `more` are those that are known only at the end (`duration_seconds`, `rows`, `padded`,
    `rejected`).
    """
    image, _, digest = request["image"].partition("@")
    tags: dict[str, object] = {
        "source": source.uri,
        "model_image": image,
        "model_digest": digest,
        "sequencer": source.sequencer,
        "eks_cluster": request["cluster"],
        "k8s_namespace": request["namespace"],
        "execution": execution,
        **({"profile": request["profile"]} if request.get("profile") else {}),
        "protocol": request["protocol"],
        **({"pods": str(request["pods"])} if request.get("asked_pods", "1") != "1" else {}),
        **(more or {}),
    }
    for name in _GIVE_WAY:
        if len(tags) > _MOST_TAGS:
            tags.pop(name, None)
    return {name: tag_value(value) for name, value in tags.items()}


def error_key(output_key: str) -> str:
    """The key of the `.error` that lies where the `.scoreout` would."""
    return output_key.removesuffix(OUTPUT_SUFFIX) + ERROR_SUFFIX


def publish(s3: Any, output: Mapping[str, str], scoring: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
    """Complete the upload, so that the whole file appears at once; tag it; remove a stale `.error`. May be repeated.

    Returns
    -------
    bool
        False when the outcome of a newer version of the file is there already: then that stays, and this one is dropped.

    Raises
    ------
    ScoringFailed
        The upload is gone or changed, and the object there is not this attempt's.
    AccessDenied, AwsThrottled
    """
    where = {"Bucket": output["bucket"], "Key": output["key"]}
    error = {"Bucket": output["bucket"], "Key": error_key(output["key"])}
    rejected = {"Bucket": output["bucket"], "Key": rejected_key(output["key"])}
    with aws.errors_named(f"s3:CompleteMultipartUpload of s3://{output['bucket']}/{output['key']}"):
        there = _tags(s3, where)
        if is_newer(there.get("sequencer", ""), tags["sequencer"]):
            abort(s3, output, scoring)
            return False
        complete(s3, output, scoring, tags)
        stale = (error,) if scoring.get("rejected") else (error, rejected)
        for each in stale:
            if not is_newer(_tags(s3, each).get("sequencer", ""), tags["sequencer"]):
                s3.delete_object(**each)
    return True


def complete(
    s3: Any, output: Mapping[str, str], scoring: Mapping[str, Any], tags: Mapping[str, str], *, is_shard: bool = False
) -> dict[str, str]:
    """Complete the uploads, so that each object appears at once and with its tags. May be repeated.

    Returns
    -------
    dict
        Of a shard's, the ETags by which they are known again: `etag`, and `rejected_etag` where there is a list.

    Raises
    ------
    ScoringFailed
        The upload is gone or changed, and the object there is not this attempt's.
    AccessDenied, AwsThrottled
    """
    etags: dict[str, str] = {}
    rejected = {"Bucket": output["bucket"], "Key": rejected_key(output["key"])}
    with aws.errors_named(f"s3:CompleteMultipartUpload of s3://{output['bucket']}/{output['key']}"):
        # First, so that a scored file never lacks the list of what it lacks.
        if scoring.get("rejected"):
            upload = {name: scoring[f"rejected_{name}"] for name in ("upload_id", "parts", "bytes")}
            upload |= {"seal": scoring.get("rejected_seal")}
            etags["rejected_etag"] = _complete(s3, rejected, upload, tags, is_shard=is_shard)
        elif upload_id := scoring.get("rejected_upload_id"):
            Upload.abort(s3, output["bucket"], rejected["Key"], upload_id)
        scored = {"Bucket": output["bucket"], "Key": output["key"]}
        etags["etag"] = _complete(s3, scored, scoring, tags, is_shard=is_shard)
    return etags if is_shard else {}


def _complete(
    s3: Any, where: Mapping[str, str], upload: Mapping[str, Any], tags: Mapping[str, str], *, is_shard: bool
) -> str:
    try:
        parts = _parts(s3, where, upload)
        answer = s3.complete_multipart_upload(**where, UploadId=upload["upload_id"], MultipartUpload={"Parts": parts})
        etag = str(answer["ETag"])
    except ClientError as refused:
        if aws.code(refused) != "NoSuchUpload":
            raise
        # Before the tags are read: what takes its place from now on bears others.
        etag = _etag(s3, where) if is_shard else ""
        # Completed by an earlier call of this attempt, whose answer was lost: then the object bears its execution.
        if _tags(s3, where).get("execution") != tags["execution"]:
            raise ScoringFailed("The upload of the scored file was aborted by somebody else.") from refused
    # A shard's has those it was begun with: others might be put on what has taken its place.
    if not is_shard:
        s3.put_object_tagging(**where, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})
    return etag


def _etag(s3: Any, where: Mapping[str, str]) -> str:
    try:
        return str(s3.head_object(**where)["ETag"])
    except ClientError as error:
        if aws.code(error) in ("NoSuchKey", "404"):
            return ""
        raise


def _parts(s3: Any, where: Mapping[str, str], upload: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = [
        part
        for page in s3.get_paginator("list_parts").paginate(**where, UploadId=upload["upload_id"])
        for part in page.get("Parts", ())
        # A later part is what a killed function left; its rows came again in the parts that count.
        if part["PartNumber"] <= upload["parts"]
    ]
    found = len(listed), sum(part["Size"] for part in listed), sealed(part["ETag"] for part in listed)
    # An attempt that began before the last deployment may have no seal.
    if found != (upload["parts"], upload["bytes"], upload.get("seal") or found[2]):
        raise ScoringFailed(
            "The parts of the scored file are not those that were uploaded: a function that was given up wrote on.",
            "Redrive the execution.",
        )
    return [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in listed]


def is_newer(one: str, other: str) -> bool:
    """Whether one event of an object came after another, by their sequencers.

    Amazon S3 User Guide, "Event message structure": pad the shorter one with zeros on its right, compare as text.
    """
    length = max(len(one), len(other))
    return one.ljust(length, "0") > other.ljust(length, "0")


def tags_of(s3: Any, bucket: str, key: str) -> dict[str, str]:
    """The tags of an outcome; empty if it is not there.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    with aws.errors_named(f"s3:GetObjectTagging of s3://{bucket}/{key}"):
        return _tags(s3, {"Bucket": bucket, "Key": key})


def _tags(s3: Any, where: Mapping[str, str]) -> dict[str, str]:
    try:
        return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**where)["TagSet"]}
    except ClientError as error:
        if aws.code(error) == "NoSuchKey":
            return {}
        raise


def abort(s3: Any, output: Mapping[str, str], scoring: Mapping[str, Any]) -> list[str]:
    """Throw the unfinished uploads of an attempt away and give their ids; that there is none (any more) is success."""
    ids = {output["key"]: scoring.get("upload_id"), rejected_key(output["key"]): scoring.get("rejected_upload_id")}
    for key, upload_id in ids.items():
        if upload_id:
            Upload.abort(s3, output["bucket"], key, upload_id)
    return [upload_id for upload_id in ids.values() if upload_id]


def forget_shards(s3: Any, output: Mapping[str, str], count: int) -> None:
    """Delete what the shards of a file left; that there is nothing is success.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    keys = [shard.output(output, number)["key"] for number in range(1, count + 1)]
    _delete(s3, output["bucket"], [each for key in keys for each in (key, rejected_key(key), error_key(key))])


def forget_shard(s3: Any, output: Mapping[str, str]) -> None:
    """Delete what the attempt of a shard has completed, but not its `.error`, which the file's attempt reads; that there is
    nothing is success.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    _delete(s3, output["bucket"], [output["key"], rejected_key(output["key"])])


def _delete(s3: Any, bucket: str, keys: Sequence[str]) -> None:
    objects = [{"Key": each} for each in keys]
    with aws.errors_named(f"s3:DeleteObjects of s3://{bucket}/{keys[0]}"):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    # The call as a whole is answered 200 whatever became of each.
    for refused in answer.get("Errors", ()):
        with aws.errors_named(f"s3:DeleteObject of s3://{bucket}/{refused['Key']}"):
            raise ClientError({"Error": refused}, "DeleteObjects")


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
        "request": _told(state),
        "pod": pod,
        "execution": execution,
        "attempt": state.get("attempt_id"),
        "time": now.isoformat(timespec="seconds"),
    }
    text = json.dumps({key: value for key, value in document.items() if value}, indent=2, ensure_ascii=False)
    # No text is too broken to be told: half a surrogate pair is written as its escape.
    return text.encode("utf-8", "backslashreplace")


def _told(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request, without how its cluster is set up: that is the administrator's, and not for all who read outcomes."""
    if "request" not in state:
        return None
    return {name: value for name, value in held.request(state).items() if name != "cluster_settings"}


def put_error(s3: Any, bucket: str, key: str, body: bytes, tags: Mapping[str, str]) -> None:
    """Write the `.error`.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    tagging = {"Tagging": urlencode(tags)} if tags else {}
    with aws.errors_named(f"s3:PutObject of s3://{bucket}/{key}"):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **tagging)


def console_link(execution: str) -> str:
    """The page of an execution in the Step Functions console."""
    region = execution.split(":")[3]
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"
