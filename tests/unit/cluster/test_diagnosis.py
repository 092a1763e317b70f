"""What a pod's status means: recorded pods of a real cluster, and shapes that it did not produce."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scoring.cluster import diagnosis, starting
from scoring.cluster.containers import parse_time
from scoring.cluster.starting import Assessment
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
SOON = SCHEDULED + timedelta(seconds=10)

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
    "image-not-found.ImagePullBackOff": (ImagePullFailed, "is not in its registry: .* code = NotFound"),
    "image-not-found-no-registry.ImagePullBackOff": (ImagePullFailed, "is not in its registry: .* code = NotFound"),
    "cap-drop-all-setgid": (PodCrashed, r"^The model's container ended with exit code 1\.$"),
    "init-failed": (PodCrashed, r"^The init container vault-agent, before the model, ended with exit code 3\.$"),
    "root-image-run-as-non-root": (PodRefused, "container has runAsNonRoot and image will run as root"),
    "sidecar-model-crashed": (PodCrashed, r"^The model's container ended with exit code 17\.$"),
    "sidecar-model-image-missing": (ImagePullFailed, "no-such:1 is not in its registry: .* code = NotFound"),
    "sidecar-model-oom": (PodCrashed, "The model ran out of memory"),
}
WAITING = {
    "cpu-too-big.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient cpu.",
    "gpu-missing.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    "memory-too-big.Unschedulable": "a node: 0/1 nodes are available: 1 Insufficient memory.",
    "node-selector.Unschedulable": "a node: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.",
    "pvc-missing.Unschedulable": 'a node: 0/1 nodes are available: 1 persistentvolumeclaim "no-such-claim" not found.',
    "image-registry-down.ErrImagePull": "the image: rpc error: code = Unknown",
    "image-registry-down.ImagePullBackOff": "the image: rpc error: code = Unknown",
    "never-ready.Unhealthy": "the container: started, not ready yet",
    "secret-volume-missing.FailedMount": "the container: ContainerCreating",
}
READY = {"ok-ready.Ready", "sidecar-ended-0", "sidecar-ended-1"}


def test_every_recorded_pod_has_its_expectation() -> None:
    recorded = {file.name.removesuffix(".json") for file in (ROOT / "tests/unit/data/pods").iterdir()}
    assert recorded == PROBLEMS.keys() | WAITING.keys() | READY


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_recorded_failure_is_a_problem_at_once(case: str) -> None:
    error, sentence = PROBLEMS[case]
    recorded, events = recorded_pod(case)
    problem = diagnosis.assess(recorded, SOON, events).problem
    assert type(problem) is error
    assert re.search(sentence, problem.summary)


@pytest.mark.parametrize("case", WAITING)
def test_a_recorded_pod_that_may_still_come_is_waited_for(case: str) -> None:
    recorded, events = recorded_pod(case)
    found = diagnosis.assess(recorded, SOON, events)
    assert (found.ready, found.problem) == (False, None)
    assert found.waiting_for.startswith(WAITING[case])


@pytest.mark.parametrize("case", sorted(READY))
def test_a_recorded_model_that_serves_is_ready_whatever_became_of_its_sidecar(case: str) -> None:
    """A sidecar that has ended leaves the pod unready for ever; whether the model is reached is for the ping to say."""
    assert diagnosis.assess(recorded_pod(case)[0], SOON) == Assessment(ready=True)


PULLS = [case for case in WAITING if case.startswith("image-")]


@pytest.mark.parametrize("case", PULLS)
def test_a_failing_pull_is_given_a_minute_from_its_first_failure_on(case: str) -> None:
    """A registry's rate limit shows the same, and recovers."""
    recorded, events = recorded_pod(case)
    failed = first(events, "Failed")
    assert starting.needs_events(recorded)
    found = diagnosis.assess(recorded, failed + timedelta(seconds=10), events)
    assert found.again_seconds == starting.PULL_GRACE_SECONDS - 10
    problem = diagnosis.assess(recorded, failed + timedelta(seconds=61), events).problem
    assert isinstance(problem, ImagePullFailed)
    assert re.search("could not be pulled: rpc error: code = Unknown", problem.summary)
    # The event comes a moment after the status.
    assert diagnosis.assess(recorded, failed + timedelta(seconds=61)).problem is None


