"""The embedded AWS alone, repaired as in the stack, for the whole session."""

from __future__ import annotations

import io
import json
import os
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import account, parts
from local.processes import Processes, wait_until
from local.sam import runtime

# What the tests have run in Lambda: it does what its input says.
HANDLER = """
import os, sys, time
if os.environ.get("EXIT_AT_START"): os._exit(7)
class ModelFailed(Exception): pass
def handler(event, context):
    if event.get("raise"): raise ModelFailed(event["raise"])
    if event.get("exit"): os._exit(event["exit"])
    if event.get("file"): open(event["file"], "w").write(event["token"])
    time.sleep(event.get("sleep", 0))
    return {"path": sys.path, "environment": dict(os.environ), "event": event}
"""
ANYTHING = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


class Aws:
    """A MiniStack with our repairs, and what the tests do with it."""

    def __init__(self, endpoint_url: str, processes: Processes) -> None:
        self.endpoint_url = endpoint_url
        self.processes = processes
        self.states = self.client("stepfunctions")

    def client(self, service: str) -> Any:
        return account.client(self.endpoint_url, service)

    def role(self, name: str, statements: list[dict[str, Any]] | None = None) -> str:
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = json.dumps({"Version": "2012-10-17", "Statement": ANYTHING if statements is None else statements})
        iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=document)
        return arn

    def function(self, name: str, **settings: Any) -> str:
        arn: str = self.client("lambda").create_function(
            FunctionName=name,
            Runtime=runtime()["Runtime"],
            Handler="app.handler",
            Code={"ZipFile": zipped("app.py", HANDLER)},
            Role=self.role(f"{name}-role"),
            **settings,
        )["FunctionArn"]
        return arn

    def machine(self, name: str, definition: Mapping[str, Any], role: str = "") -> str:
        arn: str = self.states.create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=role or self.role(f"{name}-role")
        )["stateMachineArn"]
        return arn

    def start(self, machine: str, given: object = None, **options: Any) -> str:
        given = json.dumps({} if given is None else given)
        arn: str = self.states.start_execution(stateMachineArn=machine, input=given, **options)["executionArn"]
        return arn

    def end(self, execution: str) -> dict[str, Any]:
        """Wait for an execution's end and describe it."""
        described: dict[str, Any] = wait_for(lambda: self.described(execution, but="RUNNING"))
        return described

    def described(self, execution: str, but: str) -> dict[str, Any] | None:
        described: dict[str, Any] = self.states.describe_execution(executionArn=execution)
        return described if described["status"] != but else None

    def entered(self, execution: str) -> list[str]:
        """Name the events of an execution so far."""
        return [event["type"] for event in self.states.get_execution_history(executionArn=execution)["events"]]


def zipped(name: str, content: str) -> bytes:
    """Make an archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(name, content)
    return archive.getvalue()


def wait_for(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return seen


@contextmanager
def serve(state: Path, *program: str, **env: str) -> Iterator[Aws]:
    """An embedded AWS of one's own; `program` is what Python is to run instead of the real one."""
    processes = Processes(state / "processes.json")
    port = parts.free_port("127.0.0.1", 0)
    process = processes.start(
        "aws",
        [
            *(parts.ROOT / ".venv-ministack/bin/python", *(program or ("-m", "local.aws")), "--port", str(port)),
            *("--lambda-python", parts.ROOT / ".venv-lambda/bin/python", "--cache", state / "functions"),
            *("--clusters-folder", state / "clusters", "--token-review-secret", "0" * 24),
        ],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(state), "GATEWAY_PORT": str(port), **env},
        cwd=parts.ROOT,
        log=state / "aws.log",
    )
    endpoint_url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: parts.answers(f"{endpoint_url}/_ministack/health"), "The embedded AWS", process)
        yield Aws(endpoint_url, processes)
    finally:
        processes.end()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with serve(tmp_path_factory.mktemp("aws"), SECRET_OF_THE_STACK="x") as served:
        yield served


@pytest.fixture(scope="session")
def worker(aws: Aws) -> str:
    return aws.function("worker", Timeout=10)


@pytest.fixture
def bucket(aws: Aws) -> str:
    """Give a versioned bucket of the test's own."""
    name, s3 = f"bucket-{uuid.uuid4()}", aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name
