"""What Docker is told of a container of a pod's: all that decides whether a model would run in a cluster."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from local.cluster.engine import EngineFailed, arguments
from scoring.cluster import manifest
from scoring.cluster.manifest import Attempt
from tests.builders import CLUSTER, request, settings


def told(**pod: Any) -> list[str]:
    """What is said of the pod that the functions make of a profile."""
    resources = {"cpu": "500m", "memory": "1Gi"} | pod.pop("resources", {})
    asked = request(pod={"port": 8080} | pod, resources=resources)
    made = manifest.pod(Attempt("01J", "file", "arn", "s3://bucket/key", asked), settings().clusters[CLUSTER])
    return arguments(made, made["spec"]["containers"][0], {"A": "b c"})


def values(given: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(given) if name == option]


def test_a_pod_has_no_capability_no_new_privilege_and_its_memory() -> None:
    given = told()
    assert values(given, "--cap-drop") == ["ALL"]
    assert values(given, "--cap-add") == []
    assert values(given, "--security-opt") == ["no-new-privileges"]
    assert values(given, "--memory") == values(given, "--memory-swap") == [str(2**30)]
    assert values(given, "--cpu-shares") == ["512"]
    assert values(given, "--env") == ["A=b c"]
    assert "--cpus" not in given
    assert "--read-only" not in given
    assert "--user" not in given


def test_what_a_profile_says_reaches_the_container() -> None:
    given = told(run_as_user=1000, read_only_root=True, shm="64Mi", resources={"cpu_limit": "500m"})
    assert values(given, "--user") == ["1000"]
    assert "--read-only" in given
    assert values(given, "--mount") == ["type=volume,destination=/tmp"]
    assert values(given, "--shm-size") == [str(64 * 2**20)]
    assert values(given, "--cpus") == ["0.5"]


def test_an_image_that_starts_as_root_gets_the_capabilities_that_its_pod_adds() -> None:
    assert values(told(run_as_non_root=False), "--cap-add") == list(manifest.ROOT_CAPABILITIES)


def test_a_volume_that_a_process_of_docker_s_cannot_have_is_named() -> None:
    pod = {"metadata": {"name": "pod"}, "spec": {"volumes": [{"name": "settings", "configMap": {"name": "settings"}}]}}
    container = {"resources": {}, "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}]}
    with pytest.raises(EngineFailed, match="volume settings"):
        arguments(pod, container, {})
