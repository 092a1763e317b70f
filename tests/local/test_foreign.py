"""What is asked of a cluster of yours before anything is made there, and what becomes of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from local import images, parts
from local.foreign import RECORD, Foreign, leave, namespace
from local.foreign.api import Api
from local.foreign.images import Publisher, rename
from local.processes import StackFailed
from local.stack import INTERRUPTED
from tests import pushed
from tests.cluster import embedded
from tests.cluster.client import Client
from tests.cluster.embedded import EmbeddedCluster
from tests.serving import serving

GATEWAY_CLASS = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with embedded.start(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def foreign(cluster: EmbeddedCluster) -> Foreign:
    return Foreign(str(cluster.kubeconfig), "dropscore", url=cluster.gateway_url)


def namespaces(client: Client) -> set[str]:
    return {one["metadata"]["name"] for one in client.call("GET", "/api/v1/namespaces")["items"]}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"KUBECONFIG": "/a"}, "KUBECONFIG: say which cluster is meant by CONTEXT"),
        ({"REGISTRY": "a", "URL": "b"}, "REGISTRY, URL: say which"),
        ({"CONTEXT": "a", "ROUTE": "tunnel"}, "ROUTE must be one of gateway, ingress, pod_ip"),
        ({"CONTEXT": "a", "ROUTE": "ingress"}, "ROUTE=ingress needs URL"),
    ],
)
def test_what_make_is_told_must_name_a_cluster(said: dict[str, str], problem: str) -> None:
    with pytest.raises(StackFailed, match=problem):
        Foreign.asked({f"DROPSCORE_{name}": value for name, value in said.items()})


def test_a_kubeconfig_that_a_shell_happens_to_have_is_not_meant() -> None:
    assert Foreign.asked({"KUBECONFIG": "/production"}) is None
    found = Foreign.asked(
        {"KUBECONFIG": "/a:/b", "DROPSCORE_CONTEXT": "kind-kind", "DROPSCORE_URL": "http://localhost/"}
    )
    assert found == Foreign("/a:/b", "kind-kind", url="http://localhost")


def test_who_may_not_impersonate_is_told_so(cluster: EmbeddedCluster, foreign: Foreign, tmp_path: Path) -> None:
    cluster.tokens["somebody"] = {"username": "somebody", "groups": []}
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "somebody"}
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    own = Foreign(str(tmp_path / "config"), "dropscore")
    with pytest.raises(StackFailed, match="may not impersonate users"):
        namespace.check(own, Api(own))
    namespace.check(foreign, Api(foreign))


def test_a_context_that_is_not_there_is_told_so(cluster: EmbeddedCluster) -> None:
    with pytest.raises(StackFailed, match=r"The context other of .* cannot be used: "):
        Api(Foreign(str(cluster.kubeconfig), "other"))


def test_a_group_that_is_not_served_is_not_there(tmp_path: Path) -> None:
    """A real API server says so in plain text."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)) as server:
        contexts = [{"name": "it", "context": {"cluster": "it", "user": "it"}}]
        clusters = [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}]
        config = {"clusters": clusters, "users": [{"name": "it", "user": {"token": "t"}}], "contexts": contexts}
        (tmp_path / "config").write_text(yaml.safe_dump(config | {"current-context": "it"}))
        assert Api(Foreign(str(tmp_path / "config"), "it")).get(GATEWAY_CLASS) is None


def test_a_gateway_needs_a_class_that_is_there(cluster: EmbeddedCluster, foreign: Foreign) -> None:
    client, api = cluster.client(), Api(foreign)
    assert namespace.gateway_class(foreign, api) == "eg"
    usual = client.call("GET", f"{GATEWAY_CLASS}/eg")
    other = {"metadata": {"name": "other"}, "spec": usual["spec"]}
    client.call("DELETE", f"{GATEWAY_CLASS}/eg")
    try:
        with pytest.raises(StackFailed, match="the cluster has none"):
            namespace.check(foreign, api)
        client.call("POST", GATEWAY_CLASS, other)
        assert namespace.gateway_class(foreign, api) == "other", "the only one"
        client.call("POST", GATEWAY_CLASS, other | {"metadata": {"name": "third"}})
        with pytest.raises(StackFailed, match="the cluster has other, third"):
            namespace.check(foreign, api)
    finally:
        client.call("POST", GATEWAY_CLASS, {"metadata": {"name": "eg"}, "spec": usual["spec"]})


