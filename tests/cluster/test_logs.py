"""Container logs."""

from __future__ import annotations

import re

import pytest

from tests.cluster.client import Namespace, Refused
from tests.cluster.manifests import SLEEP, phase, pod, state, waits_for

LINES = "for i in range(1, 101): print('line', i)"


@pytest.fixture
def ended(namespace: Namespace, image: str) -> Namespace:
    namespace.create("pods", pod("a", image, LINES))
    namespace.wait("pods", "a", phase("Succeeded"))
    return namespace


def test_all_of_it(ended: Namespace) -> None:
    assert ended.log("a") == "".join(f"line {i}\n" for i in range(1, 101))
    assert ended.log("a", container="main") == ended.log("a")


def test_the_end_of_it(ended: Namespace) -> None:
    assert ended.log("a", tailLines=2) == "line 99\nline 100\n"
    assert ended.log("a", tailLines=0) == ""
    assert ended.log("a", tailLines=1000) == ended.log("a")


def test_at_most_so_many_bytes(ended: Namespace) -> None:
    assert ended.log("a", limitBytes=10) == "line 1\nlin"
    assert ended.log("a", tailLines=2, limitBytes=7) == "line 99"


def test_with_times(ended: Namespace) -> None:
    line = ended.log("a", timestamps="true", tailLines=1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 100\n", line)


def test_of_the_last_seconds(namespace: Namespace, image: str) -> None:
    code = "import time; print('early'); time.sleep(3); print('late'); time.sleep(600)"
    namespace.create("pods", pod("a", image, code))
    namespace.wait("pods", "a", lambda obj: "running" in state(obj))
    stream = namespace.client.open("GET", namespace.path("pods", "a") + "/log", query={"follow": "true"})
    assert stream.read(11) == b"early\nlate\n"
    stream.close()
    assert namespace.log("a", sinceSeconds=2) == "late\n"


def test_followed_to_its_end(namespace: Namespace, image: str) -> None:
    code = "import time; print('one', flush=True); time.sleep(0.5); print('two'); print('three')"
    namespace.create("pods", pod("a", image, code))
    namespace.wait("pods", "a", lambda obj: state(obj).keys() & {"running", "terminated"})
    stream = namespace.client.open("GET", namespace.path("pods", "a") + "/log", query={"follow": "true"})
    assert stream.read() == b"one\ntwo\nthree\n"


def test_of_the_instance_before(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, "print('crash'); raise SystemExit(1)", restartPolicy="Always"))
    namespace.wait("pods", "a", waits_for("CrashLoopBackOff"))
    assert namespace.log("a", previous="true") == "crash\n"
    assert namespace.log("a") == "crash\n"


def test_both_outputs_and_long_lines(namespace: Namespace, image: str) -> None:
    code = "import sys; print('x' * 100_000); print('end', file=sys.stderr); sys.stdout.write('no newline')"
    namespace.create("pods", pod("a", image, code))
    namespace.wait("pods", "a", phase("Succeeded"))
    lines = namespace.log("a").split("\n")
    assert sorted(lines, key=len)[-1] == "x" * 100_000
    assert "end" in lines
    assert namespace.log("a").endswith("no newline")


def _refusal(namespace: Namespace, pod_name: str, **query: str) -> str:
    with pytest.raises(Refused) as refused:
        namespace.log(pod_name, **query)
    assert (refused.value.http_status, refused.value.reason) == (400, "BadRequest")
    return refused.value.message


def test_of_a_container_that_waits(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("pull", "registry.invalid/absent:1"))
    namespace.wait("pods", "pull", waits_for("ImagePullBackOff"))
    waiting = 'container "main" in pod "pull" is waiting to start: trying and failing to pull image'
    assert _refusal(namespace, "pull") == waiting
    namespace.create("pods", pod("config", image, SLEEP, envFrom=[{"configMapRef": {"name": "absent"}}]))
    namespace.wait("pods", "config", waits_for("CreateContainerConfigError"))
    waiting = 'container "main" in pod "config" is waiting to start: CreateContainerConfigError'
    assert _refusal(namespace, "config") == waiting


def test_that_there_is_none(ended: Namespace) -> None:
    assert _refusal(ended, "a", previous="true") == 'previous terminated container "main" in pod "a" not found'
    assert _refusal(ended, "a", container="other") == "container other is not valid for pod a"
    with pytest.raises(Refused, match='pods "absent" not found'):
        ended.log("absent")


def test_of_a_pod_without_a_node(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, nodeSelector={"no-such": "label"}))
    assert namespace.log("a") == ""
