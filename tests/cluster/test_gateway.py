"""Models behind a gateway: HTTPRoutes, and what happens to requests and bodies on the way."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import KubeObject, Namespace
from tests.cluster.conftest import Cluster, new_namespace
from tests.cluster.embedded import EmbeddedCluster
from tests.cluster.manifests import SERVER, gateway, is_ready, model, pod, route, service
from tests.cluster.traffic import MEGABYTE, ask, ask_until, open_connection


@dataclass(frozen=True)
class Served:
    """A namespace with a gateway, a model and its service, all of the name ``model``, and the route ``model``."""

    namespace: Namespace
    root: str
    url: str

    def add_route(self, name: str, backend: str = "model", prefix: str | None = None, **rule: Any) -> str:
        """Another route, and its URL."""
        prefix = prefix or f"/{self.namespace.name}-{name}"
        self.namespace.create("httproutes", route(name, "model", prefix, backend, **rule))
        return self.root + prefix


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Served]:
    if cluster.gateway_url is None or cluster.gateway_class is None:
        pytest.skip("no gateway to reach models through: ROUTE=gateway, URL=… and a GatewayClass")
    with new_namespace(cluster) as namespace:
        namespace.create("gateways", gateway("model", cluster.gateway_class))
        namespace.create("pods", model("model", cluster.image))
        namespace.create("services", service("model", "model"))
        prefix = f"/{namespace.name}"
        namespace.create("httproutes", route("model", "model", prefix, "model"))
        namespace.wait("pods", "model", is_ready)
        found = Served(namespace, cluster.gateway_url, cluster.gateway_url + prefix)
        ask_until(f"{found.url}/", 200)
        yield found


@pytest.mark.parametrize(
    ("asked", "arrives"),
    [
        ("", "/"),
        ("/", "/"),
        ("/executions", "/executions"),
        ("/a/b/?q=1&r=%20x", "/a/b/?q=1&r=%20x"),
        ("?q=1", "/?q=1"),
        ("/percent%2Fencoded%20path", "/percent%2Fencoded%20path"),
    ],
)
def test_the_prefix_is_taken_away(served: Served, asked: str, arrives: str) -> None:
    assert ask(served.url + asked).body.decode() == arrives


@pytest.mark.parametrize("path", ["x", "-other/a"])
def test_a_prefix_is_whole_path_elements(served: Served, path: str) -> None:
    assert ask(served.url + path).status == 404


def test_the_longest_prefix_wins(served: Served) -> None:
    full = {"type": "ReplaceFullPath", "replaceFullPath": "/instead"}
    filters = [{"type": "URLRewrite", "urlRewrite": {"path": full}}]
    deeper = served.add_route("deeper", prefix=f"/{served.namespace.name}/deep/er", filters=filters)
    assert ask_until_body(deeper, b"/instead")
    assert ask(f"{deeper}/and/more?q=1").body == b"/instead?q=1"
    assert ask(f"{served.url}/deep/x").body == b"/deep/x"


def ask_until_body(url: str, body: bytes) -> bool:
    deadline = time.monotonic() + 20
    while ask(url).body != body:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return True


def test_bodies_keep_their_length(served: Served) -> None:
    answer = ask(f"{served.url}/executions", "POST", b"x" * 100_000, {"Content-Type": "text/csv"}).json()
    assert answer["size"] == 100_000
    assert answer["path"] == "/executions"
    assert answer["headers"]["Content-Length"] == "100000"
    assert answer["headers"]["Content-Type"] == "text/csv"
    assert "Transfer-Encoding" not in answer["headers"]


def test_a_body_of_unknown_length_arrives(served: Served) -> None:
    answer = ask(f"{served.url}/executions", "POST", (b"x" * 1000 for _ in range(100))).json()
    assert answer["size"] == 100_000


def test_an_answer_of_unknown_length_arrives(served: Served) -> None:
    assert ask(f"{served.url}/chunked").body == b"one two three"


def test_methods_and_answers_pass_unchanged(served: Served) -> None:
    answer = ask(f"{served.url}/status/404")
    assert (answer.status, answer.body) == (404, b"as asked")
    answer = ask(f"{served.url}/status/307")
    assert answer.status == 307
    assert ask(f"{served.url}/x", "PUT", b"abc").json()["size"] == 3
    assert ask(f"{served.url}/x", "DELETE").status == 501, "the model's own answer"


def test_headers_pass_but_those_of_the_connection(served: Served) -> None:
    headers = {"X-Own": "mine", "Connection": "X-Hop", "X-Hop": "gone", "Accept": "text/csv", "User-Agent": "test"}
    arrived = ask(f"{served.url}/", "POST", b"", headers).json()["headers"]
    lower = {name.lower(): value for name, value in arrived.items()}
    assert lower["x-own"] == "mine"
    assert lower["accept"] == "text/csv"
    assert lower["user-agent"] == "test"
    assert "x-hop" not in lower
    assert "x-forwarded-for" in lower


def test_the_client_may_ask_before_it_sends(served: Served) -> None:
    connection, path = open_connection(f"{served.url}/executions")
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", "5")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock is not None
    connection.sock.settimeout(10)
    assert connection.sock.recv(1024).startswith(b"HTTP/1.1 100 Continue\r\n")
    connection.send(b"hello")
    assert b'"size": 5' in connection.getresponse().read()
    connection.close()


def test_without_a_route_it_is_not_found(served: Served) -> None:
    assert ask(f"{served.root}/no-such-route-{served.namespace.name}").status == 404


def test_without_its_gateway_a_route_is_nothing(served: Served) -> None:
    prefix = f"/{served.namespace.name}-elsewhere"
    served.namespace.create("httproutes", route("elsewhere", "no-such-gateway", prefix, "model"))
    present = served.add_route("present")
    ask_until(present, 200)
    assert ask(served.root + prefix).status == 404


def test_without_its_service_a_route_is_an_error(served: Served) -> None:
    url = served.add_route("without-service", "no-such-service")
    ask_until(url, 500)
    found = served.namespace.wait("httproutes", "without-service", lambda obj: _conditions(obj).get("ResolvedRefs"))
    assert _conditions(found)["ResolvedRefs"] == ("False", "BackendNotFound")


def _conditions(obj: KubeObject) -> dict[str, tuple[str, str]]:
    parents = (obj.get("status") or {}).get("parents") or [{}]
    return {one["type"]: (one["status"], one["reason"]) for one in parents[0].get("conditions", [])}


def test_a_route_says_that_it_is_accepted(served: Served) -> None:
    found = served.namespace.wait("httproutes", "model", lambda obj: len(_conditions(obj)) >= 2)
    assert _conditions(found)["Accepted"] == ("True", "Accepted")
    assert _conditions(found)["ResolvedRefs"] == ("True", "ResolvedRefs")
    parent = found["status"]["parents"][0]
    assert parent["parentRef"]["name"] == "model"
    assert re.fullmatch(r"[a-z0-9.-]+/[\w./-]+", parent["controllerName"])
    assert all(one["observedGeneration"] == found["metadata"]["generation"] for one in parent["conditions"])


def test_a_gateway_says_where_it_is(served: Served) -> None:
    found = served.namespace.wait("gateways", "model", lambda obj: (obj.get("status") or {}).get("addresses"))
    kinds = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert kinds["Accepted"] == kinds["Programmed"] == "True"
    assert found["status"]["listeners"][0]["attachedRoutes"] >= 1


def test_without_a_ready_pod_it_is_unavailable(served: Served) -> None:
    served.namespace.create("services", service("nobody", "nobody"))
    url = served.add_route("nobody", "nobody")
    ask_until(url, 503)


def test_a_service_may_let_requests_in_before_its_pod_is_ready(cluster: Cluster, served: Served) -> None:
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    served.namespace.create("pods", model("unready", cluster.image, readinessProbe=never))
    served.namespace.create("services", service("unready", "unready", publishNotReadyAddresses=True))
    ask_until(served.add_route("unready", "unready"), 200)
    assert not is_ready(served.namespace.get("pods", "unready"))


def test_ready_is_what_lets_requests_in(cluster: Cluster, served: Served) -> None:
    code = SERVER.replace("class Handler", "import threading\nBEGAN = time.time()\nclass Handler").replace(
        'kind == "status"',
        'kind == "late" and self.answer(b"", 200 if time.time() > BEGAN + 3 else 503) or kind == "status"',
    )
    probe = {"httpGet": {"path": "/late", "port": 8080}, "periodSeconds": 1}
    served.namespace.create("services", service("late", "late"))
    url = served.add_route("late", "late")
    served.namespace.create("pods", pod("late", cluster.image, code, {"app": "late"}, readinessProbe=probe))
    served.namespace.wait("pods", "late", lambda obj: obj["status"]["phase"] == "Running")
    ask_until(url, 503)
    assert not is_ready(served.namespace.get("pods", "late"))
    served.namespace.wait("pods", "late", is_ready)
    ask_until(url, 200)
    served.namespace.delete("pods", "late")
    served.namespace.wait_gone("pods", "late")
    ask_until(url, 503)


def test_a_pod_that_refuses_or_says_nothing_is_a_bad_gateway(served: Served) -> None:
    closed = [{"port": 80, "targetPort": 9}]
    served.namespace.create("services", service("closed", "model", ports=closed))
    url = served.add_route("closed", "closed")
    deadline = time.monotonic() + 20
    # Some data planes call a refused connection 503, as they have no other pod to try.
    while ask(url).status not in (502, 503):
        assert time.monotonic() < deadline
    assert ask(f"{served.url}/close").status in (502, 503)


def test_a_refused_connection_is_502_here(served: Served, embedded_cluster: EmbeddedCluster) -> None:
    served.namespace.create("services", service("shut", "model", ports=[{"port": 80, "targetPort": 9}]))
    ask_until(served.add_route("shut", "shut"), 502)
    assert ask(f"{served.url}/close").status == 502


def test_half_an_answer_is_not_taken_for_a_whole(served: Served) -> None:
    connection, path = open_connection(f"{served.url}/half")
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()


def test_a_route_may_limit_the_time(served: Served) -> None:
    url = served.add_route("limited", timeouts={"request": "1s"})
    ask_until(f"{url}/", 200)
    start = time.monotonic()
    assert ask(f"{url}/wait/10").status == 504
    assert time.monotonic() - start < 5


def test_slow_answers_do_not_hold_up_others(served: Served) -> None:
    start = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, [f"{served.url}/wait/1"] * 20))
    assert {answer.status for answer in answers} == {200}
    assert time.monotonic() - start < 5


def test_what_is_not_supported_is_said(served: Served, embedded_cluster: EmbeddedCluster) -> None:
    path = {"type": "RegularExpression", "value": "/.*"}
    served.add_route("regex", matches=[{"path": path}])
    found = served.namespace.wait("httproutes", "regex", lambda obj: _conditions(obj).get("Accepted"))
    assert _conditions(found)["Accepted"] == ("False", "UnsupportedValue")


def test_a_head_has_no_body(served: Served) -> None:
    answer = ask(f"{served.url}/x", "HEAD")
    assert (answer.status, answer.body) == (501, b""), "the model's own answer"


def test_a_client_that_goes_is_gone_for_the_model_too(cluster: Cluster, served: Served) -> None:
    """Else a pod with one worker would go on with what nobody waits for."""
    served.namespace.create("pods", model("left", cluster.image))
    served.namespace.create("services", service("left", "left"))
    url = served.add_route("left", "left")
    served.namespace.wait("pods", "left", is_ready)
    ask_until(f"{url}/", 200)
    for method, tail, length in (("GET", "/bytes/1000000000", None), ("POST", "/x", "1000000")):
        connection, path = open_connection(url + tail)
        connection.request(method, path, b"half" if length else None, {"Content-Length": length} if length else {})
        if length:
            # Of one that has gone before it was passed on, the model need not know.
            _await_log(served, f"{length} bytes to come")
        else:
            connection.getresponse().read(1000)
        connection.close()
    _await_log(served, "BrokenPipeError|ConnectionResetError")
    _await_log(served, "the client has gone|ConnectionResetError")


def _await_log(served: Served, pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not re.search(pattern, served.namespace.log("left")):
        assert time.monotonic() < deadline, served.namespace.log("left")
        time.sleep(0.1)


# -- large bodies ------------------------------------------------------------------------------------------------------

_SIZE = 200 * 2**20
_BOUND = 32 * 2**20


def _resident(embedded: EmbeddedCluster | None) -> int:
    """Bytes that the proxy holds; of a real one we know nothing."""
    if embedded is None:
        return 0
    status = Path(f"/proc/{embedded.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def test_a_large_file_streams_to_the_model(cluster: Cluster, served: Served) -> None:
    before, most = _resident(cluster.embedded), 0

    def chunks() -> Iterator[bytes]:
        nonlocal most
        for number in range(_SIZE // len(MEGABYTE)):
            yield MEGABYTE
            if number % 20 == 0:
                most = max(most, _resident(cluster.embedded))

    answer = ask(f"{served.url}/executions", "POST", chunks(), {"Content-Length": str(_SIZE)})
    assert answer.json()["size"] == _SIZE
    assert most - before < _BOUND


def test_a_large_answer_streams_to_a_slow_reader(cluster: Cluster, served: Served) -> None:
    before, most, size = _resident(cluster.embedded), 0, 0
    connection, path = open_connection(f"{served.url}/bytes/{_SIZE}")
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.headers["Content-Length"] == str(_SIZE)
    # Long enough for a proxy that does not wait for its reader to have taken it all in.
    size += len(response.read(1000))
    time.sleep(1)
    while chunk := response.read(2**20):
        size += len(chunk)
        most = max(most, _resident(cluster.embedded))
    assert size == _SIZE
    assert most - before < _BOUND
    connection.close()
