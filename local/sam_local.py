"""`sam local` on the embedded stack: the deployed functions in containers, with the stack as their AWS and their cluster.

    python -m local.sam_local up         the stack on Docker's bridge, and what `sam local` needs, in .local/sam-local
    python -m local.sam_local attach     the stack's Lambda hands its calls to `sam local start-lambda`
    python -m local.sam_local detach     … and runs its functions itself again
    python -m local.sam_local down       end the stack, and what containers are left

`sam local` takes a template, not a deployed stack. So it is given the built template, the variables that each function
has got in the stack, and credentials of each function's own role: what IAM or RBAC would refuse is refused here too.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local import account, docker, parts, sam, stack
from local.processes import StackFailed
from local.releases import release
from local.stack import Stack

STATE = stack.STATE / "sam-local"
START_LAMBDA = "http://127.0.0.1:3001"  # where `sam local start-lambda` serves by default
VARIABLES = "variables.json"

# What a function is given by AWS's Lambda and not by its template. SAM passes on only what a template declares.
_GIVEN = (
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCOUNT_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
# MiniStack: where the calls of a function go instead (local/aws/containers.py).
_ELSEWHERE = "MINISTACK_LAMBDA_PROXY_URL"
_SESSION_SECONDS = 12 * 60 * 60


def up(state_dir: Path = STATE, parameters: Mapping[str, str] | None = None) -> Stack:
    """Bring a stack up where containers reach it, and write what `sam local` needs into its folder.

    Called again, it rebuilds what has changed and renews the credentials, which last for twelve hours.

    Raises
    ------
    DockerFailed, StackFailed
    """
    running = stack.up(state_dir, docker.bridge_address(), parameters)
    built = sam.build(parts.ROOT, parts.BUILD, state_dir / "logs/sam-build.log")
    template = for_sam_local(yaml.safe_load(built.read_text()), built.parent)
    (state_dir / "template.yaml").write_text(yaml.safe_dump(template, sort_keys=False))
    variables = state_dir.resolve() / VARIABLES
    functions = _functions(running)
    variables.write_text(json.dumps({name: _variables(running, name, it) for name, it in functions.items()}, indent=2))
    (state_dir / "samconfig.toml").write_text(_settings(variables))
    return running


def down(state_dir: Path = STATE) -> None:
    """End the stack, and remove the containers that a killed `sam local` has left.

    Raises
    ------
    DockerFailed
    """
    stack.down(state_dir)
    variables = state_dir / VARIABLES
    if variables.exists():
        endpoints = {given["AWS_ENDPOINT_URL"] for given in json.loads(variables.read_text()).values()}
        for endpoint_url in endpoints:
            docker.remove(*docker.function_containers(endpoint_url))
        variables.unlink()


def attach(running: Stack, start_lambda: str = START_LAMBDA) -> None:
    """Let the stack's Lambda hand the calls of each function to `sam local start-lambda`, until `detach`."""
    functions = _functions(running)
    for name, configuration in functions.items():
        url = f"{start_lambda}/2015-03-31/functions/{name}/invocations"
        _set_variables(running, configuration, {**_deployed(configuration), _ELSEWHERE: url})
    _publish(running, functions)


def detach(running: Stack) -> None:
    """Let the stack's Lambda run its functions itself again."""
    functions = _functions(running)
    for configuration in functions.values():
        _set_variables(running, configuration, _deployed(configuration))
    _publish(running, functions)