def test_images_need_a_way_to_the_cluster(foreign: Foreign) -> None:
    with pytest.raises(StackFailed, match="name by REGISTRY=… a registry"):
        Publisher.find(foreign, Api(foreign), parts.MODELS_PYTHON)


def test_the_namespace_is_made_and_goes_with_all_that_is_in_it(
    cluster: EmbeddedCluster, foreign: Foreign, tmp_path: Path
) -> None:
    client, api = cluster.client(), Api(foreign)
    before = namespaces(client)
    made = namespace.create(foreign, api, tmp_path)
    assert namespaces(client) == before | {made}
    assert client.namespace(made).names("rolebindings") == {"launch", "watch", "tear-down"}
    assert client.namespace(made).names("gateways") == {"dropscore"}
    assert namespace.create(foreign, api, tmp_path) == made, "again, as after a change of cluster/"
    assert namespace.url(foreign, api, made) == cluster.gateway_url
    leave(tmp_path)
    assert namespaces(client) == before
    leave(tmp_path)


def test_without_a_gateway_none_is_asked_for(cluster: EmbeddedCluster, foreign: Foreign, tmp_path: Path) -> None:
    own = Foreign(foreign.kubeconfig, foreign.context, route="pod_ip")
    made = namespace.create(own, Api(own), tmp_path)
    assert cluster.client().namespace(made).names("gateways") == set()
    assert namespace.url(own, Api(own), made) == ""
    leave(tmp_path)


def test_what_cannot_be_removed_is_said_and_removed_later(
    cluster: EmbeddedCluster, foreign: Foreign, tmp_path: Path
) -> None:
    made = namespace.create(foreign, Api(foreign), tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    nowhere = tmp_path / "nowhere"
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{parts.free_port('127.0.0.1', 0)}"
    nowhere.write_text(yaml.safe_dump(document))
    (tmp_path / RECORD).write_text(json.dumps(record | {"kubeconfig": str(nowhere)}))
    with pytest.raises(StackFailed, match=f"kubectl --context dropscore delete namespace {made}"):
        leave(tmp_path)
    (tmp_path / RECORD).write_text(json.dumps(record))
    leave(tmp_path)
    assert made not in namespaces(cluster.client())


def test_an_archive_gets_the_name_that_a_pod_asks_for(tmp_path: Path) -> None:
    """Containerd takes it from there: `ctr images import`, which is what kind, k3d and minikube run on their nodes."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY app.py .\nENTRYPOINT ["python", "app.py"]\n')
    (folder / "app.py").write_text("print(1)")
    built = images.build(folder, parts.MODELS_PYTHON, tmp_path / "cache")
    (built.layout / "manifest.json").write_text("[]")
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        archive.add(built.layout, ".")
        for path in sorted(built.layout.rglob("*")):
            archive.add(path, str(path.relative_to(built.layout)), recursive=False)
    reference = rename(tmp_path / "saved.tar", tmp_path / "image.tar", "host.invalid/model")
    assert reference == f"host.invalid/model@{built.digest}"
    with tarfile.open(tmp_path / "image.tar") as archive:
        assert "manifest.json" not in archive.getnames()
        index = json.load(archive.extractfile("index.json") or pytest.fail("no index"))
        (manifest,) = index["manifests"]
        assert manifest["annotations"] == {"io.containerd.image.name": reference}
        blob = archive.extractfile(f"blobs/{manifest['digest'].replace(':', '/')}")
        assert blob and blob.read() == built.manifest


def test_ctrl_c_leaves_nothing_in_the_cluster(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """At the moment at which there is a namespace and no stack yet."""
    before, state = namespaces(cluster.client()), tmp_path / "stack"
    with pushed.serve() as registry:
        said = {"CONTEXT": "dropscore", "KUBECONFIG": str(cluster.kubeconfig), "URL": cluster.gateway_url}
        said |= {"REGISTRY": registry.name}
        process = subprocess.Popen(
            [sys.executable, "-m", "local.stack", "up", "--state-dir", state],
            cwd=parts.ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
            | {f"DROPSCORE_{name}": value for name, value in said.items()},
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 120
            while namespaces(cluster.client()) == before:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(240) == INTERRUPTED
        finally:
            process.kill()
    assert namespaces(cluster.client()) == before
    assert not (state / RECORD).exists()
