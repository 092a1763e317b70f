"""Lint each policy that a template makes, once SAM has expanded it: `python tests/lint/policies.py template.yaml`.

Roles, managed policies and those of buckets, queues and topics. Parameters have values as long as they may be, so that every
condition that adds a statement holds.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Read while they are imported: nothing here asks AWS, nor may it find out whose account it is in.
os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}

import parliament
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ACCOUNT, REGION = "123456789012", "us-east-1"
AWS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "dropscore",
    "AWS::URLSuffix": "amazonaws.com",
}
# The parameters that policies name; another one needs its value here.
VALUES = {
    "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "InputBucketName": "input-bucket",
    "InputPrefix": "incoming/",
    "OutputBucketName": "output-bucket",
    "OutputPrefix": "scored/",
}
# What a reference to a resource means in a policy; {} is its name.
ARNS = {
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}",
}
# Where SAM wants what it would have uploaded.
UPLOADED = ("CodeUri", "ContentUri", "DefinitionUri")
# What the linter finds, of which action, and why it is so all the same.
EXCEPTIONS = {
    ("RESOURCE_STAR", "states:SendTaskSuccess"): "A token belongs to no state machine.",
    ("RESOURCE_STAR", "logs:"): "Log delivery knows no resources (Step Functions Developer Guide, Logging).",
    # One of several kinds of resources is enough; parliament wants all of them.
    ("RESOURCE_MISMATCH", "states:ListExecutions"): "A state machine's, not a Map Run's.",
    ("RESOURCE_MISMATCH", "states:DescribeExecution"): "A standard workflow's, not an express one's.",
    # Without it, 2008-10-17: that has no variables, and these use none.
    ("NO_VERSION", "sqs:SendMessage"): "SAM's own statement for EventInvokeConfig has no version.",
}


def main() -> int:
    """Print what is found; 1 if there is anything."""
    count, problems = 0, []
    for path in sys.argv[1:]:
        for name, document in policies(expanded(Path(path))):
            count += 1
            problems += [f"{path}: {name}: {finding}" for finding in findings(document)]
    print(*problems, sep="\n", end="\n" if problems else "")
    if not count:
        print("No policy was found: is this a template?")
    return 1 if problems or not count else 0


def expanded(path: Path) -> dict[str, Any]:
    """The template as CloudFormation deploys it."""
    template = yaml_parse(path.read_text())
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        properties.update((name, "s3://bucket/key") for name in UPLOADED if name in properties)
    found: dict[str, Any] = transform(template, {}, _NoPolicies())
    return found


class _NoPolicies:
    """Where SAM would look for AWS's own policies by their names: the template names none."""

    def load(self) -> dict[str, str]:
        return {}


def policies(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each policy, with the name of its resource."""
    for name, resource in template["Resources"].items():
        given = resource.get("Properties", {})
        documents = [each["PolicyDocument"] for each in given.get("Policies", ())]
        documents += [given["PolicyDocument"]] if "PolicyDocument" in given else []
        for document in documents:
            yield name, resolved(document, template)


def resolved(value: Any, template: dict[str, Any]) -> Any:
    """A value with all functions of CloudFormation evaluated; what a list or an object leaves out with AWS::NoValue is None."""
    if isinstance(value, list):
        return [each for each in (resolved(each, template) for each in value) if each is not None]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, given),) = value.items()
        if function == "Ref":
            return _reference(given, template)
        if function == "Fn::GetAtt":
            name, _, attribute = (given if isinstance(given, str) else ".".join(given)).partition(".")
            return _reference(name, template) if attribute == "Arn" else name
        if function == "Fn::Sub":
            return re.sub(r"\$\{([^}]+)\}", lambda found: _substituted(found[1], template), given)
        if function == "Fn::If":
            return resolved(given[1], template)
        if function.startswith("Fn::"):
            raise NotImplementedError(f"{function} in a policy")
    answer = {name: resolved(each, template) for name, each in value.items()}
    return {name: each for name, each in answer.items() if each is not None}


def _substituted(name: str, template: dict[str, Any]) -> str:
    resource, _, attribute = name.partition(".")
    return str(_reference(resource, template) if attribute in ("", "Arn") else resource)


def _reference(name: str, template: dict[str, Any]) -> Any:
    if name == "AWS::NoValue":
        return None
    resource = template["Resources"].get(name)
    return ARNS[resource["Type"]].format(name) if resource else (AWS | VALUES)[name]


def findings(document: dict[str, Any]) -> Iterator[str]:
    """What the linter says of a policy, but for the exceptions; and each wildcard for actions, which it lets pass."""
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow" and (wild := [each for each in _listed(statement["Action"]) if "*" in each]):
            yield f"HIGH: Wildcard for actions: {wild}"
    for finding in parliament.analyze_policy_string(json.dumps(document)).findings:
        told = parliament.enhance_finding(finding)
        if not all(is_exception(told.issue, action) for action in _actions(told.detail, document)):
            yield f"{told.severity}: {told.title}: {told.detail} {told.location}"


def is_exception(issue: str, action: str) -> bool:
    return any(issue == excepted and action.startswith(begins) for excepted, begins in EXCEPTIONS)


def _actions(detail: Any, document: dict[str, Any]) -> list[str]:
    """Whose actions a finding is about: those it names, or all of the policy's."""
    if isinstance(detail, list) and detail:
        return [each["action"] if isinstance(each, dict) else str(each) for each in detail]
    return [action for statement in document["Statement"] for action in _listed(statement["Action"])]


def _listed(actions: Any) -> list[str]:
    return actions if isinstance(actions, list) else [actions]


if __name__ == "__main__":
    sys.exit(main())