def for_sam_local(template: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Change a template that was built in `folder`: it may be kept elsewhere, and declares what Lambda gives."""
    declared = template["Globals"]["Function"]["Environment"]["Variables"]
    declared |= dict.fromkeys(_GIVEN, "")
    for resource in template["Resources"].values():
        for path in ("CodeUri", "ContentUri", "DefinitionUri"):
            if path in resource.get("Properties", {}):
                resource["Properties"][path] = str((folder / resource["Properties"][path]).resolve())
    return template


def _functions(running: Stack) -> dict[str, dict[str, Any]]:
    """Give the configuration of each deployed function by its name in the template."""
    described = running.client("cloudformation").describe_stack_resources(StackName=sam.STACK_NAME)["StackResources"]
    client = running.client("lambda")
    return {
        resource["LogicalResourceId"]: client.get_function_configuration(FunctionName=resource["PhysicalResourceId"])
        for resource in described
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }


def _deployed(configuration: Mapping[str, Any]) -> dict[str, str]:
    variables = configuration["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if name != _ELSEWHERE}


def _set_variables(running: Stack, configuration: Mapping[str, Any], variables: dict[str, str]) -> None:
    client, name = running.client("lambda"), configuration["FunctionName"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def _publish(running: Stack, functions: Mapping[str, Mapping[str, Any]]) -> None:
    """Let what begins from now on call the functions as they are, as a deployment does: attempts call published versions."""
    states, client = running.client("stepfunctions"), running.client("lambda")
    definition = states.describe_state_machine(stateMachineArn=running.attempt_arn)["definition"]
    for configuration in functions.values():
        called = re.compile(re.escape(configuration["FunctionArn"]) + ":[0-9]+")
        if not called.search(definition):
            continue
        published = client.publish_version(FunctionName=configuration["FunctionName"])
        client.update_alias(
            FunctionName=configuration["FunctionName"], Name="live", FunctionVersion=published["Version"]
        )
        definition = called.sub(published["FunctionArn"], definition)
    release(states, running.attempt_arn, definition)


def _variables(running: Stack, name: str, configuration: Mapping[str, Any]) -> dict[str, str]:
    credentials = _credentials(running, name, configuration["Role"])
    given = (
        running.endpoint_url,
        account.REGION,
        account.REGION,
        account.ACCOUNT,
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
    )
    return _deployed(configuration) | dict(zip(_GIVEN, given, strict=True))


def _credentials(running: Stack, session: str, role_arn: str) -> dict[str, str]:
    """Get credentials of a role; the administrator first lets himself take it, as he would have to on AWS."""
    iam, role = running.client("iam"), role_arn.rpartition("/")[2]
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    administrator = {"AWS": f"arn:aws:iam::{account.ACCOUNT}:root"}
    statement = {"Effect": "Allow", "Principal": administrator, "Action": "sts:AssumeRole"}
    if statement not in trust["Statement"]:
        trust["Statement"].append(statement)
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    assumed: dict[str, str] = running.client("sts").assume_role(
        RoleArn=role_arn, RoleSessionName=session, DurationSeconds=_SESSION_SECONDS
    )["Credentials"]
    return assumed


def _settings(variables: Path) -> str:
    """Give the samconfig.toml of the folder: `sam local` finds it beside its template."""
    overrides = " ".join(f"{name}={value}" for name, value in sam.runtime().items())
    return f"""version = 0.1

[default.global.parameters]
region = "{account.REGION}"
parameter_overrides = "{overrides}"
env_vars = "{variables}"
skip_pull_image = true

[default.local_start_lambda.parameters]
warm_containers = "LAZY"
"""


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m local.sam_local", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["up", "attach", "detach", "down"])
    parser.add_argument("--state-dir", type=Path, default=STATE, help="default: .local/sam-local")
    parser.add_argument("--start-lambda", default=START_LAMBDA, help="where it serves (default: %(default)s)")
    options = parser.parse_args()
    try:
        if options.command == "down":
            return down(options.state_dir)
        if options.command == "up":
            up(options.state_dir)
            print(f"Ready: cd {options.state_dir} && sam local invoke ResolveRequest --event …")
            return None
        running = stack.status(options.state_dir)
        if running is None:
            sys.exit("The stack is not up: python -m local.sam_local up")
        if options.command == "attach":
            attach(running, options.start_lambda)
        else:
            detach(running)
    except (docker.DockerFailed, StackFailed) as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
