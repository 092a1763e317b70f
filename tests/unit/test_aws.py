"""What AWS answers, in the words that the state machine and the user know."""

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from scoring import aws
from scoring.errors import AccessDenied, AwsThrottled, ScoringFailed


def refused(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "as AWS says"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raised", "named"),
    [
        (refused("ThrottlingException"), AwsThrottled),
        (refused("TooManyRequestsException", 429), AwsThrottled),
        (refused("SlowDown", 503), AwsThrottled),
        (refused("SomethingNew", 500), AwsThrottled),
        (refused("RequestTimeout"), AwsThrottled),
        (EndpointConnectionError(endpoint_url="https://s3"), AwsThrottled),
        (ReadTimeoutError(endpoint_url="https://s3"), AwsThrottled),
        (refused("AccessDenied", 403), AccessDenied),
        (refused("AccessDeniedException"), AccessDenied),
        (refused("403", 403), AccessDenied),
        (refused("ValidationException"), ScoringFailed),
        (NoCredentialsError(), ScoringFailed),
        (ParamValidationError(report="Invalid bucket name"), ScoringFailed),
    ],
)
def test_what_aws_answers_is_named_with_the_call(raised: Exception, named: type[Exception]) -> None:
    with pytest.raises(named, match="s3:GetObject of s3://b/k") as caught, aws.errors_named("s3:GetObject of s3://b/k"):
        raise raised
    assert type(caught.value) is named
    assert caught.value.__cause__ is raised
    assert not isinstance(raised, ClientError) or "as AWS says" in str(caught.value)


def test_errors_of_our_own_pass_through() -> None:
    with pytest.raises(KeyError), aws.errors_named("x"):
        raise KeyError("not AWS's")


def test_a_client_is_made_once() -> None:
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3") is not aws.client("ecr")
