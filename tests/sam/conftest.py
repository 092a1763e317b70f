"""`sam local start-lambda` on an embedded stack of its own, for the whole session; everything is skipped without Docker."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local import account, parts, sam_local
from local.processes import Processes, wait_until
from local.stack import Stack
from tests.e2e.pipeline import Pipeline
from tests.sam.images import need_docker

STATE = parts.ROOT / ".local/test-sam"


@dataclass(frozen=True)
class Answer:
    """What a function answered, or the error that it raised: its class name and its message."""

    payload: Any
    error: str | None = None
    message: str = ""


Invoke = Callable[[str, Any], Answer]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    need_docker()
    try:
        yield sam_local.up(STATE)
    finally:
        sam_local.down(STATE)


@pytest.fixture(scope="session")
def start_lambda(stack: Stack) -> Iterator[str]:
    """Where `sam local start-lambda` serves."""
    port = parts.free_port("127.0.0.1", 3001)
    processes = Processes(STATE / "start-lambda.json")
    process = processes.start(
        "start-lambda",
        # Watching for changes of the code, SAM would end a container at work when anything is touched in its folder.
        [parts.ROOT / ".venv-sam/bin/sam", "local", "start-lambda", "--no-watch", "--port", str(port)],
        env=account.environment(stack.endpoint_url) | {"SAM_CLI_TELEMETRY": "0"},
        cwd=STATE,
        log=STATE / "logs/start-lambda.log",
    )
    try:
        wait_until(lambda: listens(port), "sam local start-lambda", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.end()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def invoke(start_lambda: str) -> Invoke:
    """Invoke a function in its container: its name in the template, its event."""
    # The first call of a function may have its image made, or even pulled.
    patient = Config(read_timeout=300, retries={"total_max_attempts": 1})
    client = boto3.client(
        "lambda",
        endpoint_url=start_lambda,
        region_name=account.REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=patient,
    )

    def call(function: str, event: Any) -> Answer:
        response = client.invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(response["Payload"].read())
        if isinstance(payload, dict) and "errorType" in payload:
            # SAM marks what was raised, but not where the runtime adds a field that SAM does not know.
            assert "FunctionError" in response or "requestId" in payload
            return Answer(None, payload["errorType"], payload["errorMessage"])
        return Answer(payload)

    return call


@pytest.fixture(scope="session")
def pipeline(stack: Stack) -> Pipeline:
    return Pipeline(stack)
