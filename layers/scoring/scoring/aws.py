"""One place that builds AWS clients and names what AWS refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scoring import settings
from scoring.errors import AccessDenied, AwsThrottled, ScoringFailed

_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalError",
    "InternalFailure",
    "ServerException",
    "RequestTimeout",
}
_DENIALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "KMS.AccessDeniedException"}
# A few quick tries here; the long horizon is the state machine's (its Retry of AwsThrottled), which costs no Lambda time.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    # As many as one file may have under way: parts and a record of progress (`files.sending`), ranges (`files.ranges`).
    max_pool_connections=16,
    retries={"mode": "standard", "total_max_attempts": 4},
    # Said aloud, whatever the environment says: objects read and parts written are held against their checksums.
    request_checksum_calculation="when_supported",
    response_checksum_validation="when_supported",
)
# Who puts an event, or asks for what it will tell, has a file's outcome to bring home, and no time for an EventBridge or a
# Step Functions that does not answer.
_CONFIGS = {
    "events": _CONFIG.merge(Config(connect_timeout=2, read_timeout=5)),
    "stepfunctions": _CONFIG.merge(Config(connect_timeout=2, read_timeout=10)),
}


# What begins an object. The parts of an upload, copied or not, are encrypted as it was begun.
_WRITES = ("PutObject", "CreateMultipartUpload")


@cache
def client(service: str) -> Any:
    """A client of `service`, made once for each execution environment. That of S3 names the stack's key, if it has one, in
    each request that writes: a bucket's policy may deny those that do not.
    """
    made: Any = boto3.client(service, config=_CONFIGS.get(service, _CONFIG))  # type: ignore[call-overload]
    if service == "s3":
        for call in _WRITES:
            made.meta.events.register(f"before-parameter-build.s3.{call}", _encrypt)
    return made


def _encrypt(params: dict[str, Any], **_: object) -> None:
    params |= encryption(settings.current().kms_key_arn)


def encryption(key: str) -> dict[str, str]:
    """What a request that begins an object says of the key that S3 is to encrypt it with; nothing without one."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}


def code(error: ClientError) -> str:
    """The error code of a refused call, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def errors_named(call: str) -> Iterator[None]:
    """Turn what AWS answers to `call` into our errors.

    Raises
    ------
    AwsThrottled
        AWS asks to come back later, or could not be reached.
    AccessDenied
        The function's role, or a policy of the resource, forbids the call.
    ScoringFailed
        Any other refusal, with AWS's own sentence.
    """
    try:
        yield
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code(error) in _THROTTLES or status in (429, 500, 502, 503, 504):
            raise AwsThrottled(f"AWS asked to slow down: {call}: {message}") from error
        if code(error) in _DENIALS:
            raise AccessDenied(f"Not allowed: {call}: {message}") from error
        raise ScoringFailed(f"AWS refused {call}: {code(error)}: {message}") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise AwsThrottled(f"AWS could not be reached: {call}: {error}") from error
    except BotoCoreError as error:
        raise ScoringFailed(f"{call} failed: {error}") from error
