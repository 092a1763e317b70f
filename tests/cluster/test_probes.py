"""Probes: who is ready, who is restarted, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.client import KubeObject, Namespace
from tests.cluster.manifests import SERVER, is_ready, model, phase, pod, state

# Serves, and has a file for exec probes to look at, which goes after a moment.
SLOW_START = "import time; time.sleep(1.5)\n" + SERVER


def _unhealthy(kind: str, message: str) -> Any:
    def said(events: list[KubeObject]) -> bool:
        texts = [event["message"] for event in events if event["reason"] == "Unhealthy"]
        return any(text.startswith(f"{kind} probe failed: ") and message in text for text in texts)

    return said


@pytest.mark.parametrize(
    "probe",
    [
        {"tcpSocket": {"port": 8080}},
        {"tcpSocket": {"port": "http"}},
        {"httpGet": {"path": "/anything", "port": "http"}},
        {"exec": {"command": ["python3", "-c", "pass"]}, "timeoutSeconds": 10},
    ],
    ids=["tcp", "tcp by name", "http", "exec"],
)
def test_ready_when_the_probe_says_so(namespace: Namespace, image: str, probe: dict[str, Any]) -> None:
    namespace.create("pods", model("a", image, readinessProbe=probe | {"periodSeconds": 1}))
    found = namespace.wait("pods", "a", is_ready)
    assert found["status"]["containerStatuses"][0]["ready"]
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"httpGet": {"path": "/status/503", "port": 8080}}, "HTTP probe failed with statuscode: 503"),
        ({"httpGet": {"path": "/wait/3", "port": 8080}}, "context deadline exceeded"),
        ({"httpGet": {"path": "/close", "port": 8080}}, "EOF"),
        ({"tcpSocket": {"port": 9999}}, ":9999: connect: connection refused"),
        ({"exec": {"command": ["python3", "-c", "print('not yet'); exit(1)"]}, "timeoutSeconds": 10}, "not yet"),
    ],
    ids=["status", "timeout", "no answer", "refused", "exec"],
)
def test_what_is_said_of_who_is_not_ready(
    namespace: Namespace, image: str, probe: dict[str, Any], message: str
) -> None:
    namespace.create("pods", model("a", image, readinessProbe=probe | {"periodSeconds": 1}))
    namespace.events("a", _unhealthy("Readiness", message))
    found = namespace.get("pods", "a")
    assert found["status"]["phase"] == "Running"
    assert not is_ready(found)


def test_ready_is_not_for_ever(namespace: Namespace, image: str) -> None:
    code = SERVER.replace("class Handler", "began = time.time()\nclass Handler").replace(
        'kind == "status"',
        'kind == "young" and self.answer(b"", 200 if time.time() < began + 2 else 500) or kind == "status"',
    )
    probe = {"httpGet": {"path": "/young", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.create("pods", pod("a", image, code, readinessProbe=probe))
    namespace.wait("pods", "a", is_ready)
    found = namespace.wait("pods", "a", lambda obj: not is_ready(obj) and "running" in state(obj))
    assert found["status"]["phase"] == "Running"
    namespace.events("a", _unhealthy("Readiness", "statuscode: 500"))


def test_a_startup_probe_holds_the_others_back(namespace: Namespace, image: str) -> None:
    startup = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 30}
    liveness = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.create("pods", pod("a", image, SLOW_START, startupProbe=startup, livenessProbe=liveness))
    first = namespace.wait("pods", "a", lambda obj: "running" in state(obj))
    assert first["status"]["containerStatuses"][0]["started"] is False
    found = namespace.wait("pods", "a", is_ready)
    assert found["status"]["containerStatuses"][0]["started"] is True
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    namespace.events("a", _unhealthy("Startup", "connection refused"))


def test_who_does_not_start_in_time_is_ended(namespace: Namespace, image: str) -> None:
    startup = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 2}
    namespace.create("pods", pod("a", image, SERVER, startupProbe=startup, terminationGracePeriodSeconds=1))
    namespace.wait("pods", "a", phase("Failed"))
    said = namespace.events("a", lambda events: any(event["reason"] == "Killing" for event in events))
    assert "Stopping container main" in {event["message"] for event in said if event["reason"] == "Killing"}


def test_who_is_not_alive_is_ended(namespace: Namespace, image: str) -> None:
    liveness = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.create("pods", pod("a", image, SERVER, livenessProbe=liveness, terminationGracePeriodSeconds=1))
    found = namespace.wait("pods", "a", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] in (137, 143)
