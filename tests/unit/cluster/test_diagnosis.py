"""What a pod's status means: recorded pods of a real cluster, and shapes that it did not produce."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scoring.cluster import diagnosis
from scoring.errors import (
    DropscoreError,
    ImagePullFailed,
    ModelTimeout,
    PodCrashed,
    PodLost,
    PodNotReady,
    PodRefused,
    PodUnschedulable,
)
from tests.builders import ROOT, pending, pod, recorded_pod, running

SCHEDULED = datetime(2026, 11, 22, 7, 55, 9, tzinfo=UTC)
SOON, LATE = SCHEDULED + timedelta(seconds=10), SCHEDULED + timedelta(seconds=61)

PROBLEMS = {
    "command-not-found.first": (PodCrashed, 'cannot be started: failed to create containerd task: .*"/no/such/binary"'),
    "command-not-found.CrashLoopBackOff": (PodCrashed, "cannot be started: .*stat /no/such/binary: no such file"),
    "config-missing.CreateContainerConfigError": (PodRefused, 'cannot be configured: configmap "no-such-config" not'),
    "crash-exit1.Error": (PodCrashed, r"ended with exit code 1\.$"),
    "crash-exit1.CrashLoopBackOff": (PodCrashed, r"ended with exit code 1\.$"),
    "exit0-always.CrashLoopBackOff": (PodCrashed, r"ended by itself \(exit code 0\) instead of serving"),
    "image-invalid-name.InvalidImageName": (ImagePullFailed, "cannot be pulled: Failed to apply default image tag"),
    "image-never-pull.ErrImageNeverPull": (ImagePullFailed, "is not present with pull policy of Never"),
    "image-not-found.ErrImagePull": (ImagePullFailed, "is not in its registry: rpc error: code = NotFound"),
    "image-not-found-no-registry.ErrImagePull": (ImagePullFailed, "is not in its registry: rpc error: code = NotFound"),
    "liveness-fails.CrashLoopBackOff": (PodCrashed, r"ended with exit code 137, SIGKILL\.$"),
    "liveness-fails.Killing": (PodCrashed, r"ended with exit code 137, SIGKILL\.$"),
    "oom-killed.OOMKilled": (PodCrashed, r"ran out of memory \(.*\) and was killed"),
}
WAITING = {
    "cpu-too-big.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient cpu.",
    "gpu-missing.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    "memory-too-big.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient memory.",
    "node-selector.Unschedulable": "a node: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.",
    "pvc-missing.Unschedulable": 'a node: 0/1 nodes are available: 1 persistentvolumeclaim "no-such-claim" not found.',
    "image-not-found.ImagePullBackOff": 'the image: Back-off pulling image "127.0.0.1:5001/team/no-such-model:9"',
    "image-not-found-no-registry.ImagePullBackOff": 'the image: Back-off pulling image "no-such-model:9"',
    "image-registry-down.ErrImagePull": "the image: rpc error: code = Unknown",
    "image-registry-down.ImagePullBackOff": "the image: Back-off pulling image",
    "never-ready.Unhealthy": "the container: started, not ready yet",
    "secret-volume-missing.FailedMount": "the container: ContainerCreating",
}
READY = {"ok-ready.Ready"}


def test_every_recorded_pod_has_its_expectation() -> None:
    recorded = {file.name.removesuffix(".json") for file in (ROOT / "tests/unit/data/pods").iterdir()}
    assert recorded == PROBLEMS.keys() | WAITING.keys() | READY


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_recorded_failure_is_a_problem_at_once(case: str) -> None:
    error, sentence = PROBLEMS[case]
    problem = diagnosis.assess(recorded_pod(case)[0], SOON).problem
    assert type(problem) is error
    assert re.search(sentence, problem.summary)


@pytest.mark.parametrize("case", WAITING)
def test_a_recorded_pod_that_may_still_come_is_waited_for(case: str) -> None:
    found = diagnosis.assess(recorded_pod(case)[0], SOON)
    assert (found.ready, found.problem) == (False, None)
    assert found.waiting_for.startswith(WAITING[case])


def test_the_recorded_pod_that_serves_is_ready() -> None:
    found = diagnosis.assess(recorded_pod("ok-ready.Ready")[0], SOON)
    assert found == diagnosis.Assessment(ready=True)


@pytest.mark.parametrize("case", [case for case in WAITING if case.startswith("image-")])
def test_a_failing_pull_is_given_a_minute_and_no_more(case: str) -> None:
    """A registry's rate limit shows the same, and recovers."""
    recorded = recorded_pod(case)[0]
    assert diagnosis.assess(recorded, SOON).again_seconds == diagnosis.PULL_GRACE_SECONDS - 10
    problem = diagnosis.assess(recorded, LATE).problem
    assert isinstance(problem, ImagePullFailed)
    assert "could not be pulled" in problem.summary


@pytest.mark.parametrize("case", [case for case in WAITING if not case.startswith("image-")])
def test_other_waiting_has_no_end_but_the_start_deadline(case: str) -> None:
    assert diagnosis.assess(recorded_pod(case)[0], LATE).problem is None