@pytest.mark.parametrize("case", PULLS)
def test_a_pull_that_took_long_to_fail_is_given_as_long_again_and_more(case: str) -> None:
    """Any large image: a minute after the pod got its node it has not failed yet."""
    recorded, events = recorded_pod(case)
    failed = first(events, "Failed")
    next(event for event in events if event["reason"] == "Pulling")["firstTimestamp"] = text(
        failed - timedelta(seconds=240)
    )
    assert diagnosis.assess(recorded, failed + timedelta(seconds=539), events).again_seconds == 1
    assert diagnosis.assess(recorded, failed + timedelta(seconds=541), events).problem


def failure(message: str, seconds: float, **more: Any) -> dict[str, Any]:
    """An event of the model's container, so many seconds after its pod got a node."""
    path = {"involvedObject": {"fieldPath": "spec.containers{model}"}}
    return (
        {"reason": "Failed", "message": message, "firstTimestamp": text(SCHEDULED + timedelta(seconds=seconds))}
        | path
        | more
    )


def test_a_pull_that_fails_again_has_failed_since_the_first_time_and_is_told_by_the_last() -> None:
    """An event that a newer API wrote has an eventTime alone; one that never began to pull is given no longer."""
    found = waiting("ImagePullBackOff", "Back-off pulling image")
    events = [
        failure('Failed to pull image "m:1": the registry is away', 0, firstTimestamp=None, eventTime=text(SCHEDULED)),
        failure("Error: ErrImagePull", 1),
        failure('Failed to pull image "m:1": too many requests', 30),
        failure("Error: ImagePullBackOff", 31, firstTimestamp=None),
    ]
    assessed = diagnosis.assess(found, SOON, events)
    assert assessed.waiting_for == "the image: too many requests"
    assert assessed.again_seconds == starting.PULL_GRACE_SECONDS - 10
    problem = diagnosis.assess(found, SCHEDULED + timedelta(seconds=60), events).problem
    assert problem is not None
    assert problem.summary.endswith("could not be pulled: too many requests")
    silent = [event for event in events if "pull image" not in event["message"]]
    problem = diagnosis.assess(waiting("ErrImagePull"), SCHEDULED + timedelta(seconds=61), silent).problem
    assert problem is not None
    assert problem.summary.endswith("could not be pulled: ErrImagePull")


def test_a_pull_that_fails_without_a_word_is_told_by_its_reason() -> None:
    assert diagnosis.assess(waiting("RegistryUnavailable"), SOON).waiting_for == "the image: RegistryUnavailable"
    problem = diagnosis.assess(waiting("InvalidImageName"), SOON).problem
    assert isinstance(problem, ImagePullFailed)
    assert problem.summary == "The image model:1 cannot be pulled: InvalidImageName"


def test_a_pull_of_one_container_of_several_needs_the_events() -> None:
    found = waiting("ErrImagePull", "pull QPS exceeded")
    found["spec"]["initContainers"] = [{"name": "vault-agent", "image": "vault:1"}]
    found["status"]["initContainerStatuses"] = [{"name": "vault-agent", "state": {"terminated": {"exitCode": 0}}}]
    assert starting.needs_events(found)


def test_only_a_container_that_could_not_be_made_is_given_up_for_a_node_that_is_slow() -> None:
    """Volumes may take longer than a kubelet waits for them at a time."""
    found = waiting("ContainerCreating", "timed out waiting for the condition")
    assert not starting.needs_events(found)
    assert diagnosis.assess(found, SOON + timedelta(days=1)) == Assessment(
        waiting_for="the container: ContainerCreating"
    )


def first(events: list[dict[str, Any]], reason: str) -> datetime:
    return min(parse_time(event["firstTimestamp"]) for event in events if event["reason"] == reason)


