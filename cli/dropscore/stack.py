"""A deployed stack, found by its name: where files are dropped, where outcomes come back, which executions tell of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DEFAULT_NAME = "dropscore"

# As many as ask for executions at once; Step Functions refuses what is too much, and is asked again.
CONNECTIONS = 16
_CONFIG = Config(retries={"mode": "adaptive", "total_max_attempts": 10}, max_pool_connections=CONNECTIONS)


class Unusable(Exception):
    """What was asked for cannot be done: `summary` says why, `remedy` what to do."""

    def __init__(self, summary: str, remedy: str = "") -> None:
        super().__init__(f"{summary} {remedy}".strip())
        self.summary, self.remedy = summary, remedy


# Of an object in S3: it is not there; or it may not be read, which may also mean that (`Stack.is_missing`).
_MISSING, _REFUSED = ("NoSuchKey", "404"), ("AccessDenied", "403")
# By what AWS calls a refusal: what that means, and what to do about it.
_REFUSALS = (
    (
        {"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"},
        "your credentials do not allow it",
        "Whoever drops files needs the policy UsersPolicyArn of the stack: ask its administrator.",
    ),
    (
        {"ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "SlowDown", "503"},
        "AWS has too many requests just now",
        "Try again in a minute.",
    ),
    (
        {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"},
        "your credentials have expired",
        "Log in again as for the AWS CLI (`aws sso login`, say).",
    ),
    (
        {
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
        },
        "AWS does not know your credentials",
        "Look which ones the AWS CLI has: `aws sts get-caller-identity`.",
    ),
)
_NO_LOGIN = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)
_NO_WAY = (exceptions.ConnectionError, exceptions.HTTPClientError)


def is_kept_back(error: ClientError) -> bool:
    """Whether S3 does not give an object because it is not there or because this user may not read it, which need not be told
    apart.
    """
    return error.response["Error"]["Code"] in (*_MISSING, *_REFUSED)


def in_words(error: BotoCoreError | ClientError, what: str) -> Unusable:
    """What AWS's refusal means: `what` failed for that reason, and what to do about it."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        for codes, why, remedy in _REFUSALS:
            if code in codes:
                return Unusable(f"{what}: {why}. ({error})", remedy)
        return Unusable(f"{what}: {error}")
    if isinstance(error, _NO_LOGIN):
        return Unusable(
            f"{what}: there are no credentials. ({error})", "Log in as for the AWS CLI (`aws sso login`, say)."
        )
    if isinstance(error, _NO_WAY):
        return Unusable(
            f"{what}: AWS cannot be reached. ({error})", "Look at the network, the region and AWS_ENDPOINT_URL."
        )
    return Unusable(f"{what}: {error}", "Look at the credentials and the region.")


@dataclass(frozen=True)
class Stack:
    """A stack of dropscore. `session` makes the clients; prefixes end with a slash or are empty."""

    name: str
    input_bucket: str
    input_prefix: str
    output_bucket: str
    output_prefix: str
    score_file: str
    attempt: str
    parameters: dict[str, str] = field(default_factory=dict)
    session: Any = field(default_factory=boto3.Session, repr=False, compare=False)
    endpoint: str | None = None

    @classmethod
    def find(cls, name: str = DEFAULT_NAME, session: Any = None, endpoint: str | None = None) -> Stack:
        """Look a stack up by what it was deployed as.

        Raises
        ------
        Unusable
            There is none of that name where the credentials lead, or it is not one of dropscore's.
        """
        session = session or boto3.Session()
        try:
            client = session.client("cloudformation", config=_CONFIG, endpoint_url=endpoint)
            stack = client.describe_stacks(StackName=name)["Stacks"][0]
        except (BotoCoreError, ClientError) as error:
            told = in_words(error, f"There is no reaching the stack {name}")
            usual = (
                "Check the credentials, the region and --stack; of an embedded stack, `make up` prints what to export."
            )
            raise Unusable(told.summary, told.remedy or usual) from error
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
        try:
            input_bucket, _, input_prefix = outputs["InputFolder"].removeprefix("s3://").partition("/")
            output_bucket, _, output_prefix = outputs["OutputFolder"].removeprefix("s3://").partition("/")
            machines = outputs["ScoreFileStateMachineArn"], outputs["AttemptStateMachineArn"]
        except KeyError as missing:
            raise Unusable(
                f"The stack {name} has no output {missing}.",
                "Name the stack of dropscore with --stack, or look in CloudFormation whether its deployment has ended.",
            ) from missing
        parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", ())}
        where = (input_bucket, input_prefix, output_bucket, output_prefix)
        return cls(name, *where, *machines, parameters, session, endpoint)

    @cached_property
    def s3(self) -> Any:
        return self._client("s3")

    @cached_property
    def stepfunctions(self) -> Any:
        return self._client("stepfunctions")

    def is_missing(self, error: ClientError, key: str) -> bool:
        """Whether S3 has refused to read what is below the output folder because it is not there.

        Who may list no more than a folder is told 403 then, not 404 (Amazon S3 API Reference, "GetObject").

        Raises
        ------
        ClientError
        """
        code = error.response["Error"]["Code"]
        if code not in _REFUSED:
            return code in _MISSING
        listed = self.s3.list_objects_v2(Bucket=self.output_bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return all(each["Key"] != key for each in listed)

    def _client(self, service: str) -> Any:
        return self.session.client(service, config=_CONFIG, endpoint_url=self.endpoint)

    @property
    def is_on_aws(self) -> bool:
        """Whether this is AWS's own, whose console has a page for each execution."""
        return not (self.endpoint or os.environ.get("AWS_ENDPOINT_URL"))

    def outcome_key(self, key: str, suffix: str) -> str:
        """Where what comes of a dropped file lies."""
        return f"{self.output_prefix}{key.removeprefix(self.input_prefix)}{suffix}"

    def progress_key(self, attempt: str) -> str:
        """Where an attempt, by its ARN or name, keeps how far it is."""
        return f"{self.output_prefix}.progress/{attempt.rsplit(':', 1)[-1]}"

    def name_of(self, key: str) -> str:
        """A file as people call it: its path below the input folder."""
        return key.removeprefix(self.input_prefix)
