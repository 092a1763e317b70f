"""Models that answer wrongly, late or not at all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from tests.e2e.faults.case import Case, Stage
from tests.e2e.faults.processes import model_of

# 64 KiB is the first batch that a model gets, then twice as much each time: this is four of them.
FOUR_BATCHES = b"a,b\n" + b"123456789,12345\n" * 40_000


def kill_the_model(stage: Stage) -> Iterable[str]:
    execution = stage.drop()
    os.kill(model_of(stage.pipeline, stage.scoring(execution)), signal.SIGKILL)
    yield execution


REPAIR = "repair the model or the file"
TIME_OUT = "raise that time-out in the image"
CASES = (
    Case(
        "model-refuses",
        "the model answers 500",
        "ModelFailed",
        "answered 500 to rows 1 and 3, each alone.",
        REPAIR,
        model="refuses",
    ),
    Case(
        "model-refuses-the-third-batch",
        "the model answers two batches, 500 to the third, and takes its halves",
        but="scored: no record is to blame",
        model="refuses-the-third-batch",
        body=FOUR_BATCHES,
    ),
    Case(
        "model-throttles",
        "the model turns each second batch away (429, Retry-After)",
        but="the batch is sent again when the model has said",
        model="has-enough",
        body=FOUR_BATCHES,
    ),
    Case(
        "batch-too-large",
        "the model, or the route to it, takes no more than 10 kB at once (413)",
        but="batches are halved until they fit",
        model="takes-little",
        body=FOUR_BATCHES,
    ),
    Case(
        "batch-too-large-untold",
        "the same, by closing the connection",
        but="batches are halved until they fit",
        model="hangs-up-on-much",
        body=FOUR_BATCHES,
    ),
    Case(
        "record-too-large",
        "one record of the file is more than the model, or the route to it, takes (413)",
        "ModelFailed",
        "Record 4 alone is too much",
        "Shorten this record",
        model="takes-little",
        body=b"a,b\n1,2\n3,4\n5,6\n7," + b"8" * 20_000 + b"\n9,10\n",
    ),
    Case(
        "model-disk-full",
        "the model's disk is full",
        "ModelFailed",
        "answered 500",
        REPAIR,
        model="disk-full",
        check=lambda _stage, _execution, outcome: says(outcome.error, "No space left on device"),
    ),
    Case(
        "model-forgets-a-row",
        "the model answers one row too few",
        "RowCountMismatch",
        "0 predictions to 1 records. Its answer is empty, for row 1 alone, and for row 3 as well",
        "each record with one prediction",
        model="forgets-a-row",
    ),
    Case(
        "model-invents-a-row",
        "the model answers one row too many",
        "RowCountMismatch",
        "2 predictions to 1 records. Its answer begins with '1\\n1\\n', for row 1 alone",
        "each record with one prediction",
        model="invents-a-row",
    ),
    Case(
        "model-answers-ragged-rows",
        "the model's rows have different lengths",
        "ModelFailed",
        "rows of different lengths",
        REPAIR,
        model="ragged",
    ),
    Case(
        "model-answers-a-page",
        "something in the model's place answers 200 with an HTML page",
        "ModelFailed",
        "a page of HTML",
        REPAIR,
        model="page",
        protocol="mlflow",
    ),
    Case(
        "model-answers-other-json",
        "the model's JSON has no predictions",
        "ModelFailed",
        "a JSON document without predictions",
        "Let the model answer",
        model="no-predictions",
        protocol="mlflow",
    ),
    Case(
        "model-redirects", "the model answers with a redirect", "ModelFailed", "answered 302", REPAIR, model="redirects"
    ),
    Case(
        "answer-cut",
        "the connection closes after half a row of the answer",
        "ModelFailed",
        "broke off its answer",
        TIME_OUT,
        model="breaks-off",
    ),
    Case(
        "answer-cut-chunked",
        "the same, of an answer whose length was not told",
        "ModelFailed",
        "broke off its answer",
        TIME_OUT,
        model="breaks-off-a-stream",
    ),
    Case(
        "port-closed",
        "the model closes its port in the middle of the answer and lives on",
        "ModelFailed",
        "Its container is running still",
        TIME_OUT,
        model="closes-its-port",
    ),
    Case(
        "model-hangs-up",
        "the model closes the connection without an answer",
        "ModelFailed",
        "running still",
        TIME_OUT,
        model="hangs-up",
    ),
    Case(
        "model-dies",
        "the model's process ends in the middle of a batch",
        "PodCrashed",
        "exit code 3",
        "Read the log tail",
        model="dies",
        check=lambda _stage, _execution, outcome: says(outcome.error["pod"]["log_tail"], "the model gave up"),
    ),
    Case(
        "model-killed",
        "the model's process is killed (SIGKILL) while it scores",
        "PodCrashed",
        "exit code 137, SIGKILL",
        "Read the log tail",
        model="slow",
        inject=kill_the_model,
    ),
    Case(
        "model-out-of-memory",
        "the model needs more memory than its limit",
        "PodCrashed",
        "ran out of memory (128Mi)",
        "tag memory",
        model="eats-memory",
    ),
    Case(
        "model-stuck",
        "the model never answers",
        "ModelTimeout",
        "was not done with the file after 60 s",
        "ScoringDeadlineSeconds",
        model="stuck",
    ),
    Case(
        "oip-model-not-ready",
        "a server of the Open Inference Protocol is ready, its model never",
        "PodNotReady",
        '400 {"error": "the model sums has not loaded its weights"}',
        "Give the model more time",
        model="oip-never-ready",
        protocol="oip",
    ),
    Case(
        "oip-metadata",
        "by its metadata, the model takes four records and no others",
        "ModelFailed",
        "row has the shape [4, 2]",
        "whose first dimension, that of the records, is -1",
        model="oip-fixed-batch",
        protocol="oip",
    ),
    Case(
        "oip-shape",
        "the shape of the model's output says more elements than there are",
        "ModelFailed",
        "in the shape [1, 2]",
        REPAIR,
        model="oip-other-shape",
        protocol="oip",
    ),
    Case(
        "oip-model-loads",
        "a server of the Open Inference Protocol is ready, its model not yet",
        but="scored once it is",
        model="oip-loads",
        protocol="oip",
    ),
    Case("model-slow", "the model takes its time", but="scored", model="slow"),
)


def says(text: object, words: str) -> None:
    assert words in str(text), text
