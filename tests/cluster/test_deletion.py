"""Deletion: in good time, in order, with everything that belongs to it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import KubeObject, Namespace, Refused
from tests.cluster.conftest import Cluster, wait_for_service_account
from tests.cluster.embedded import EmbeddedCluster
from tests.cluster.manifests import SLEEP, phase, pod, service, state

# Ends a second after it was asked to, with a word in the log.
POLITE = """
import signal, sys, time
def end(*_):
    time.sleep(1)
    print("good bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"


def _started(namespace: Namespace, name: str) -> KubeObject:
    """The pod, as soon as it has printed ``ready``."""
    namespace.wait("pods", name, lambda obj: "running" in state(obj))
    assert namespace.first_line(name).startswith("ready")
    return namespace.get("pods", name)


def _history(namespace: Namespace, name: str, since: str) -> list[KubeObject]:
    """All that happens to a pod until it is gone."""
    events = []
    for event in namespace.watch("pods", fieldSelector=f"metadata.name={name}", resourceVersion=since):
        events.append(event)
        if event["type"] == "DELETED":
            return events
    raise AssertionError(f"{name} was not deleted: {events}")


def test_a_pod_gets_time_to_end(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, POLITE, terminationGracePeriodSeconds=20))
    version = _started(namespace, "a")["metadata"]["resourceVersion"]
    answered = namespace.delete("pods", "a")
    assert answered["metadata"]["deletionGracePeriodSeconds"] == 20
    assert answered["metadata"]["deletionTimestamp"]
    events = _history(namespace, "a", version)
    assert [event["type"] for event in events[:-1]] == ["MODIFIED"] * (len(events) - 1)
    assert all(event["object"]["metadata"]["deletionTimestamp"] for event in events)
    assert "running" in state(events[0]["object"])
    ended = state(events[-1]["object"])["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    killing = namespace.events("a", lambda found: any(event["reason"] == "Killing" for event in found))
    assert "Stopping container main" in {event["message"] for event in killing}


def test_who_does_not_end_is_killed(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, DEAF, terminationGracePeriodSeconds=1))
    version = _started(namespace, "a")["metadata"]["resourceVersion"]
    namespace.delete("pods", "a")
    ended = state(_history(namespace, "a", version)[-1]["object"])["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_the_delete_may_shorten_the_time(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, DEAF, terminationGracePeriodSeconds=600))
    _started(namespace, "a")
    assert namespace.delete("pods", "a")["metadata"]["deletionGracePeriodSeconds"] == 600
    again = namespace.delete("pods", "a", gracePeriodSeconds=1)
    assert again["metadata"]["deletionGracePeriodSeconds"] == 1
    namespace.wait_gone("pods", "a")


def test_without_grace_it_is_gone_at_once(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, DEAF, terminationGracePeriodSeconds=600))
    _started(namespace, "a")
    namespace.delete("pods", "a", gracePeriodSeconds=0)
    with pytest.raises(Refused, match="not found"):
        namespace.get("pods", "a")


def test_a_pod_that_does_not_run_is_gone_at_once(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("waits", image, nodeSelector={"no-such": "label"}))
    namespace.create("pods", pod("ended", image, "pass"))
    namespace.wait("pods", "ended", phase("Succeeded"))
    for name in ("waits", "ended"):
        namespace.delete("pods", name)
        with pytest.raises(Refused, match="not found"):
            namespace.get("pods", name)


def test_a_name_is_free_again_when_the_pod_is_gone(namespace: Namespace, image: str) -> None:
    namespace.create("pods", pod("a", image, POLITE))
    _started(namespace, "a")
    namespace.delete("pods", "a")
    with pytest.raises(Refused, match="already exists"):
        namespace.create("pods", pod("a", image))
    namespace.wait_gone("pods", "a")
    namespace.create("pods", pod("a", image, "pass"))
    namespace.wait("pods", "a", phase("Succeeded"))


@pytest.mark.parametrize("plural", ["pods", "services", "configmaps"])
def test_only_the_one_that_was_meant(namespace: Namespace, image: str, plural: str) -> None:
    spec = {
        "pods": pod("a", image, nodeSelector={"no-such": "label"}),
        "services": service("a", "b"),
        "configmaps": {"metadata": {"name": "a"}},
    }[plural]
    old = namespace.create(plural, spec)["metadata"]["uid"]
    namespace.delete(plural, "a")
    new = namespace.create(plural, spec)["metadata"]["uid"]
    with pytest.raises(Refused, match="UID in ") as refused:
        namespace.delete(plural, "a", preconditions={"uid": old})
    assert (refused.value.http_status, refused.value.reason) == (409, "Conflict")
    assert new in refused.value.message
    namespace.delete(plural, "a", preconditions={"uid": new})
    assert namespace.names(plural).isdisjoint({"a"})


def test_the_answer_to_a_delete(namespace: Namespace) -> None:
    namespace.create("configmaps", {"metadata": {"name": "a"}})
    answer = namespace.delete("configmaps", "a")
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"]["name"] == "a"
    with pytest.raises(Refused) as refused:
        namespace.delete("configmaps", "a")
    assert refused.value.http_status == 404


def _owned_by(owner: KubeObject, manifest: dict[str, Any]) -> dict[str, Any]:
    reference = {key: owner["metadata"][key] for key in ("name", "uid")} | {"apiVersion": "v1", "kind": "Pod"}
    manifest["metadata"]["ownerReferences"] = [reference]
    return manifest


