"""Functions run as on AWS: in its runtime client, away from MiniStack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.sam import runtime
from tests.local.conftest import Aws, zipped


def invoke(aws: Aws, function: str, **given: Any) -> tuple[str | None, dict[str, Any]]:
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(given))
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_an_error_has_the_name_of_its_class(aws: Aws, worker: str) -> None:
    failed, answer = invoke(aws, worker, **{"raise": "no"})
    assert failed == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("ModelFailed", "no")


def test_a_process_that_exits_is_an_exit_error(aws: Aws, worker: str) -> None:
    assert invoke(aws, worker, exit=7)[1]["errorType"] == "Runtime.ExitError"


def test_a_process_that_exits_before_its_first_event_is_an_exit_error(aws: Aws) -> None:
    function = aws.function("stillborn", Environment={"Variables": {"EXIT_AT_START": "yes"}})
    assert invoke(aws, function)[1]["errorType"] == "Runtime.ExitError"


def test_time_that_is_up_is_a_timeout(aws: Aws) -> None:
    function = aws.function("hasty", Timeout=1)
    assert invoke(aws, function, sleep=3)[1]["errorType"] == "Sandbox.Timedout"


def test_the_environment_is_lambdas_and_not_ministacks(aws: Aws, worker: str) -> None:
    environment = invoke(aws, worker)[1]["environment"]
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{runtime()['Runtime']}"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/worker"
    assert environment["AWS_ENDPOINT_URL"] == aws.endpoint_url
    assert not {"SECRET_OF_THE_STACK", "AUTH", "GATEWAY_PORT", "PYTHONPATH"} & environment.keys()


def test_ministacks_packages_are_out_of_reach(aws: Aws, worker: str) -> None:
    path = invoke(aws, worker)[1]["path"]
    assert not any("venv-ministack" in entry for entry in path)
    assert [Path(entry).name for entry in path[1:3]] == ["site-packages", "python"], "layers come after the function"


def test_layers_are_unpacked_over_each_other(aws: Aws) -> None:
    publish = aws.client("lambda").publish_layer_version
    versions = [
        publish(LayerName=name, Content={"ZipFile": zipped("python/shared.py", name)})["LayerVersionArn"]
        for name in ("first", "second")
    ]
    function = aws.function("layered", Layers=versions)
    assert Path(invoke(aws, function)[1]["path"][2], "shared.py").read_text() == "second"
