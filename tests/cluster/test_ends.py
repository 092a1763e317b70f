"""A cluster of which a part has failed is no cluster: it ends, and says why."""

from __future__ import annotations

from pathlib import Path

from kubernetes import config as kubeconfig
from kubernetes.client import CoreV1Api

from tests.cluster import embedded


def test_a_kubelet_that_cannot_run_a_pod_ends_the_cluster(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as cluster:
        # Where the kubelet wants a folder for each pod.
        (tmp_path / "pods").write_text("")
        api = CoreV1Api(kubeconfig.new_client_from_config(config_file=str(cluster.kubeconfig)))
        container = {"name": "model", "image": embedded.IMAGE, "command": ["sleep", "60"]}
        api.create_namespaced_pod("default", {"metadata": {"name": "pod"}, "spec": {"containers": [container]}})
        assert cluster.process.wait(timeout=20) != 0
    log = (tmp_path / "cluster.log").read_text()
    assert "worker of pod pod failed" in log
    assert "Traceback" in log
