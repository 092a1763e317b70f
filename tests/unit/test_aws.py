"""What AWS answers, in the words that the state machine and the user know."""

from typing import Any

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
from tests.builders import ACCOUNT, OUTPUT_BUCKET, REGION


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


class TestEncryption:
    """A bucket's policy may deny whatever does not name the account's key (Amazon S3 User Guide, "Specifying server-side
    encryption with AWS KMS").
    """

    KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b6f5a7c-1111-4222-8333-444455556666"

    @staticmethod
    def sent(s3: Any) -> dict[str, dict[str, str]]:
        """The headers about encryption in the requests that write, by their operation."""
        found: dict[str, dict[str, str]] = {}

        def note(request: Any, operation_name: str, **_: object) -> None:
            fields = {name.lower(): value for name, value in request.headers.items()}
            found[operation_name] = {name: value for name, value in fields.items() if "encryption" in name}

        s3.meta.events.register("before-sign.s3", note)
        where = {"Bucket": OUTPUT_BUCKET, "Key": "scored/a"}
        s3.put_object(**where, Body=b"a")
        upload = {"UploadId": s3.create_multipart_upload(**where)["UploadId"]}
        part = {"PartNumber": 1, "ETag": s3.upload_part(**where, **upload, PartNumber=1, Body=b"a")["ETag"]}
        s3.complete_multipart_upload(**where, **upload, MultipartUpload={"Parts": [part]})
        s3.get_object(**where)["Body"].read()
        return found

    @pytest.mark.usefixtures("s3")
    def test_what_begins_an_object_names_the_stacks_key_and_nothing_else_does(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KMS_KEY_ARN", self.KEY)
        named = {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": self.KEY,
        }
        sent = self.sent(aws.client("s3"))
        assert sent == {
            "PutObject": named,
            "CreateMultipartUpload": named,
            "UploadPart": {},
            "CompleteMultipartUpload": {},
            "GetObject": {},
        }

    @pytest.mark.usefixtures("s3")
    def test_without_a_key_the_bucket_decides(self) -> None:
        assert not any(self.sent(aws.client("s3")).values())