def test_what_a_pod_owns_goes_with_it(namespace: Namespace, image: str) -> None:
    owner = namespace.create("pods", pod("a", image, SLEEP))
    other = namespace.create("pods", pod("b", image, SLEEP))
    namespace.create("services", _owned_by(owner, service("of-a", "a")))
    namespace.create("services", _owned_by(other, service("of-b", "b")))
    namespace.create("configmaps", _owned_by(owner, {"metadata": {"name": "of-a"}}))
    namespace.delete("pods", "a")
    namespace.wait_gone("services", "of-a")
    namespace.wait_gone("configmaps", "of-a")
    assert namespace.names("services") == {"of-b"}


def test_who_comes_after_the_owner_goes_too(namespace: Namespace, image: str) -> None:
    """A service that is made while its pod is being deleted must not stay for ever."""
    owner = namespace.create("pods", pod("a", image, nodeSelector={"no-such": "label"}))
    namespace.delete("pods", "a")
    namespace.create("services", _owned_by(owner, service("late", "a")))
    namespace.wait_gone("services", "late", timeout=60)


def test_another_of_the_same_name_is_no_owner(namespace: Namespace, image: str) -> None:
    manifest = pod("a", image, nodeSelector={"no-such": "label"})
    old = namespace.create("pods", manifest)
    namespace.delete("pods", "a")
    namespace.create("pods", manifest)
    namespace.create("services", _owned_by(old, service("of-old", "a")))
    namespace.wait_gone("services", "of-old", timeout=60)


def test_orphans_stay_if_that_is_wanted(namespace: Namespace, image: str) -> None:
    owner = namespace.create("pods", pod("a", image, nodeSelector={"no-such": "label"}))
    namespace.create("services", _owned_by(owner, service("of-a", "a")))
    namespace.delete("pods", "a", propagationPolicy="Orphan")
    namespace.wait_gone("pods", "a")
    kept = namespace.wait("services", "of-a", lambda obj: not obj["metadata"].get("ownerReferences"))
    assert kept["spec"]["selector"] == {"app": "a"}


def test_in_the_foreground_the_owner_goes_last(namespace: Namespace, image: str) -> None:
    owner = namespace.create("pods", pod("a", image, nodeSelector={"no-such": "label"}))
    reference = _owned_by(owner, service("of-a", "a"))
    reference["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = True
    namespace.create("services", reference)
    answered = namespace.delete("pods", "a", propagationPolicy="Foreground")
    assert answered["metadata"]["finalizers"] == ["foregroundDeletion"]
    namespace.wait_gone("pods", "a")
    assert namespace.names("services") == set()


def test_a_namespace_takes_everything_along(cluster: Cluster, namespace: Namespace, image: str) -> None:
    name = f"{namespace.name}-b"
    cluster.client.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    inner = cluster.client.namespace(name)
    wait_for_service_account(cluster, inner)
    inner.create("pods", pod("a", image, DEAF, terminationGracePeriodSeconds=3))
    inner.create("services", service("a", "a"))
    _started(inner, "a")
    cluster.client.call("DELETE", f"/api/v1/namespaces/{name}")
    assert cluster.client.call("GET", f"/api/v1/namespaces/{name}")["status"]["phase"] == "Terminating"
    with pytest.raises(Refused, match="because it is being terminated") as refused:
        inner.create("configmaps", {"metadata": {"name": "too-late"}})
    assert refused.value.http_status == 403
    assert refused.value.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    for event in cluster.client.watch("/api/v1/namespaces", fieldSelector=f"metadata.name={name}", timeout=60):
        if event["type"] == "DELETED":
            break
    assert inner.names("pods") == inner.names("services") == set()


# -- behind the API ----------------------------------------------------------------------------------------------------

# Prints the ids of itself, a child, and a grandchild that has left the process group.
FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
program = [sys.executable, "-c", "import time; time.sleep(600)"]
children = [subprocess.Popen(program), subprocess.Popen(program, start_new_session=True)]
print("ready", os.getpid(), *(child.pid for child in children), flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def _family(namespace: Namespace, name: str) -> list[int]:
    _started(namespace, name)
    pids = [int(pid) for pid in re.findall(r"\d+", namespace.log(name))]
    assert len(pids) == 3
    assert all(_alive(pid) for pid in pids)
    return pids


@pytest.mark.parametrize("options", [{}, {"gracePeriodSeconds": 0}], ids=["graceful", "forced"])
def test_no_process_is_left(
    namespace: Namespace, image: str, embedded_cluster: EmbeddedCluster, options: dict[str, int]
) -> None:
    uid = namespace.create("pods", pod("a", image, FAMILY, terminationGracePeriodSeconds=1))["metadata"]["uid"]
    pids = _family(namespace, "a")
    directory = embedded_cluster.state / "pods" / uid
    assert directory.is_dir()
    namespace.delete("pods", "a", **options)
    namespace.wait_gone("pods", "a")
    _eventually(lambda: not any(_alive(pid) for pid in pids))
    _eventually(lambda: not directory.exists())


def test_no_process_is_left_when_the_first_ends(
    namespace: Namespace, image: str, embedded_cluster: EmbeddedCluster
) -> None:
    namespace.create("pods", pod("a", image, FAMILY.replace("time.sleep(600)\n", "time.sleep(0.2)\n")))
    namespace.wait("pods", "a", phase("Succeeded"))
    pids = [int(pid) for pid in re.findall(r"\d+", namespace.log("a"))]
    assert len(pids) == 3
    assert not any(_alive(pid) for pid in pids)


def _eventually(holds: Any) -> None:
    """What no API tells: looked at until it is so, for five seconds."""
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
