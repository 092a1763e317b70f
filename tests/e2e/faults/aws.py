"""Functions that are killed, and an S3 that refuses or changes under them (on the rough stack)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from tests.e2e.faults import disturb, processes
from tests.e2e.faults.beside import admit, gated
from tests.e2e.faults.case import Case, Stage
from tests.e2e.faults.cluster import failures, refused
from tests.e2e.pipeline import wait_for


def kill_the_worker(function: str, step: str, times: int = 1) -> Callable[[Stage], Iterable[str]]:
    """SIGKILL the process of a function while the model has a batch, or the pod starts."""

    def inject(stage: Stage) -> Iterable[str]:
        execution = stage.drop()
        stage.reach(execution, step)
        kill_until(stage, execution, function, times)
        yield execution

    return inject


def kill_until(stage: Stage, execution: str, function: str, times: int) -> None:
    """SIGKILL the processes of a function until it has failed of it so many times."""

    def kill() -> bool:
        if failures(stage, execution, "Runtime.ExitError") >= times:
            return True
        for pid in processes.workers(stage.pipeline, function):
            os.kill(pid, signal.SIGKILL)
        return False

    wait_for(f"the end of {function}", kill, 60)


def kill_await_pod(stage: Stage) -> Iterable[str]:
    """While a queue holds the pod back: it is asked to look for as long as that takes."""
    with gated(stage) as (execution, state):
        stage.pipeline.state(execution, "await_pod")
        kill_until(stage, execution, "AwaitPod", 1)
        admit(stage, state)
        stage.pipeline.ended(execution, 120)
    yield execution


def refuse(bucket: str, action: str, key: str, until: str = "") -> Callable[[Stage], Iterable[str]]:
    """Let a bucket's policy deny an action, until the execution has ended or a step has been refused."""

    def inject(stage: Stage) -> Iterable[str]:
        with disturb.denied(stage.pipeline, bucket, action, key):
            execution = stage.drop()
            if until:
                refused(stage, execution, until, "AccessDenied")
            else:
                stage.pipeline.ended(execution)
        yield execution

    return inject


def change(how: str, step: str) -> Callable[[Stage], Iterable[str]]:
    """Overwrite or delete the file while it is in stream_file, or its pod starts. The bucket keeps no versions."""

    def inject(stage: Stage) -> Iterable[str]:
        pipeline = stage.pipeline
        execution = stage.drop()
        stage.reach(execution, step)
        if how == "delete":
            pipeline.s3.delete_object(Bucket=pipeline.stack.input_bucket, Key=stage.key())
            yield execution
            return
        newer = drop_newer(stage, execution)
        ended = pipeline.ended(execution)
        if step == "stream_file":
            assert ended["status"] == "SUCCEEDED"
        else:
            assert "SourceChanged" in ended["cause"]
            pipeline.assert_nothing_left(execution)
        yield newer

    return inject


def drop_newer(stage: Stage, older: str) -> str:
    """Drop the file again with one more record."""
    pipeline, key = stage.pipeline, stage.key()
    body = stage.case.body + b"7,8\n"
    tagging = "&".join(f"{name}={value}" for name, value in stage.tags({}).items())
    pipeline.s3.put_object(Bucket=pipeline.stack.input_bucket, Key=key, Body=body, Tagging=tagging)
    return wait_for("the newer file's execution", lambda: next(iter({*pipeline.executions(key)} - {older}), None), 30)


CASES = (
    Case(
        "worker-of-stream-file-killed",
        "the process of `stream_file` is killed (SIGKILL) while the model has a batch",
        but="scored: the step is repeated",
        model="slow",
        inject=kill_the_worker("StreamFile", "stream_file"),
        rough=True,
    ),
    Case(
        "worker-of-launch-pod-killed",
        "the process of `launch_pod` is killed while the pod starts",
        but="scored: the step is repeated, with the pod that there is",
        model="slow-to-start",
        inject=kill_the_worker("LaunchPod", "launch_pod"),
        rough=True,
    ),
    Case(
        "worker-of-await-pod-killed",
        "the process of `await_pod` is killed while a queue holds the pod back",
        but="scored: the step is repeated",
        inject=kill_await_pod,
        rough=True,
    ),
    Case(
        "worker-killed-each-time",
        "the process of `launch_pod` is killed each time that it is started again",
        "Runtime.ExitError",
        "process ended unexpectedly",
        "Redrive the execution",
        model="never-listens",
        inject=kill_the_worker("LaunchPod", "launch_pod", 4),
        rough=True,
    ),
    Case(
        "input-forbidden",
        "the input bucket's policy denies reading",
        "AccessDenied",
        "Not allowed: s3:GetObject",
        "allow the call named above",
        inject=refuse("dropscore-input", "s3:GetObject*", "incoming/*"),
        rough=True,
    ),
    Case(
        "output-forbidden",
        "the output bucket's policy denies writing the `.scoreout`",
        "AccessDenied",
        "Not allowed: s3:CreateMultipartUpload",
        "allow the call named above",
        inject=refuse("dropscore-output", "s3:PutObject", "scored/*.scoreout"),
        rough=True,
    ),
    Case(
        "error-forbidden-for-a-while",
        "the output bucket's policy denies writing the `.error` for a while",
        "RowCountMismatch",
        "0 predictions to 1 records. Its answer is empty, for row 1 alone, and for row 3 as well",
        "each record with one prediction",
        model="forgets-a-row",
        inject=refuse("dropscore-output", "s3:PutObject", "scored/*.error", until="persist_error"),
        rough=True,
    ),
    Case(
        "file-overwritten-while-waiting",
        "the file is overwritten while its pod starts, in a bucket without versions",
        but="the older fails as SourceChanged, the newer is scored, and the `.error` of the older is gone",
        model="slow-to-start",
        inject=change("overwrite", "launch_pod"),
        rough=True,
    ),
    Case(
        "file-overwritten-while-scored",
        "the file is overwritten while the model has it, in a bucket without versions",
        but="both are scored, each as it was; the newer's result stays",
        model="slow",
        inject=change("overwrite", "stream_file"),
        rough=True,
    ),
    Case(
        "file-deleted-while-waiting",
        "the file is deleted while its pod starts, in a bucket without versions",
        "SourceGone",
        "is not there any more",
        "Drop the file again",
        model="slow-to-start",
        inject=change("delete", "launch_pod"),
        rough=True,
    ),
    Case(
        "file-deleted-while-scored",
        "the file is deleted while the model has it",
        but="scored: it has been read",
        model="slow",
        inject=change("delete", "stream_file"),
        rough=True,
        check=lambda stage, _execution, outcome: scored_as(outcome.lines, stage.case.body),
    ),
)


def scored_as(lines: list[bytes], body: bytes) -> None:
    assert len(lines) == len(body.splitlines())
