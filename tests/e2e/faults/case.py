"""What a case of the fault suite is, what an injector works with, and how the outcome is judged."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from zlib import crc32

from tests.e2e import models
from tests.e2e.listening import Listener, listening
from tests.e2e.pipeline import Outcome, Pipeline, wait_for

IN_ECR = "what an image's tag means changes in ECR, which a cluster of yours does not pull from"
ROWS = b"a,b\n1,2\n3,4\n5,6\n"
# Small, so that many fit on a machine of two cores; a case that needs more says so.
SIZE = {"cpu": "20m", "memory": "128Mi"}


class Stage:
    """Where a case is played: a stack, and what its injector does there in the case's own folder."""

    def __init__(self, pipeline: Pipeline, case: Case) -> None:
        self.pipeline, self.case = pipeline, case

    def image(self) -> str:
        """The case's model, pushed."""
        return models.push(self.pipeline, self.case.model) if self.case.model else ""

    def key(self, name: str = "file.csv") -> str:
        return f"{self.pipeline.stack.input_prefix}{self.case.name}/{name}"

    def drop(self, name: str = "file.csv", body: bytes | None = None, **tags: str) -> str:
        """Drop a file with the case's tags, and others; its execution."""
        return self.pipeline.drop(
            f"{self.case.name}/{name}", self.case.body if body is None else body, **self.tags(tags)
        )

    def tags(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {"model_image": self.image(), "protocol": self.case.protocol, **SIZE, **self.case.tags, **more}
        return {name: value for name, value in own.items() if value}

    def pod(self, state: Mapping[str, Any]) -> str:
        """The path of the pod in a state, for the administrator's calls."""
        return self.pipeline.path("pods", state["pod"]["name"])

    def scoring(self, execution: str, nth: int = 0, batch: int = 1) -> dict[str, Any]:
        """The state of a file once its nth pod (from 0) has got a batch."""
        state = self.pipeline.scoring(execution, nth)
        log = f"{self.pod(state)}/log"
        wait_for("a batch", lambda: f"batch {batch}\n".encode() in self.pipeline.request("GET", log), 30)
        return state

    def reach(self, execution: str, step: str) -> None:
        """Wait until a file is in stream_file, and the model has a batch; or in launch_pod, and there is a pod that starts."""
        if step == "stream_file":
            self.scoring(execution)
        else:
            self.pipeline.starting(execution)

    def tell(self, state: Mapping[str, Any], **status: Any) -> None:
        """Write into the status of the pod in a state, as the cluster's own controllers do."""
        self.pipeline.call("PATCH", f"{self.pod(state)}/status", body={"status": status})


Injector = Callable[[Stage], Iterable[str]]


def drop(stage: Stage) -> Iterable[str]:
    """Nothing but the file itself: the fault is in it, in its tags or in its model."""
    yield stage.drop()


@dataclass(frozen=True)
class Case:
    """One fault and what must come of it.

    `inject` gives the executions to be judged; `error` is empty for files that are scored; `summary` and `remedy` are
    words that the `.error` must have; `but` says, for the document, what a scored file came through, or how.
    """

    name: str
    fault: str
    error: str = ""
    summary: str = ""
    remedy: str = ""
    but: str = ""
    model: str = "well"
    protocol: str = "sagemaker"
    body: bytes = ROWS
    tags: Mapping[str, str] = field(default_factory=dict)
    inject: Injector = drop
    status: str = ""
    rough: bool = False
    check: Callable[[Stage, str, Outcome], None] | None = None

    @property
    def ends(self) -> str:
        """How the executions of `score_file` end."""
        return self.status or ("FAILED" if self.error else "SUCCEEDED")


def play(stage: Stage) -> None:
    """Inject the fault of a case, and hold against the case what came of it."""
    with listening(stage.pipeline, stage.key("")) as listener:
        for execution in list(stage.case.inject(stage)):
            judge(stage, execution, listener)


def judge(stage: Stage, execution: str, listener: Listener) -> None:
    case, pipeline = stage.case, stage.pipeline
    description = pipeline.ended(execution, 180)
    source = json.loads(description["input"])["source"]
    base = pipeline.stack.output_prefix + source["key"].removeprefix(pipeline.stack.input_prefix)
    wanted, other = (".error", ".scoreout") if case.error else (".scoreout", ".error")
    # After an abort the word is EventBridge's, which comes a moment later.
    if wait_for(f"an outcome of {base}", lambda: outcomes(pipeline, base), 60) != [base + wanted]:
        document = pipeline.read(base + other) or b""
        raise AssertionError(f"{outcomes(pipeline, base)} instead of {wanted}: {document.decode(errors='replace')}")
    outcome = pipeline.read_outcome(base + wanted)
    assert description["status"] == case.ends, description
    if case.error:
        judge_error(case, outcome.error, source)
        assert outcome.tags["error"] == case.error
    elif not case.check:
        judge_scored(outcome, pipeline.source(source))
    if case.check:
        case.check(stage, execution, outcome)
    if case.error and case.ends == "FAILED":
        attempt = pipeline.sfn.describe_execution(executionArn=pipeline.attempt(execution))
        assert attempt["status"] in ("FAILED", "ABORTED", "TIMED_OUT"), attempt
        assert attempt.get("error", case.error) == case.error, attempt
    pipeline.assert_nothing_left(execution)
    judge_told(pipeline, execution, listener, outcome)
    assert outcomes(pipeline, base) == [base + wanted], "a second outcome came later"


def judge_told(pipeline: Pipeline, execution: str, listener: Listener, outcome: Outcome) -> None:
    """Each attempt of the file is told of once, though EventBridge may tell of its end twice; the newest as it is."""
    attempts = pipeline.attempts(execution) or [execution]
    for each in attempts:
        heard = listener.of(each.rsplit(":", 1)[-1])
    detail = heard["detail"]
    assert heard["detail-type"] == ("File Failed" if outcome.key.endswith(".error") else "File Scored"), heard
    assert detail["output"]["key"] == outcome.key
    assert (detail["execution"], detail["file_execution"]) == (attempts[-1], execution)
    if outcome.key.endswith(".error"):
        told = {name: outcome.error[name] for name in ("summary", "remedy", "stage", "error")}
        assert {name: detail[name] for name in told} == told
    else:
        assert str(detail["rows"]) == outcome.tags["rows"]
    judge_receipt(pipeline, detail, outcome)
    ended = pipeline.sfn.describe_execution(executionArn=attempts[-1])
    if ended["status"] != "SUCCEEDED":
        # The record follows the event by some milliseconds, in which nobody can tell.
        record = f"{pipeline.stack.output_prefix}.progress/.told/{detail['attempt']}"
        wait_for(f"the record of the event of {detail['attempt']}", lambda: pipeline.read(record), 30)
        names = ("executionArn", "stateMachineArn", "name", "status", "input", "error", "cause")
        again = {name: ended.get(name) for name in names} | {"startDate": int(ended["startDate"].timestamp() * 1000)}
        assert pipeline.invoke("PersistError", {"detail": again}) == {}
    listener.assert_each_once()


def judge_receipt(pipeline: Pipeline, detail: Mapping[str, Any], outcome: Outcome) -> None:
    """The one beside the outcome is of the attempt that was told of, and of the very bytes that are there."""
    key = outcome.key.removesuffix(".error").removesuffix(".scoreout") + ".receipt.json"
    assert detail["output"]["receipt_key"] == key
    receipt = json.loads(pipeline.read(key) or b"{}")
    assert receipt["id"] == detail["id"], receipt
    assert receipt["seconds"]["total"] == detail["duration_seconds"]
    assert receipt["steps"] is not None, receipt
    if outcome.key.endswith(".scoreout"):
        checksum = {"CRC32": b64encode(crc32(outcome.body).to_bytes(4, "big")).decode()}
        assert (receipt["output"]["size"], receipt["output"]["checksum"]) == (len(outcome.body), checksum)
        assert receipt["output"]["sha256"] == sha256(outcome.body).hexdigest()
        assert receipt["cost"]["usd"] > 0


def outcomes(pipeline: Pipeline, base: str) -> list[str]:
    return [base + suffix for suffix in (".error", ".scoreout") if pipeline.read(base + suffix) is not None]


def judge_error(case: Case, error: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    assert error["error"] == case.error, error
    assert case.summary, f"{case.name} must say what its summary says"
    assert case.summary in error["summary"], error["summary"]
    assert case.remedy in error["remedy"], error["remedy"]
    assert len(error["remedy"]) > 10
    assert list(error)[:4] == ["summary", "remedy", "stage", "error"]
    assert error["source"] == source
    assert error["execution"]["arn"]


def judge_scored(outcome: Outcome, source: bytes) -> None:
    """Each record of the file with its prediction, in order, and as many as the tag says."""
    own = source.splitlines()
    assert outcome.tags["rows"] == str(len(own) - 1)
    assert outcome.lines == [own[0] + b",prediction", *(record + b",1" for record in own[1:])]