def text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("case", [case for case in WAITING if not case.startswith("image-")])
def test_other_waiting_has_no_end_but_the_start_deadline(case: str) -> None:
    recorded, events = recorded_pod(case)
    assert not starting.needs_events(recorded)
    assert diagnosis.assess(recorded, SOON + timedelta(days=1), events).problem is None


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


@pytest.mark.parametrize(
    ("case", "sentence"),
    [("never-ready.Unhealthy", "Readiness probe failed"), ("secret-volume-missing.FailedMount", "MountVolume.SetUp")],
)
def test_what_keeps_a_pod_from_being_ready_is_told_whatever_happened_since(case: str, sentence: str) -> None:
    found, events = recorded_pod(case)
    since = [failure("Created container model", 600, reason=reason) for reason in ("Created", "Started")]
    assert sentence in diagnosis.overdue(found, [*events, *since], 900).summary


def test_a_pod_that_never_came_and_has_no_events_is_told_by_its_state() -> None:
    assert "it is ContainerCreating" in diagnosis.overdue(pending(), [], 30).summary
    unready = pod({"containerStatuses": [{"name": "model", "state": {"running": {}}}]})
    assert "it is running, but not ready" in diagnosis.overdue(unready, [], 30).summary


def ended(**terminated: Any) -> dict[str, Any]:
    return {"phase": "Failed", "containerStatuses": [{"name": "model", "state": {"terminated": terminated}}]}


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
        # What a node leaves that was started anew.
        (pod(ended(exitCode=137, reason="ContainerStatusUnknown", message="could not be located")), "started anew"),
        (pod(ended(exitCode=255, reason="Unknown", message=None)), "node was started anew\\.$"),
        (pod(ended(exitCode=255, reason="Unknown")), "gone without a trace .Unknown.: its node was started anew"),
        (
            pod(ended(exitCode=128, reason="StartError", message="context deadline exceeded")),
            "not be started by its node",
        ),
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
        ({"exitCode": 128, "reason": "StartError"}, "cannot be started: StartError"),
        ({"exitCode": 0, "reason": "Completed"}, "exit code 0"),
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
    for message in ("no runtime", ""):
        problem = diagnosis.assess(waiting(reason, message), SOON).problem
        assert isinstance(problem, PodCrashed)
        assert problem.summary.endswith(f"cannot be started: {message or reason}")


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod({"phase": "Pending", "containerStatuses": [{"name": "model", "ready": False, "state": state}]})


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerError", "context deadline exceeded"),
        ("CreateContainerError", 'failed to reserve container name "model_x": name "model_x" is reserved for "8b1f"'),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),
    ],
)
def test_a_node_that_is_slow_is_waited_for_and_then_left(reason: str, message: str) -> None:
    """It passes by itself; what does not is the node's fault, and another pod may find another node."""
    found, failed = waiting(reason, message), SCHEDULED
    events = [
        {"reason": "Failed", "message": f"Error: {message}", "firstTimestamp": text(failed)}
        | {"involvedObject": {"fieldPath": "spec.containers{model}"}}
    ]
    assert starting.needs_events(found)
    assert diagnosis.assess(found, SOON, events).again_seconds == starting.CREATE_GRACE_SECONDS - 10
    problem = diagnosis.assess(found, failed + timedelta(seconds=301), events).problem
    assert isinstance(problem, PodLost)
    assert message in problem.summary


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (
            waiting(
                "ErrImagePull", 'failed to pull and unpack image "m:1": no match for platform in manifest: not found'
            ),
            ImagePullFailed,
        ),
        (pod(ended(exitCode=128, reason="StartError", message="exec /app: exec format error: unknown")), PodCrashed),
    ],
)
def test_an_image_for_other_processors_is_called_that(found: dict[str, Any], error: type[DropscoreError]) -> None:
    problem = diagnosis.assess(found, SOON).problem
    assert type(problem) is error
    assert "architecture" in problem.summary
    assert "--platform" in problem.remedy
    assert "node_selector" in problem.remedy


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "container has runAsNonRoot and image will run as root",
            ["`USER 1000`", "`run_as_user`", "`run_as_non_root`"],
        ),
        (
            "container has runAsNonRoot and image has non-numeric user (mlflow), cannot verify user is non-root",
            ["`USER 1000`", "`run_as_user`"],
        ),
    ],
)
def test_an_image_whose_user_is_refused_is_told_which_user_to_name(message: str, words: list[str]) -> None:
    problem = diagnosis.assess(waiting("CreateContainerConfigError", message), SOON).problem
    assert isinstance(problem, PodRefused)
    assert [word for word in words if word not in problem.remedy] == []


