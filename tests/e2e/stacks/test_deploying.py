"""A deployment while files run: each attempt ends with the code that it began with, and old versions go afterwards. And a
second stack, in the same account, on the same cluster.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import account, parts, sam
from local import stack as embedded
from local.cluster.apply import apply
from scoring.outcome import versions
from tests.conftest import use
from tests.e2e import models
from tests.e2e.conftest import ROOT
from tests.e2e.pipeline import Pipeline

pytestmark = pytest.mark.stacks

STATE = ROOT / ".local/deploying"
OWN = "second"
ROWS = b"a,b\n1,2\n3,4\n"
SCORED = [b"a,b,prediction", b"1,2,1", b"3,4,1"]
# The next release gives each function its state under another name: called by the old definition it fails, and so does
# the old one that is called by the new definition.
RELEASE = """

_handler = handler


def handler(event, context):
    if "detail" in event or "Records" in event:
        return _handler(event, context)
    event["state"] = event.pop("whole")
    return _handler(event, context)
"""


@pytest.fixture
def pipeline(pytestconfig: pytest.Config) -> Pipeline:
    use(STATE, pytestconfig)
    return Pipeline(embedded.up(STATE))


def next_release() -> Path:
    """The build that is deployed, as a later release might be; its template."""
    # Beside it, since the template names files from where it is.
    folder = parts.BUILD / "next"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(parts.BUILD / "build", folder)
    definition = json.loads((ROOT / "statemachine/attempt.asl.json").read_text())
    for state in definition["States"].values():
        given = state.get("Parameters", {}).get("Payload", state.get("Parameters", {}))
        if "state.$" in given:
            given["whole.$"] = given.pop("state.$")
    (folder / "attempt.asl.json").write_text(json.dumps(definition))
    template = yaml.safe_load((folder / "template.yaml").read_text())
    for name, resource in template["Resources"].items():
        if "attempt.asl.json" in resource.get("Properties", {}).get("DefinitionUri", ""):
            resource["Properties"]["DefinitionUri"] = "attempt.asl.json"
        elif resource["Type"] == "AWS::Serverless::Function" and "AutoPublishAlias" in resource["Properties"]:
            app = folder / name / "app.py"
            app.write_text(app.read_text() + RELEASE)
    (folder / "template.yaml").write_text(yaml.safe_dump(template))
    return folder / "template.yaml"


def version_of(pipeline: Pipeline, attempt: str) -> str:
    return str(pipeline.sfn.describe_execution(executionArn=attempt)["stateMachineVersionArn"])


def clients_of(pipeline: Pipeline, function: str) -> tuple[Any, Any]:
    """Step Functions and Lambda as the role of a function may use them."""
    (found,) = (
        each
        for page in pipeline.stack.client("lambda").get_paginator("list_functions").paginate()
        for each in page["Functions"]
        if each["FunctionName"].startswith(f"{sam.STACK_NAME}-{function}-")
    )
    issued = pipeline.stack.client("sts").assume_role(RoleArn=found["Role"], RoleSessionName="test")["Credentials"]
    credentials = {
        "AWS_ACCESS_KEY_ID": issued["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": issued["SecretAccessKey"],
        "AWS_SESSION_TOKEN": issued["SessionToken"],
    }
    url = pipeline.stack.endpoint_url
    return account.client(url, "stepfunctions", credentials), account.client(url, "lambda", credentials)


def test_an_attempt_ends_with_the_code_that_it_began_with(pipeline: Pipeline, tmp_path: Path) -> None:
    held, well = models.push(pipeline, "held"), models.push(pipeline, "well")
    failed = pipeline.drop("failed.csv", ROWS, model_image=models.push(pipeline, "refuses"), protocol="sagemaker")
    assert pipeline.ended(failed)["status"] == "FAILED"
    old = pipeline.drop("old.csv", ROWS, model_image=held, protocol="sagemaker")
    endpoint = pipeline.scoring(old)["pod"]["endpoint"]["url"]
    began_with = version_of(pipeline, pipeline.attempt(old))

    template, url, log = next_release(), pipeline.stack.endpoint_url, tmp_path / "deploy.log"
    parameters = pipeline.parameters()
    sam.deploy(ROOT, template, url, parameters | {"MaxCpu": "1"}, log)

    # Code, definition and settings are the new ones for what begins now, a Redrive included.
    new = pipeline.drop("new.csv", ROWS, model_image=well, protocol="sagemaker")
    assert pipeline.outcome(new).lines == SCORED
    deployed = version_of(pipeline, pipeline.attempt(new))
    assert deployed != began_with
    assert pipeline.score("greedy.csv", ROWS, model_image=well, cpu="2").error["error"] == "InvalidTags"
    pipeline.sfn.redrive_execution(executionArn=failed)
    pipeline.ended(failed)
    assert [version_of(pipeline, attempt) for attempt in pipeline.attempts(failed)] == [began_with, deployed]

    # An attempt under way needs its versions; whoever sweeps may do that as the function's role lets it.
    later = datetime.now(UTC) + timedelta(seconds=2 * versions.GRACE_SECONDS)
    machine = pipeline.stack.attempt_arn
    sweeper = clients_of(pipeline, "SweepVersions")
    assert versions.sweep(*sweeper, machine, f"{machine}:live", later) == []
    models.release(endpoint)
    assert pipeline.outcome(old).lines == SCORED
    pipeline.assert_nothing_left(old)

    # The last but one would be gone back to, and stays. The same release with another setting has versions of its own.
    assert versions.sweep(*sweeper, machine, f"{machine}:live", later) == []
    sam.deploy(ROOT, template, url, parameters | {"MaxCpu": "2"}, log)
    gone = versions.sweep(*sweeper, machine, f"{machine}:live", later)
    assert gone[0] == began_with
    assert len(gone) == 1 + len(versions.called(json.dumps(described(pipeline, deployed))))
    assert pipeline.score("newer.csv", ROWS, model_image=well, protocol="sagemaker").lines == SCORED


def described(pipeline: Pipeline, version: str) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(pipeline.sfn.describe_state_machine(stateMachineArn=version)["definition"])
    return definition


def second_stack(pipeline: Pipeline, log: Path) -> Pipeline:
    """Another stack on the same cluster: the namespace of the first, one of its own, and a cluster that is gone for good."""
    there, url = pipeline.parameters(), pipeline.stack.endpoint_url
    ours = json.loads(there["Clusters"])
    apply(ROOT / "cluster", Path(pipeline.stack.kubeconfig), OWN)
    shared = ours[pipeline.stack.cluster]
    clusters = {pipeline.stack.cluster: shared | {"namespaces": [*shared["namespaces"], OWN]}, "gone": shared}
    buckets = {"InputBucketName": "second-input", "OutputBucketName": "second-output"}
    parameters = there | buckets | {"Clusters": json.dumps(clusters)}
    sam.deploy(ROOT, parts.BUILD / "build/template.yaml", url, parameters, log, name="second")
    (stack,) = pipeline.stack.client("cloudformation").describe_stacks(StackName="second")["Stacks"]
    value = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Pipeline(
        replace(
            pipeline.stack,
            input_bucket="second-input",
            output_bucket="second-output",
            score_file_arn=value["ScoreFileStateMachineArn"],
            attempt_arn=value["AttemptStateMachineArn"],
        )
    )


def test_two_stacks_share_an_account_a_cluster_and_a_namespace(pipeline: Pipeline, tmp_path: Path) -> None:
    second = second_stack(pipeline, tmp_path / "deploy.log")
    held, well = models.push(pipeline, "held"), models.push(pipeline, "well")
    both = (pipeline, second)
    running = [each.drop("shared.csv", ROWS, model_image=held, protocol="sagemaker") for each in both]
    endpoints = [
        each.scoring(execution)["pod"]["endpoint"]["url"] for each, execution in zip(both, running, strict=True)
    ]
    # What of the second stack works on a cluster that is there, works beside one that is not.
    own = second.drop("own.csv", ROWS, model_image=well, protocol="sagemaker", namespace=OWN)
    assert second.outcome(own).lines == SCORED
    gone = second.drop("gone.csv", ROWS, model_image=well, protocol="sagemaker", eks_cluster="gone")
    assert second.outcome(gone).error["error"] == "ClusterNotFound"
    # Either sweeper leaves the other's pods and its own running ones alone; one tells of the cluster that is gone.
    assert pipeline.invoke("SweepOrphans", {}) == {"swept": []}
    (sweeper,) = (
        function["FunctionName"]
        for page in pipeline.stack.client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["FunctionName"].startswith("second-SweepOrphans-")
    )
    answer = pipeline.stack.client("lambda").invoke(FunctionName=sweeper, Payload="{}")
    assert json.loads(answer["Payload"].read())["errorType"] == "ClusterNotFound"
    for each, execution, endpoint in zip(both, running, endpoints, strict=True):
        models.release(endpoint)
        assert each.outcome(execution).lines == SCORED
        each.assert_nothing_left(execution)
