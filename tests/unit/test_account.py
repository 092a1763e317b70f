"""What a locked-down account relies on in template.yaml and network.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import ROOT, parameter_takes, template

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NONE = "!Ref AWS::NoValue"
# By default each is empty, and the stack is as it was before there was such a parameter.
OPTIONAL = {
    "KmsKeyArn": {
        KEY: True,
        KEY.replace("1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"): True,
        "alias/aws/s3": False,
        KEY.replace("key/1234abcd-12ab-34cd-56ef-1234567890ab", "alias/mine"): False,
    },
    "PermissionsBoundaryArn": {
        "arn:aws:iam::123456789012:policy/teams/boundary": True,
        "arn:aws:iam::aws:policy/PowerUserAccess": True,
        "arn:aws:iam::123456789012:role/boundary": False,
    },
    "RolePath": {"/": True, "/teams/risk/": True, "teams/": False, "/teams": False, "/a b/": False},
    "AccessLogBucketName": {"access-logs": True, "Access": False},
    "CodeSigningConfigArn": {
        "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0": True,
        "csc-0123456789abcdef0": False,
    },
}


def of_type(*kinds: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of these types, by their names."""
    return {name: each["Properties"] for name, each in template()["Resources"].items() if each["Type"] in kinds}


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_parameter_is_empty_or_what_aws_takes(name: str) -> None:
    assert template()["Parameters"][name]["Default"] == ""
    taken = {value: parameter_takes(name, value) for value in OPTIONAL[name]}
    assert taken == OPTIONAL[name]
    assert parameter_takes(name, "")


def test_nothing_that_is_stored_is_without_the_key() -> None:
    """Each of them names the key if there is one, and none otherwise."""
    named = {
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
    }
    for kind, property_name in named.items():
        assert of_type(kind)
        for name, given in of_type(kind).items():
            assert given[property_name] == _if("Encrypts", "KmsKeyArn"), name
    assert template()["Globals"]["Function"]["KmsKeyArn"] == _if("Encrypts", "KmsKeyArn")
    for given in of_type("AWS::S3::Bucket").values():
        (rule,) = given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert "aws:kms" in rule
        assert "Encrypts" in rule


def _if(condition: str, parameter: str) -> str:
    return f"!If [{condition}, !Ref {parameter}, {NONE}]"


def test_every_role_is_bounded_has_a_path_and_runs_signed_code_only() -> None:
    bounded, path = _if("HasBoundary", "PermissionsBoundaryArn"), _if("HasRolePath", "RolePath")
    everywhere = template()["Globals"]["Function"]
    assert (everywhere["PermissionsBoundary"], everywhere["RolePath"]) == (bounded, path)
    for given in of_type("AWS::Serverless::StateMachine").values():
        assert (given["PermissionsBoundary"], given["RolePath"]) == (bounded, path)
    for given in of_type("AWS::IAM::Role").values():
        assert (given["PermissionsBoundary"], given["Path"]) == (bounded, path)
    for given in of_type("AWS::IAM::ManagedPolicy").values():
        assert given["Path"] == path
    for given in of_type("AWS::Serverless::Function").values():
        assert given["CodeSigningConfigArn"] == _if("SignsCode", "CodeSigningConfigArn")
        for event in given.get("Events", {}).values():
            # SAM makes it a role of its own that has no path.
            assert event["Type"] != "ScheduleV2" or "RoleArn" in event["Properties"]


def test_who_reads_or_writes_what_is_encrypted_may_use_the_key() -> None:
    """A function that has S3 or a queue has the key's policy, and another one has not."""
    for name, given in of_type("AWS::Serverless::Function").items():
        attached = [each for each in given.get("Policies", ()) if isinstance(each, str)]
        services = {action.partition(":")[0] for action in _actions(given)}
        sends = "EventInvokeConfig" in given
        writes = sends or any(action in ("s3:PutObject",) for action in _actions(given))
        wanted = "WriteEncryptedPolicy" if writes else "ReadEncryptedPolicy" if "s3" in services else None
        assert attached == ([_if("Encrypts", wanted)] if wanted else []), name


def _actions(function: dict[str, Any]) -> Iterator[str]:
    for policy in function.get("Policies", ()):
        if isinstance(policy, dict):
            for statement in policy["Statement"]:
                # A conditional one is read as text.
                text = statement if isinstance(statement, str) else str(statement["Action"])
                yield from re.findall(r"\b[a-z0-9]+:[A-Z][A-Za-z]+", text)


def test_a_deleted_stack_leaves_its_buckets_and_nothing_else() -> None:
    """CloudFormation deletes all that says nothing else, but SAM keeps a layer's versions."""
    resources = template()["Resources"]
    policies = {name: each.get("DeletionPolicy", "Delete") for name, each in resources.items()}
    assert {name for name, policy in policies.items() if policy != "Delete"} == {"InputBucket", "OutputBucket"}
    for given in of_type("AWS::Serverless::LayerVersion").values():
        assert given["RetentionPolicy"] == "Delete"
    # Lambda would make a log group for each function that has none, and that stays.
    assert template()["Globals"]["Function"]["LoggingConfig"]["LogGroup"] == "!Ref FunctionLogs"


def test_progress_and_the_queue_keep_no_versions() -> None:
    rules = template()["Resources"]["OutputBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    short = {rule["Prefix"] for rule in rules if rule.get("NoncurrentVersionExpiration") == {"NoncurrentDays": 1}}
    assert short == {"!Sub ${OutputPrefix}.progress/", "!Sub ${OutputPrefix}.queue/"}


def test_an_exception_from_checkov_has_its_reason() -> None:
    skipped = [
        (name, skip)
        for name, each in template()["Resources"].items()
        for skip in each.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert skipped
    assert all(len(skip["comment"]) > 20 for _, skip in skipped), skipped


def test_every_service_that_a_function_may_call_has_an_endpoint_or_a_reason() -> None:
    """docs/network.md tells of each; what it says that network.yaml makes, is there, and nothing else."""
    called = {
        action.partition(":")[0]
        for given in of_type("AWS::Serverless::Function").values()
        for action in _actions(given)
    }
    called |= {
        service
        for given in of_type("AWS::IAM::ManagedPolicy").values()
        for service in re.findall(r"'(kms):", str(given))
    }
    source = "".join(path.read_text() for path in (ROOT / "layers/scoring").rglob("*.py"))
    called |= {{"stepfunctions": "states"}.get(name, name) for name in re.findall(r'aws\.client\("(\w+)"\)', source)}
    assert {"s3", "states", "ecr", "kms"} <= called
    rows = re.findall(r"^\| (`[a-z0-9`, ]+) \| ([^|]+) \|", (ROOT / "docs/network.md").read_text(), re.MULTILINE)
    told = {service: endpoint for names, endpoint in rows for service in re.findall(r"[a-z0-9]+", names)}
    assert called <= told.keys()
    text = (ROOT / "network.yaml").read_text()
    made = {name.partition(".")[0] for name in re.findall(r"com\.amazonaws\.\$\{AWS::Region\}\.([a-z0-9.]+)", text)}
    assert made == {service for service, endpoint in told.items() if endpoint != "none"}
    assert made <= called
