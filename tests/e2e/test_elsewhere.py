"""A function whose calls the stack's Lambda hands to another server, such as `sam local start-lambda`."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from local.stack import Stack
from tests.serving import serving


class Elsewhere(HTTPServer):
    """Gives one answer to every call, and keeps the last event."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.event = b"", b""


class _Handler(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_POST(self) -> None:  # named by http.server
        self.server.event = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with serving(Elsewhere()) as server:
        yield server


@pytest.fixture
def function(stack: Stack, elsewhere: Elsewhere) -> str:
    """A deployed function whose calls go elsewhere; its own code would fail."""
    name, code = f"elsewhere-{uuid.uuid4()}", io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    client = stack.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=client.list_functions()["Functions"][0]["Role"],
        Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"MINISTACK_LAMBDA_PROXY_URL": f"http://127.0.0.1:{elsewhere.server_port}/"}},
    )
    return name


def test_its_answer_is_the_functions(stack: Stack, elsewhere: Elsewhere, function: str) -> None:
    elsewhere.answer = b'{"status": "READY"}'
    response = stack.client("lambda").invoke(FunctionName=function, Payload='{"file_id": "a"}')
    assert json.loads(elsewhere.event) == {"file_id": "a"}
    assert "FunctionError" not in response
    assert json.loads(response["Payload"].read()) == {"status": "READY"}


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b'{"errorType": "PodLost", "errorMessage": "gone", "requestId": "", "stackTrace": []}', "PodLost"),
        (b"Task timed out after 900.00 seconds", "Sandbox.Timedout"),
        (b"", "Runtime.ExitError"),
    ],
)
def test_an_error_there_is_the_functions_under_the_name_that_lambda_gives_it(
    stack: Stack, elsewhere: Elsewhere, function: str, answer: bytes, name: str
) -> None:
    elsewhere.answer = answer
    response = stack.client("lambda").invoke(FunctionName=function, Payload="{}")
    assert response["FunctionError"] == "Unhandled"
    assert json.loads(response["Payload"].read())["errorType"] == name


def test_a_server_that_is_not_there_is_an_error_of_the_service(
    stack: Stack, elsewhere: Elsewhere, function: str
) -> None:
    elsewhere.server_close()
    response = stack.client("lambda").invoke(FunctionName=function, Payload="{}")
    assert json.loads(response["Payload"].read())["errorType"] == "Lambda.ServiceException"