def test_an_image_that_does_something_else_than_serve_is_told_of_its_arguments() -> None:
    problem = diagnosis.assess(pod(ended(exitCode=0, reason="Completed")), SOON).problem
    assert problem is not None
    assert "`args`" in problem.remedy
    assert "`serve`" in problem.remedy


def test_what_another_container_did_is_not_called_the_models() -> None:
    problem = diagnosis.assess(recorded_pod("init-failed")[0], SOON).problem
    assert problem is not None
    assert problem.details["container"] == "vault-agent"
    assert "none of the model's" in problem.remedy
    assert diagnosis.culprit(recorded_pod("init-failed")[0]) == "vault-agent"
    assert diagnosis.culprit(recorded_pod("sidecar-model-crashed")[0]) == "model"


def test_an_init_container_that_has_done_its_work_is_no_failure() -> None:
    found, _ = recorded_pod("init-failed")
    (status,) = found["status"]["initContainerStatuses"]
    status["state"] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    found["status"]["phase"] = "Pending"
    assert diagnosis.assess(found, SOON).problem is None
    assert diagnosis.culprit(found) == "model"


def test_an_init_container_that_ran_out_of_memory_is_not_told_as_the_models() -> None:
    """More memory for the model is no remedy for it."""
    found, _ = recorded_pod("init-failed")
    (status,) = found["status"]["initContainerStatuses"]
    status["state"] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    problem = diagnosis.assess(found, SOON).problem
    assert problem is not None
    assert (
        problem.summary
        == "The init container vault-agent, before the model, ended with exit code 137, SIGKILL, OOMKilled."
    )
    assert "none of the model's" in problem.remedy
    assert "tag memory" not in problem.remedy


def test_a_sidecar_that_has_ended_is_named_for_as_long_as_it_explains_something() -> None:
    ended_badly, _ = recorded_pod("sidecar-ended-1")
    (finished,) = [
        parse_time(one["state"]["terminated"]["finishedAt"])
        for one in ended_badly["status"]["containerStatuses"]
        if one["name"] == "istio-proxy"
    ]
    sentence = "The container beside the model has ended: istio-proxy (exit code 1)."
    assert diagnosis.ended_beside(ended_badly) == diagnosis.ended_beside(ended_badly, finished) == sentence
    assert diagnosis.ended_beside(ended_badly, finished + timedelta(seconds=1)) == ""
    assert diagnosis.ended_beside(recorded_pod("sidecar-model-crashed")[0]) == ""


def with_native_sidecar(state: dict[str, Any], model: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = pod({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]})
    found["spec"]["initContainers"] = [{"name": "istio-proxy", "image": "proxy:1", "restartPolicy": "Always"}]
    found["status"] |= {
        "initContainerStatuses": [{"name": "istio-proxy", "state": state, **more}],
        "containerStatuses": [{"name": "model", "ready": "running" in model, "state": model}],
    }
    return found


def test_a_sidecar_that_starts_anew_for_ever_is_waited_for_and_named() -> None:
    """Native sidecars are init containers that go on: the model waits for them to have started, not to end."""
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    back_off = {"waiting": {"reason": "CrashLoopBackOff"}}
    found = with_native_sidecar(back_off, {"waiting": {"reason": "PodInitializing"}}, lastState=ended)
    assessed = diagnosis.assess(found, SOON)
    assert assessed.waiting_for == "the init container istio-proxy: CrashLoopBackOff, which ended with exit code 1"
    late = diagnosis.overdue(found, [], 900)
    assert isinstance(late, PodNotReady)
    assert "istio-proxy: CrashLoopBackOff" in late.summary
    assert "none of the model's" in late.remedy


