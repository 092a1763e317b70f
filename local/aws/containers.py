"""Repair: a function that runs elsewhere fails with the error that it raised.

MiniStack hands a function's calls to a URL if there is one among its variables (`MINISTACK_LAMBDA_PROXY_URL`; see
local/sam_local.py), but takes whatever comes back for a result. `sam local start-lambda`, which emulates Lambda's
Invoke there, marks what was raised with Lambda's header if it knows each field of the error (of newer runtimes it does
not), and answers with a bare sentence when time was up.
"""

import json
import urllib.request
from typing import Any

from ministack.services import lambda_svc

# The longest that Lambda lets a function run, and a minute for a container to be made and started.
_SECONDS = 960
_TIMED_OUT = b"Task timed out after"
_ERROR = {"errorType", "errorMessage"}


def repair() -> None:
    """Let calls that go to a URL end as those to Lambda's Invoke do."""
    lambda_svc._execute_function_proxy = invoke


def invoke(_function: dict[str, Any], event: object, url: str, _request_id: str) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answer = response.read()
    except OSError as error:  # nobody listens, or refuses: the function was not run
        return failed("Lambda.ServiceException", f"{url}: {error}")
    try:
        body = json.loads(answer)
    except ValueError:  # no answer of the function's: its time was up, or its container ended
        name = "Sandbox.Timedout" if answer.startswith(_TIMED_OUT) else "Runtime.ExitError"
        return failed(name, answer.decode(errors="replace") or "The container ended without an answer.")
    return {"body": body, "error": isinstance(body, dict) and body.keys() >= _ERROR}


def failed(error_type: str, message: str) -> dict[str, Any]:
    return {"body": {"errorType": error_type, "errorMessage": message}, "error": True}
