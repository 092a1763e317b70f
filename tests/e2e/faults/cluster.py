"""A cluster that is away, frozen or refuses the functions or a pod (on the rough stack)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from tests.builders import REGISTRY
from tests.e2e.faults import disturb
from tests.e2e.faults.case import Case, Stage
from tests.e2e.faults.model import says
from tests.e2e.pipeline import Pipeline, wait_for

AWAY_SECONDS, SHORTLY = 20, 6


def ask_for_more_than_all(stage: Stage) -> Iterable[str]:
    with disturb.quota(stage.pipeline, requests_cpu="10m"):
        execution = stage.drop()
        stage.pipeline.ended(execution)
    yield execution


def refused(stage: Stage, execution: str, step: str, error: str, times: int = 1) -> None:
    """Wait until a step of the attempt has failed so many times with an error."""
    stage.pipeline.state(execution, step)
    wait_for(f"{error} in {step}", lambda: failures(stage, execution, error) >= times, 60)


def failures(stage: Stage, execution: str, error: str) -> int:
    """How many times a step of the newest attempt has failed with an error."""
    events = stage.pipeline.history(stage.pipeline.attempt(execution))
    return sum(1 for event in events if event.get("taskFailedEventDetails", {}).get("error") == error)


def beside_a_page_for_everything(stage: Stage) -> Iterable[str]:
    with disturb.page_for_everything(stage.pipeline, f"{REGISTRY}/{stage.image()}:latest"):
        execution = stage.drop()
        stage.pipeline.ended(execution)
    yield execution


Disturbance = Callable[[Pipeline], AbstractContextManager[None]]


def during(step: str, disturbance: Disturbance, seconds: float = SHORTLY) -> Callable[[Stage], Iterable[str]]:
    """Disturb the cluster for some seconds from when a file is in a step, or its pod starts."""

    def inject(stage: Stage) -> Iterable[str]:
        if step == "launch_pod":
            stage.image()  # pushed before, since the cluster may not be waited for
            with disturbance(stage.pipeline):
                execution = stage.drop()
                disturb.hold(seconds)
        else:
            execution = stage.drop()
            stage.reach(execution, step)
            with disturbance(stage.pipeline):
                disturb.hold(seconds)
        yield execution

    return inject


def away_at_the_end(stage: Stage) -> Iterable[str]:
    """The API server goes while the model works, and stays away until there is an outcome."""
    suffix = ".error" if stage.case.error else ".scoreout"
    execution = stage.drop()
    stage.scoring(execution)
    with disturb.api_server_away(stage.pipeline):
        key = f"scored/{stage.case.name}/file.csv{suffix}"
        wait_for(key, lambda: stage.pipeline.read(key) is not None, 60)
        refused(stage, execution, tear_down(stage), "ClusterUnreachable")
    yield execution


def tear_down(stage: Stage) -> str:
    """The step that tears down at the end of the case."""
    return "tear_down_after_error" if stage.case.error else "tear_down"


def refuse_the_tear_down(stage: Stage) -> Iterable[str]:
    """The role binding is gone until the execution has ended; the sweeper comes later."""
    execution = stage.drop()
    stage.scoring(execution)
    with disturb.without_binding(stage.pipeline, "tear-down"):
        assert stage.pipeline.ended(execution)["status"] == "SUCCEEDED"
        assert stage.pipeline.objects(stage.pipeline.attempt(execution).rsplit(":", 1)[-1])
    stage.pipeline.invoke("SweepOrphans", {})
    yield execution


def refuse_the_evidence(stage: Stage) -> Iterable[str]:
    """The function that writes the `.error` may look at nothing in the cluster."""
    execution = stage.drop()
    stage.scoring(execution)
    with disturb.without_binding(stage.pipeline, "watch"):
        stage.pipeline.ended(execution)
    yield execution


def refuse_the_launch(stage: Stage) -> Iterable[str]:
    with disturb.without_binding(stage.pipeline, "launch"):
        execution = stage.drop()
        stage.pipeline.ended(execution)
    yield execution


def use_old_tokens(stage: Stage) -> Iterable[str]:
    """Tokens live for 5 s on this stack: what the functions kept from the first file has expired for the second."""
    first = stage.drop("first.csv")
    yield first
    stage.pipeline.ended(first)
    disturb.hold(6)
    yield stage.drop("second.csv")


CASES = (
    Case(
        "quota-smaller-than-the-pod",
        "the pod asks for more cpu than the namespace's whole quota: no waiting helps",
        "PodRefused",
        "more than the whole namespace may use",
        "Correct the request",
        inject=ask_for_more_than_all,
        rough=True,
    ),
    Case(
        "api-server-away-at-launch",
        "the API server is down when the pod is to be launched",
        but="scored when it is back",
        inject=during("launch_pod", disturb.api_server_away),
        rough=True,
    ),
    Case(
        "api-server-away-while-starting",
        f"the API server is down for {AWAY_SECONDS} s while the pod starts",
        but="scored when it is back",
        model="slow-to-start",
        inject=during("the start", disturb.api_server_away, AWAY_SECONDS),
        rough=True,
    ),
    Case(
        "api-server-away-after-scoring",
        "the API server is down when the file has been scored",
        but="scored at once; the pod goes when it is back",
        model="slow",
        inject=away_at_the_end,
        rough=True,
    ),
    Case(
        "api-server-away-at-the-error",
        "the API server is down when the `.error` is written",
        "RowCountMismatch",
        "0 predictions to 1 records. Its answer is empty, for row 1 alone, and for row 3 as well",
        "each record with one prediction",
        model="forgets-a-row-late",
        inject=away_at_the_end,
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"], "does not answer"),
        rough=True,
    ),
    Case(
        "evidence-forbidden",
        "pod, events and log cannot be read when the `.error` is written (RBAC)",
        "RowCountMismatch",
        "0 predictions to 1 records. Its answer is empty, for row 1 alone, and for row 3 as well",
        "each record with one prediction",
        model="forgets-a-row-late",
        inject=refuse_the_evidence,
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"]["missing"], "cannot get resource"),
        rough=True,
    ),
    Case(
        "gateway-answers-any-path",
        "the gateway answers 200 where no route leads: what a model's ping is answered says nothing",
        "RouteNotReady",
        "The gateway answers any path as a model would",
        "answer 404 where no route leads",
        inject=beside_a_page_for_everything,
        rough=True,
    ),
    Case(
        "cluster-frozen-at-launch",
        f"the cluster takes connections and answers nothing for {AWAY_SECONDS} s, when the pod is to be launched",
        but="scored when it answers again",
        inject=during("launch_pod", disturb.frozen, AWAY_SECONDS),
        rough=True,
    ),
    Case(
        "cluster-frozen-while-scoring",
        "the same, gateway included, while the model has a batch",
        but="scored when it answers again",
        model="slow",
        inject=during("stream_file", disturb.frozen),
        rough=True,
    ),
    Case(
        "tokens-expired",
        "the tokens that the functions have kept are refused by the cluster",
        but="scored: a refused token is made anew, once",
        inject=use_old_tokens,
        rough=True,
    ),
    Case(
        "launch-forbidden",
        "the cluster does not let the function launch pods (RBAC)",
        "ClusterAccessDenied",
        "cannot create resource",
        "apply cluster/ and the access entry",
        inject=refuse_the_launch,
        rough=True,
    ),
    Case(
        "tear-down-forbidden",
        "the cluster does not let the function tear down (RBAC) until after the end of the execution",
        but="scored, and the execution has succeeded; the sweeper removes the pod",
        model="slow",
        inject=refuse_the_tear_down,
        rough=True,
    ),
)
