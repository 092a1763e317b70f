"""start_scoring: S3 event → one execution a file."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AccessDenied, AwsThrottled
from tests.builders import ENVIRONMENT, Context, event, function, s3_notification, template

app = function("start_scoring")


def start(found: dict[str, Any]) -> dict[str, list[str]]:
    answer: dict[str, list[str]] = app.handler(found, Context())
    return answer


@pytest.fixture
def stepfunctions(mocked_aws: None) -> Any:
    client = aws.client("stepfunctions")
    definition = '{"StartAt": "x", "States": {"x": {"Type": "Succeed"}}}'
    role = "arn:aws:iam::000000000000:role/states"
    made = client.create_state_machine(name="score_file", definition=definition, roleArn=role)
    assert made["stateMachineArn"] == ENVIRONMENT["SCORE_FILE_STATE_MACHINE_ARN"]
    return client


def inputs(stepfunctions: Any) -> dict[str, Any]:
    """The input of each execution, by its name."""
    arn = ENVIRONMENT["SCORE_FILE_STATE_MACHINE_ARN"]
    return {
        execution["name"]: json.loads(stepfunctions.describe_execution(executionArn=execution["executionArn"])["input"])
        for execution in stepfunctions.list_executions(stateMachineArn=arn)["executions"]
    }


def test_a_dropped_file_starts_one_execution_named_after_it(stepfunctions: Any) -> None:
    answer = start(event("start_scoring"))
    (name,) = answer["started"]
    assert name.startswith("people-march-csv-")
    assert inputs(stepfunctions) == {
        name: {
            "file_id": name,
            "source": {
                "bucket": "dropscore-input",
                "key": "incoming/2026/people & march.csv",
                "version_id": "17b9cdcf-8f0e-4427-bbf1-b0b0376e40bf",
                "etag": "544f80acedabd109c8961c6a3ce8adc9",
                "size": 16873,
                "sequencer": "00000660DA6C4C88A6",
            },
        }
    }


def test_an_event_delivered_twice_starts_one_execution(stepfunctions: Any) -> None:
    assert start(event("start_scoring")) == start(event("start_scoring"))
    assert len(inputs(stepfunctions)) == 1


def test_a_file_dropped_again_is_scored_again(stepfunctions: Any) -> None:
    start(s3_notification("incoming/a.csv", sequencer="01"))
    start(s3_notification("incoming/a.csv", sequencer="02"))
    assert len(inputs(stepfunctions)) == 2


@pytest.mark.parametrize(
    ("key", "means"),
    [
        ("incoming/my+file.csv", "incoming/my file.csv"),
        ("incoming/my%2Bfile.csv", "incoming/my+file.csv"),
        ("incoming/%E5%A3%B2%E4%B8%8A.csv", "incoming/売上.csv"),
        ("incoming/100%25.csv", "incoming/100%.csv"),
    ],
)
def test_the_key_of_a_notification_is_decoded_once(stepfunctions: Any, key: str, means: str) -> None:
    start(s3_notification(key))
    assert [found["source"]["key"] for found in inputs(stepfunctions).values()] == [means]


def test_the_key_of_an_eventbridge_event_is_taken_as_it_is(stepfunctions: Any) -> None:
    detail = {"bucket": {"name": "dropscore-input"}, "object": {"key": "incoming/a+b%20.csv", "size": 1, "etag": "e"}}
    start({"detail-type": "Object Created", "source": "aws.s3", "detail": detail})
    (found,) = inputs(stepfunctions).values()
    assert found["source"]["key"] == "incoming/a+b%20.csv"


def test_of_several_files_those_that_are_not_to_be_scored_are_left_out(stepfunctions: Any) -> None:
    """Outputs first of all: S3 does not see a loop that passes through Step Functions."""
    keys = [
        "incoming/a.csv",
        "incoming/a.csv.scoreout",
        "incoming/a.csv.error",
        "incoming/a.csv.rejected",
        "incoming/_SUCCESS",
        "incoming/",
        "other/b.csv",
        "incoming/notes.txt",
    ]
    answer = start(s3_notification(*keys))
    assert {found["source"]["key"] for found in inputs(stepfunctions).values()} == {keys[0], keys[-1]}
    assert len(answer["started"]) == 2
    assert answer["skipped"] == [f"s3://dropscore-input/{key}" for key in keys[1:-1]]


def test_every_object_of_the_folder_is_heard_of_in_a_new_bucket_and_in_one_that_exists() -> None:
    """What is left out is decided here alone: a filter more, and a file of another kind would never be answered."""
    resources = template()["Resources"]
    (notified,) = resources["InputBucket"]["Properties"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert notified["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "!Ref InputPrefix"}]
    pattern = resources["ExistingInputBucketRule"]["Properties"]["EventPattern"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": "!Ref InputPrefix"}]}


def test_the_event_that_s3_sends_to_try_a_new_notification_starts_nothing(stepfunctions: Any) -> None:
    assert start({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == {"started": [], "skipped": []}


class Refusing:
    def __init__(self, code: str, refused: str) -> None:
        self._code, self._refused, self.started = code, refused, []  # type: ignore[var-annotated]

    def start_execution(self, *, name: str, **_: Any) -> None:
        if name.startswith(self._refused):
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "StartExecution")
        self.started.append(name)


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", AwsThrottled), ("AccessDeniedException", AccessDenied)]
)
def test_a_file_that_could_not_be_started_fails_the_call_so_that_lambda_delivers_again(
    monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(aws, "client", lambda service: Refusing(code, "b-csv"))
    with pytest.raises(error, match="states:StartExecution of b-csv"):
        start(s3_notification("incoming/a.csv", "incoming/b.csv"))


def test_an_execution_that_is_over_already_is_a_duplicate_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """StartExecution answers so when the first one has closed; the file has its outcome."""
    refusing = Refusing("ExecutionAlreadyExists", "a-csv")
    monkeypatch.setattr(aws, "client", lambda service: refusing)
    answer = start(s3_notification("incoming/a.csv", "incoming/b.csv"))
    assert len(answer["started"]) == 2
    assert [name.rpartition("-")[0] for name in refusing.started] == ["b-csv"]
