"""A stack that is deleted leaves its two buckets, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import locked
from tests.e2e.pipeline import Pipeline, wait_for

NAME = "leaving"


@pytest.fixture
def leaving(pipeline: Pipeline) -> Iterator[str]:
    """A second stack of the same template, deployed and deleted; its id."""
    client = pipeline.stack.client("cloudformation")
    body = client.get_template(StackName=locked.STACK, TemplateStage="Original")["TemplateBody"]
    # The key's policy names the log groups of the other stack.
    given = pipeline.parameters() | {
        "InputBucketName": f"{NAME}-input",
        "OutputBucketName": f"{NAME}-output",
        "KmsKeyArn": "",
    }
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    where = {"Bucket": pipeline.stack.output_bucket, "Key": "elsewhere/template.yaml"}
    pipeline.s3.put_object(**where, Body=body.encode())  # it is too long for a request
    url = f"{pipeline.stack.endpoint_url}/{where['Bucket']}/{where['Key']}"
    made = client.create_stack(StackName=NAME, TemplateURL=url, Parameters=parameters, Capabilities=capabilities)

    def ended() -> str | None:
        (stack,) = client.describe_stacks(StackName=made["StackId"])["Stacks"]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack["StackStatus"]

    assert wait_for("the stack", ended) == "CREATE_COMPLETE"
    # Both of them, with something in them: nothing deletes a bucket that is not empty.
    for bucket in (given["InputBucketName"], given["OutputBucketName"]):
        pipeline.s3.put_object(Bucket=bucket, Key="elsewhere/kept", Body=b"kept")
    assert not [kind for kind, found in of_stack(pipeline).items() if not found]
    client.delete_stack(StackName=made["StackId"])
    assert wait_for("the stack's end", ended) == "DELETE_COMPLETE"
    yield made["StackId"]
    for bucket in (given["InputBucketName"], given["OutputBucketName"]):
        for page in pipeline.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for each in page.get("Versions", ()):
                pipeline.s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
        pipeline.s3.delete_bucket(Bucket=bucket)


def of_stack(pipeline: Pipeline) -> dict[str, list[str]]:
    """What there is in the account with the stack's name in its own, by its kind."""
    found: dict[str, Any] = {
        "buckets": ("s3", "list_buckets", "Buckets", "Name"),
        "functions": ("lambda", "list_functions", "Functions", "FunctionName"),
        "roles": ("iam", "list_roles", "Roles", "RoleName"),
        "policies": ("iam", "list_policies", "Policies", "PolicyName"),
        "log groups": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "state machines": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "rules": ("events", "list_rules", "Rules", "Name"),
        "schedules": ("scheduler", "list_schedules", "Schedules", "Name"),
        "topics": ("sns", "list_topics", "Topics", "TopicArn"),
        "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    }
    listed = {
        kind: [
            str(each[name])
            for page in pipeline.stack.client(service).get_paginator(operation).paginate()
            for each in page.get(entries, ())
            if f"{NAME}-" in str(each[name]) or str(each[name]).endswith(NAME)
        ]
        for kind, (service, operation, entries, name) in found.items()
    }
    # These have no names of the stack's, or no pages.
    queues = pipeline.stack.client("sqs").list_queues(QueueNamePrefix=NAME).get("QueueUrls", [])
    entries = pipeline.stack.client("eks").list_access_entries(clusterName=pipeline.stack.cluster)["accessEntries"]
    return listed | {"queues": queues, "access entries": [entry for entry in entries if f"/{NAME}-" in entry]}


@pytest.mark.usefixtures("leaving")
def test_a_stack_that_is_deleted_leaves_its_two_buckets(pipeline: Pipeline) -> None:
    left = {kind: found for kind, found in of_stack(pipeline).items() if found}
    assert left == {"buckets": [f"{NAME}-input", f"{NAME}-output"]}