@pytest.mark.parametrize(
    ("case", "error", "sentence"),
    [
        ("cpu-too-big.Unschedulable", PodUnschedulable, "No node had room for the pod after 900 s: 0/1 nodes"),
        ("gpu-missing.Unschedulable", PodUnschedulable, "Insufficient nvidia.com/gpu"),
        ("memory-too-big.Unschedulable", PodUnschedulable, "Insufficient memory"),
        ("node-selector.Unschedulable", PodUnschedulable, "didn't match Pod's node affinity"),
        ("pvc-missing.Unschedulable", PodUnschedulable, 'persistentvolumeclaim "no-such-claim" not found'),
        ("image-registry-down.ImagePullBackOff", ImagePullFailed, "was not pulled after 900 s"),
        ("never-ready.Unhealthy", PodNotReady, "not ready after 900 s: Readiness probe failed"),
        ("secret-volume-missing.FailedMount", PodNotReady, 'secret "no-such-secret" not found'),
    ],
)
def test_a_recorded_pod_that_never_came_is_told_with_its_reason(
    case: str, error: type[DropscoreError], sentence: str
) -> None:
    late = diagnosis.overdue(*recorded_pod(case), 900)
    assert type(late) is error
    assert sentence in late.summary


def test_a_pod_that_never_came_and_has_no_events_is_told_by_its_state() -> None:
    assert "it is ContainerCreating" in diagnosis.overdue(pending(), [], 30).summary
    unready = pod({"containerStatuses": [{"state": {"running": {}}}]})
    assert "it is running, but not ready" in diagnosis.overdue(unready, [], 30).summary


def ended(**terminated: Any) -> dict[str, Any]:
    return {"phase": "Failed", "containerStatuses": [{"state": {"terminated": terminated}}]}


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (running() | {"status": {"phase": "Running", "conditions": [DISRUPTED]}}, "EvictionByEvictionAPI.*drained"),
        # The reason of an end that the cluster brought about is the cluster, not the exit code that follows from it.
        (pod(ended(exitCode=137, reason="Error") | {"conditions": [DISRUPTED]}), "The cluster took the pod away"),
        (pod({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), "lost .Evicted.: low on memory"),
        (pod({"phase": "Failed", "reason": "NodeShutdown"}), "lost .NodeShutdown."),
        (pod({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "gpu"}), "lost .*gpu"),
        (pod({"phase": "Failed"}), "The pod failed:"),
        (pod({"phase": "Unknown"}), "lost contact with the node"),
        (running(deletionTimestamp="2026-11-22T10:00:00Z"), "deleted by somebody else"),
    ],
)
def test_a_pod_that_the_cluster_took_away_is_lost_not_crashed(found: dict[str, Any], sentence: str) -> None:
    problem = diagnosis.assess(found, SOON).problem
    assert isinstance(problem, PodLost)
    assert re.search(sentence, problem.summary)


def test_a_pod_that_outlived_its_own_deadline_is_the_models_time_out() -> None:
    problem = diagnosis.assess(
        pod({"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was"}), SOON
    ).problem
    assert isinstance(problem, ModelTimeout)


@pytest.mark.parametrize(
    ("terminated", "sentence"),
    [
        ({"exitCode": 3, "reason": "Error"}, r"exit code 3\."),
        ({"exitCode": 139, "reason": "Error"}, "exit code 139, SIGSEGV"),
        ({"exitCode": 190, "reason": "Error"}, "exit code 190, SIGRT|signal 62"),
        ({"exitCode": 128, "reason": "ContainerCannotRun", "message": "no exec"}, "cannot be started: no exec"),
        ({"exitCode": 0, "reason": "Completed"}, "exit code 0"),
        ({"reason": "ContainerStatusUnknown"}, "exit code None"),
    ],
)
def test_an_end_of_the_model_is_told_by_its_exit_code(terminated: dict[str, Any], sentence: str) -> None:
    problem = diagnosis.assess(pod(ended(**terminated)), SOON).problem
    assert isinstance(problem, PodCrashed)
    assert re.search(sentence, problem.summary)
    assert problem.details.get("exit_code") == terminated.get("exitCode")


def test_a_model_killed_for_its_memory_is_told_its_limit_and_the_tag() -> None:
    problem = diagnosis.assess(pod(ended(exitCode=137, reason="OOMKilled")), SOON).problem
    assert problem is not None
    assert problem.summary == "The model ran out of memory (1Gi) and was killed."
    assert "tag memory" in problem.remedy
    assert problem.details == {"exit_code": 137, "reason": "OOMKilled"}


@pytest.mark.parametrize("reason", ["CreateContainerError", "RunContainerError"])
def test_a_container_that_cannot_be_made_is_a_crash(reason: str) -> None:
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "no runtime"}}}]}
    problem = diagnosis.assess(pod(waiting), SOON).problem
    assert isinstance(problem, PodCrashed)
    assert problem.summary.endswith("cannot be started: no runtime")


@pytest.mark.parametrize("status", [{}, {"phase": "Pending"}, {"conditions": None, "containerStatuses": None}])
def test_a_pod_that_nobody_has_looked_at_yet_is_waited_for(status: dict[str, Any]) -> None:
    found = diagnosis.assess(pod(status), SOON)
    assert (found.ready, found.problem) == (False, None)
    assert found.waiting_for


def test_times_are_read_as_kubernetes_and_step_functions_write_them() -> None:
    assert diagnosis.parse_time("2026-11-22T07:55:09Z") == SCHEDULED
    assert diagnosis.parse_time("2026-11-22T07:55:09.000Z") == SCHEDULED
