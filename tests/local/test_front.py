"""The front of a cluster: who is let through, as whom, with what, and that nothing is held back on the way."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from kubernetes.client import ApiClient, Configuration

from local import parts
from local.processes import Processes, wait_until
from tests.cluster import embedded
from tests.cluster.client import Client, Namespace, Refused
from tests.cluster.manifests import pod, service, state
from tests.serving import serving

TOKEN = "token-of-a-function"
NAME = "arn:aws:sts::000000000000:assumed-role/function/session"
PLUGIN = """
import datetime, json, pathlib
count = pathlib.Path(__file__).with_name("count")
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=-9 if number == 1 else 60)
status = {"token": f"plugin-{number}", "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


@dataclass
class Front:
    """A running front, and the users that its webhook knows by their token."""

    url: str
    ca_file: str
    pid: int
    tokens: dict[str, dict[str, Any]]

    def client(self, token: str = TOKEN, **headers: str) -> Client:
        configuration = Configuration()
        configuration.host, configuration.ssl_ca_cert = self.url, self.ca_file
        return Client(ApiClient(configuration), {"Authorization": f"Bearer {token}"} | headers)

    def send(self, head: str) -> bytes:
        """The answer to a request that is sent as it stands, in one's own name."""
        context = ssl.create_default_context(cafile=self.ca_file)
        host, _, port = self.url.removeprefix("https://").partition(":")
        with (
            socket.create_connection((host, int(port)), 10) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(
                f"{head}\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
            )
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def serve(state_dir: Path, kubeconfig: Path, *groups: str) -> Iterator[Front]:
    """A front of the cluster in a kubeconfig; TOKEN is somebody's in these groups."""
    processes = Processes(state_dir / "processes.json")
    described = state_dir / "cluster.json"
    with embedded.token_reviews() as (review_url, tokens):
        tokens[TOKEN] = {"username": NAME, "groups": list(groups)}
        process = processes.start(
            "front",
            [
                *(sys.executable, "-m", "local.foreign", "--state-dir", state_dir),
                *("--port", str(parts.free_port("127.0.0.1", 0)), "--token-review-url", review_url),
                *("--kubeconfig", kubeconfig, "--context", "it"),
            ],
            env={"PATH": os.environ["PATH"], "HOME": str(state_dir)},
            cwd=parts.ROOT,
            log=state_dir / "front.log",
        )
        try:
            wait_until(described.exists, "The front", process)
            found = json.loads(described.read_text())
            yield Front(found["api_url"], found["ca_file"], found["pid"], tokens)
        finally:
            processes.end()


@dataclass
class Recorder:
    """An API server that answers each request with what it was sent."""

    status: int = 200
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def serve(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                recorder.asked.append(self.path)
                if "/bytes/" in self.path:
                    size = int(self.path.rpartition("/")[2])
                    self.send_response(200)
                    self.send_header("Content-Length", str(size))
                    self.end_headers()
                    for _ in range(size // 2**20):
                        self.wfile.write(bytes(2**20))
                    return
                body = json.dumps({"headers": [list(pair) for pair in self.headers.items()]}).encode()
                self.send_response(recorder.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        with serving(server):
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"


def kubeconfig(path: Path, server: str, user: dict[str, Any], **cluster: Any) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "it", "cluster": {"server": server} | cluster}],
                "users": [{"name": "me", "user": user}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
                "current-context": "another",
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Recorder]]:
    """A front of a recorder, whose kubeconfig has a token."""
    folder, recorder = tmp_path_factory.mktemp("recorded"), Recorder()
    with (
        recorder.serve() as url,
        serve(
            folder, kubeconfig(folder / "config", url, {"token": "mine"}), "dropscore:launch", "dropscore:a"
        ) as served,
    ):
        yield served, recorder


@pytest.fixture
def front(recorded: tuple[Front, Recorder]) -> Front:
    return recorded[0]


@pytest.fixture
def recorder(recorded: tuple[Front, Recorder]) -> Recorder:
    """The one behind `front`, as if nobody had asked it yet."""
    recorded[1].status, recorded[1].asked[:] = 200, []
    return recorded[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Namespace]]:
    """The front of an embedded cluster with a user of the group `dropscore:watch`, and the administrator's own view."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "cluster").mkdir()
    with embedded.start(folder / "cluster") as running:
        document = running.kubeconfig.read_text().replace("current-context: dropscore", "current-context: another")
        (folder / "config").write_text(
            document.replace("name: dropscore", "name: it").replace("cluster: dropscore", "cluster: it")
        )
        with serve(folder, folder / "config", "dropscore:watch") as served:
            admin = running.client().namespace("default")
            for obj in yaml.safe_load_all((parts.ROOT / "cluster/rbac.yaml").read_text()):
                admin.create(obj["kind"].lower() + "s", obj)
            yield served, admin


def sent(client: Client, path: str = "/api/v1/pods") -> list[tuple[str, str]]:
    """The headers that arrive at a recorder."""
    return [(name, value) for name, value in client.call("GET", path)["headers"]]


def test_what_arrives_is_who_asks_and_nothing_that_was_not_expected(front: Front) -> None:
    client = front.client(
        **{"X-Remote-User": "admin", "X-Remote-Group": "system:masters", "Cookie": "a=b", "User-Agent": "dropscore"}
    )
    arrived = sent(client)
    assert {name for name, _ in arrived} == {
        *("Accept", "Accept-Encoding", "Content-Type", "User-Agent", "Host"),
        *("Authorization", "Impersonate-User", "Impersonate-Group"),
    }
    assert [value for name, value in arrived if name == "Authorization"] == ["Bearer mine"]
    assert [value for name, value in arrived if name == "Impersonate-User"] == [NAME]
    assert [value for name, value in arrived if name == "Impersonate-Group"] == ["dropscore:launch", "dropscore:a"]


@pytest.mark.parametrize(
    "name", ["Impersonate-User", "impersonate-group", "Impersonate-Uid", "Impersonate-Extra-Scopes"]
)
def test_who_asks_to_be_taken_for_somebody_else_is_refused(front: Front, recorder: Recorder, name: str) -> None:
    with pytest.raises(Refused, match="cannot impersonate") as refused:
        front.client(**{name: "system:masters"}).call("GET", "/api/v1/pods")
    assert refused.value.http_status == 403
    assert not recorder.asked


@pytest.mark.parametrize(
    "target", ["@elsewhere.example/", "http://elsewhere.example/api", "/api/../k8s", "/api/%2E%2e/k8s"]
)
def test_a_path_stays_on_the_cluster(front: Front, recorder: Recorder, target: str) -> None:
    assert front.send(f"GET {target} HTTP/1.1")[8:].startswith(b" 400 ")
    assert not recorder.asked
    assert front.send("GET /api/v1/pods?a=.. HTTP/1.1").startswith(b"HTTP/1.1 200 ")
    assert recorder.asked == ["/api/v1/pods?a=.."]


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        (NAME, ["system:masters"]),
        (NAME, ["dropscore:launch", "system:nodes"]),
        # Of whoever else may do something in that cluster.
        (NAME, ["platform-admins"]),
        ("alice@example.com", ["dropscore:launch"]),
    ],
)
def test_nobody_gets_the_powers_of_others(front: Front, recorder: Recorder, name: str, groups: list[str]) -> None:
    front.tokens["another"] = {"username": name, "groups": groups}
    with pytest.raises(Refused, match="nobody may be"):
        front.client("another").call("GET", "/api/v1/pods")
    assert not recorder.asked


@pytest.mark.parametrize("token", ["", "nobodys", "mine"])
def test_without_a_good_token_one_is_nobody(front: Front, recorder: Recorder, token: str) -> None:
    with pytest.raises(Refused) as refused:
        front.client(token).call("GET", "/version")
    assert (refused.value.http_status, refused.value.reason) == (401, "Unauthorized")
    assert not recorder.asked


def test_a_kubeconfig_that_is_refused_is_not_the_functions_fault(front: Front, recorder: Recorder) -> None:
    recorder.status = 401
    with pytest.raises(Refused, match="refuses the kubeconfig's credentials") as refused:
        front.client().call("GET", "/api/v1/pods")
    assert refused.value.http_status == 503


def test_a_cluster_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    nowhere = f"https://127.0.0.1:{parts.free_port('127.0.0.1', 0)}"
    with serve(tmp_path, kubeconfig(tmp_path / "config", nowhere, {"token": "mine"})) as served:
        with pytest.raises(Refused, match="does not answer") as refused:
            served.client().call("GET", "/api/v1/pods")
        assert refused.value.http_status == 503


def test_an_exec_plugin_is_asked_again_when_its_token_has_expired(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(tmp_path / "plugin.py")],
        "interactiveMode": "Never",
    }
    with Recorder().serve() as url, serve(tmp_path, kubeconfig(tmp_path / "config", url, {"exec": plugin})) as served:
        tokens = [dict(sent(served.client()))["Authorization"] for _ in range(2)]
    assert tokens == ["Bearer plugin-2", "Bearer plugin-2"], "the first one has expired, the second has not"


def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("me@example.com")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    user = {"client-certificate": "cert.pem", "client-key": "key.pem"}
    with Recorder().serve(tls) as url:
        config = kubeconfig(tmp_path / "config", url, user, **{"certificate-authority": "authority.pem"})
        with serve(tmp_path, config) as served:
            assert "Authorization" not in dict(sent(served.client()))


def test_the_clusters_rbac_decides(cluster: tuple[Front, Namespace]) -> None:
    front, admin = cluster
    member = admin.seen_by(front.client())
    admin.create("services", service("one", "one"))
    assert member.find("events")["kind"] == "EventList"
    for forbidden in (
        lambda: member.find("pods"),
        lambda: member.delete("services", "one"),
        lambda: member.find("secrets"),
    ):
        with pytest.raises(Refused, match=f'User "{re.escape(NAME)}" cannot') as refused:
            forbidden()
        assert refused.value.http_status == 403
    assert admin.get("services", "one")


def test_a_watch_and_a_log_arrive_as_they_come(cluster: tuple[Front, Namespace]) -> None:
    front, admin = cluster
    member = admin.seen_by(front.client())
    code = "import time; print('first', flush=True); time.sleep(60)"
    events = member.watch("pods", fieldSelector="metadata.name=slow", timeout=20)
    admin.create("pods", pod("slow", embedded.IMAGE, code))
    began = time.monotonic()
    assert any("running" in state(event["object"]) for event in events)
    assert member.first_line("slow") == "first\n"
    assert time.monotonic() - began < 15, "it came when the watch or the log had ended"
    admin.delete("pods", "slow", gracePeriodSeconds=0)


def test_a_large_answer_is_not_held(front: Front) -> None:
    size, before = 200 * 2**20, _resident(front)
    response = front.client().open("GET", "/bytes/" + str(size))
    response.read(1000)
    # Long enough for a front that does not wait for its reader to have taken it all in.
    time.sleep(1)
    most = _resident(front)
    assert sum(len(chunk) for chunk in response.stream(2**20)) == size - 1000
    assert max(most, _resident(front)) - before < 32 * 2**20


def _resident(front: Front) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{front.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