def test_a_native_sidecar_that_ends_under_a_model_that_runs_is_none_of_its_business() -> None:
    """It is started anew."""
    found = with_native_sidecar({"terminated": {"exitCode": 1, "reason": "Error"}}, {"running": {}})
    assert diagnosis.assess(found, SOON) == Assessment(ready=True)
    assert diagnosis.ended_beside(found) == ""
    assert diagnosis.culprit(found) == "model"


@pytest.mark.parametrize(
    ("state", "model", "waiting_for"),
    [
        # It has begun to run; the model is next.
        ({"running": {}}, {"waiting": {"reason": "ContainerCreating"}}, "the container: ContainerCreating"),
        ({"running": {}}, {"waiting": {"reason": "PodInitializing"}}, "the init container istio-proxy: running"),
        ({"waiting": {}}, {"waiting": {}}, "the init container istio-proxy: waiting"),
    ],
)
def test_what_a_model_waits_for_is_told_from_what_it_has_behind_it(
    state: dict[str, Any], model: dict[str, Any], waiting_for: str
) -> None:
    found = with_native_sidecar(state, model)
    assert diagnosis.assess(found, SOON).waiting_for == waiting_for
    assert diagnosis.culprit(found) == "model"
    del found["status"]["initContainerStatuses"]
    assert "istio-proxy" not in diagnosis.assess(found, SOON).waiting_for, "nobody has looked at it yet"


HELD = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
GATES = [{"name": "kueue.x-k8s.io/admission"}]


@pytest.mark.parametrize(
    ("conditions", "gates", "waiting_for"),
    [
        ([HELD], GATES, "kueue.x-k8s.io/admission"),
        ([], GATES, "kueue.x-k8s.io/admission"),
        ([HELD | {"message": "Scheduling is blocked"}], [], "Scheduling is blocked"),
    ],
)
def test_a_pod_that_a_queue_holds_back_is_told_from_one_without_a_node(
    conditions: list[dict[str, str]], gates: list[dict[str, str]], waiting_for: str
) -> None:
    """By its gates, which nobody may have looked at yet, or by what the scheduler says of them."""
    gated = pod({"phase": "Pending", "conditions": conditions})
    gated["spec"]["schedulingGates"] = gates
    found = diagnosis.assess(gated, SOON)
    assert found.gated
    assert found.waiting_for == f"admission: {waiting_for}"
    assert not diagnosis.assess(recorded_pod("cpu-too-big.Unschedulable")[0], SOON).gated


@pytest.mark.parametrize("status", [{}, {"phase": "Pending"}, {"conditions": None, "containerStatuses": None}])
def test_a_pod_that_nobody_has_looked_at_yet_is_waited_for(status: dict[str, Any]) -> None:
    found = diagnosis.assess(pod(status), SOON)
    assert (found.ready, found.problem) == (False, None)
    assert found.waiting_for


def test_times_are_read_as_kubernetes_and_step_functions_write_them() -> None:
    assert parse_time("2026-11-22T07:55:09Z") == SCHEDULED
    assert parse_time("2026-11-22T07:55:09.000Z") == SCHEDULED


@pytest.mark.parametrize(
    ("status", "has_closed"),
    [
        ({"ready": False, "state": {"running": {}}}, True),
        ({"ready": True, "state": {"running": {}}}, False),
        ({"state": {"running": {}}}, False),
        ({"ready": False, "state": {"terminated": {"exitCode": 1}}}, False),
    ],
)
def test_a_port_is_closed_if_the_kubelet_says_so_of_a_container_that_runs(
    status: dict[str, Any], has_closed: bool
) -> None:
    assert diagnosis.has_closed_its_port(pod({"containerStatuses": [{"name": "model", **status}]})) == has_closed
