"""Pods that are taken away are replaced; executions that are stopped leave nothing behind, and tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from tests.e2e.pipeline import Pipeline, wait_for

ROWS = b"a,b\n1,2\n3,4\n"


def test_a_pod_that_is_deleted_while_it_scores_is_replaced(
    pipeline: Pipeline, misbehaving: Callable[[str], str]
) -> None:
    execution = pipeline.drop("lost.csv", ROWS, model_image=misbehaving("slow"), protocol="sagemaker")
    pipeline.call("DELETE", pipeline.path("pods", pipeline.scoring(execution)["pod"]["name"]))
    outcome = pipeline.outcome(execution)
    assert outcome.lines == [b"a,b,prediction", b"1,2,1", b"3,4,1"]
    state = json.loads(pipeline.sfn.describe_execution(executionArn=pipeline.attempt(execution))["output"])
    assert state["lost_pods"] == {"count": 1}
    pipeline.assert_nothing_left(execution)


def test_a_stopped_execution_is_torn_down_and_told(pipeline: Pipeline, misbehaving: Callable[[str], str]) -> None:
    image = misbehaving("slow")
    for who in ("parent", "child"):
        execution = pipeline.drop(f"stopped-{who}.csv", ROWS, model_image=image, protocol="sagemaker")
        pipeline.scoring(execution)
        attempt = pipeline.attempt(execution)
        pipeline.sfn.stop_execution(executionArn=execution if who == "parent" else attempt)
        assert pipeline.ended(execution)["status"] in ("ABORTED", "FAILED")
        pipeline.assert_nothing_left(execution)
        document = wait_for("the .error", partial(pipeline.read, f"scored/stopped-{who}.csv.error"), 30)
        assert json.loads(document)["error"] == "Aborted"
