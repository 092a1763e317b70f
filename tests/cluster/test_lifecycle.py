"""The embedded cluster's own life: it announces itself, it ends cleanly, and nothing outlives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kubernetes import config

from local.cluster.apply import ApplyFailed, apply
from local.foreign import Foreign
from tests.cluster import embedded
from tests.cluster.client import Client, Namespace
from tests.cluster.embedded import IMAGE, ROOT, EmbeddedCluster
from tests.cluster.manifests import SERVER, pod, state

pytestmark = pytest.mark.skipif(Foreign.asked() is not None, reason="about the embedded cluster only")


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    """A cluster that a test may end."""
    with ExitStack() as stack:
        yield stack.enter_context(embedded.start(tmp_path))


def _namespace(running: EmbeddedCluster) -> Namespace:
    return Client(config.new_client_from_config(str(running.kubeconfig))).namespace("default")


def _start_pod(running: EmbeddedCluster) -> int:
    """The id of a pod's process that does not care for SIGTERM."""
    namespace = _namespace(running)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    namespace.create("pods", pod("a", IMAGE, code))
    namespace.wait("pods", "a", lambda obj: "running" in state(obj))
    return int(namespace.first_line("a").removeprefix("pid "))


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        path = Path(f"/proc/{pid}/stat")
        if not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_it_says_where_it_is(embedded_cluster: EmbeddedCluster) -> None:
    described = json.loads((embedded_cluster.state / "cluster.json").read_text())
    assert set(described) == {"api_url", "ca_file", "gateway_url", "kubeconfig", "pid"}
    assert described["pid"] == embedded_cluster.process.pid
    assert described["api_url"].startswith("https://127.0.0.1:")
    assert Path(described["ca_file"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert stat.S_IMODE(embedded_cluster.kubeconfig.stat().st_mode) == 0o600, "it holds the administrator's token"


def test_sigterm_ends_it_and_its_pods(own_cluster: EmbeddedCluster) -> None:
    pid = _start_pod(own_cluster)
    own_cluster.process.terminate()
    assert own_cluster.process.wait(timeout=10) == 0
    assert _gone(pid)
    assert not (own_cluster.state / "cluster.json").exists()
    log = (own_cluster.state / "cluster.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_an_open_watch_does_not_hold_it_up(own_cluster: EmbeddedCluster) -> None:
    namespace = _namespace(own_cluster)
    stream = namespace.watch("serviceaccounts", timeout=60)
    assert next(stream)["type"] == "ADDED"
    own_cluster.process.terminate()
    assert own_cluster.process.wait(timeout=10) == 0
    stream.close()


def test_pods_do_not_outlive_a_cluster_that_is_killed(own_cluster: EmbeddedCluster) -> None:
    pid = _start_pod(own_cluster)
    own_cluster.process.send_signal(signal.SIGKILL)
    own_cluster.process.wait(timeout=10)
    assert _gone(pid)


def test_it_starts_again_in_the_same_place(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as first:
        _start_pod(first)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(timeout=10)
        (tmp_path / "cluster.json").unlink()
    with embedded.start(tmp_path) as second:
        assert _namespace(second).names("pods") == set()
        assert list((tmp_path / "pods").glob("*")) == []
        _start_pod(second)


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "local.cluster", "--state-dir", str(tmp_path), "--registry-url", "http://x"]
        command += ["--port", port, "--gateway-port", port]
        ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, timeout=20, check=False)
    assert ended.returncode != 0
    assert b"address already in use" in ended.stderr
    assert not (tmp_path / "cluster.json").exists()


def test_the_administrators_folder_can_be_applied_again_and_again(own_cluster: EmbeddedCluster) -> None:
    first = apply(ROOT / "cluster", own_cluster.kubeconfig)
    assert "namespace/dropscore" in first
    assert "gateway/dropscore" in first
    assert apply(ROOT / "cluster", own_cluster.kubeconfig) == first
    namespace = Client(config.new_client_from_config(str(own_cluster.kubeconfig))).namespace("dropscore")
    quota = namespace.wait("resourcequotas", "dropscore", lambda obj: obj.get("status"))
    assert quota["status"]["used"]["pods"] == "0"
    found = namespace.wait("gateways", "dropscore", lambda obj: obj.get("status"))
    kinds = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert kinds == {"Accepted": "True", "Programmed": "True"}


def test_egress_is_opened_by_a_component_for_the_same_pods(own_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "cluster", tmp_path / "cluster")
    with (folder / "kustomization.yaml").open("a") as kustomization:
        kustomization.write("components:\n  - components/egress\n")
    assert "networkpolicy/models-egress" in apply(folder, own_cluster.kubeconfig)
    namespace = Client(config.new_client_from_config(str(own_cluster.kubeconfig))).namespace("dropscore")
    closed, opened = (namespace.get("networkpolicies", name)["spec"] for name in ("models", "models-egress"))
    assert closed["egress"] == []
    assert opened["podSelector"] == closed["podSelector"]
    assert opened["policyTypes"] == ["Egress"], "what may come in is another policy's"
    dns, service = opened["egress"]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    for rule in (dns, service):
        assert all({"namespaceSelector", "podSelector"} <= peer.keys() for peer in rule["to"]), "nobody but these pods"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_applies_the_same_folder(own_cluster: EmbeddedCluster) -> None:
    command = ["kubectl", "apply", "-k", str(ROOT / "cluster"), "--kubeconfig", str(own_cluster.kubeconfig)]
    # It keeps what it has discovered in the home directory, by address: this address had another cluster before.
    environment = os.environ | {"KUBECACHEDIR": str(own_cluster.state / "kubectl")}
    results = [
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout
        for _ in range(2)
    ]
    applied = apply(ROOT / "cluster", own_cluster.kubeconfig)
    assert len(results[0].splitlines()) == len(applied)
    assert all(line.endswith(" created") for line in results[0].splitlines())
    assert all(line.endswith(" unchanged") for line in results[1].splitlines())


def test_what_cannot_be_applied_is_an_error(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [a.yaml]\nimages: []\n")
    with pytest.raises(ApplyFailed, match="images: not understood here"):
        apply(folder, embedded_cluster.kubeconfig)
    (folder / "kustomization.yaml").write_text("resources: [a.yaml]\nnamespace: default\n")
    (folder / "a.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: 1a}\nspec: {ports: [{port: 1}]}\n")
    with pytest.raises(ApplyFailed, match='Service "1a" is invalid'):
        apply(folder, embedded_cluster.kubeconfig)
    (folder / "a.yaml").write_text("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n")
    with pytest.raises(ApplyFailed, match="no matches for kind 'Thing'"):
        apply(folder, embedded_cluster.kubeconfig)
