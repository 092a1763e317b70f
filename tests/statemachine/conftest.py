"""The state machines in an engine, with every task mocked: MiniStack's, or any that DROPSCORE_SFN_ENDPOINT names.

AWS Step Functions Local reads the same mocks: start it with SFN_MOCK_CONFIG set to tests/statemachine/mocks.json, and
WAIT_TIME_SCALE=0 if it is not to take hours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import parts
from tests.statemachine.definitions import MACHINES, ROOT, deployed

MOCKS = ROOT / "tests/statemachine/mocks.json"
CASES = json.loads(MOCKS.read_text())["StateMachines"]
ROLE = "arn:aws:iam::000000000000:role/states"


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: `path` is the states it entered, in order; `input_of` what each of them got first."""

    status: str
    output: dict[str, Any]
    error: str
    cause: str
    path: list[str]
    input_of: dict[str, Any]


Run = Callable[[str], Outcome]


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the engine."""
    if external := os.environ.get("DROPSCORE_SFN_ENDPOINT"):
        yield external
        return
    port = parts.free_port("127.0.0.1")
    home = tmp_path_factory.mktemp("engine")
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFN_MOCK_CONFIG": str(MOCKS),
        "SFN_WAIT_SCALE": "0",
        "LOG_LEVEL": "WARNING",
    }
    python = ROOT / ".venv-ministack/bin/python"
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "tests.statemachine.engine"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"The engine did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def states(endpoint: str) -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("stepfunctions", endpoint_url=endpoint)


@pytest.fixture(scope="session")
def executions(states: Any) -> dict[str, str]:
    """All test cases of the mocks, started at once: they mostly wait."""
    started: dict[str, str] = {}
    attempt = ""
    for machine in MACHINES:
        definition = json.dumps(deployed(machine, AttemptStateMachineArn=attempt))
        attempt = states.create_state_machine(name=machine, definition=definition, roleArn=ROLE)["stateMachineArn"]
        given = json.dumps({"source": {"key": "incoming/a.csv"}, "file_id": "a-csv-1", "lost_pods": {"count": 0}})
        for case in CASES[machine]["TestCases"]:
            answer = states.start_execution(stateMachineArn=f"{attempt}#{case}", name=case, input=given)
            started[case] = answer["executionArn"]
    return started


@pytest.fixture(scope="session")
def run(states: Any, executions: dict[str, str]) -> Run:
    """Wait for the end of a test case."""

    def ended(case: str) -> Outcome:
        arn = executions[case]
        until = time.monotonic() + 60
        while (described := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < until, f"{case} does not end"
            time.sleep(0.05)
        pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
        entered = [
            event["stateEnteredEventDetails"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        return Outcome(
            described["status"],
            json.loads(described.get("output") or "{}"),
            described.get("error", ""),
            described.get("cause", ""),
            [details["name"] for details in entered],
            {details["name"]: json.loads(details["input"]) for details in reversed(entered)},
        )

    return ended
