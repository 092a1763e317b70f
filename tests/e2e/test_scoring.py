"""A file dropped comes back scored: protocols, routes, awkward keys, versions, defaults, many at once."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.e2e.pipeline import Pipeline

MODELS = Path(__file__).parents[2] / "models"
WINE = (MODELS / "sagemaker-wine/sample.csv").read_bytes()
CANCER = (MODELS / "mlflow-breast-cancer/sample.csv").read_bytes()
PEOPLE = (MODELS / "sas-anomaly/sample.csv").read_bytes()

CASES = {
    "sas": (PEOPLE, {"model_image": "sas-anomaly", "protocol": "sas"}, [b"anomaly_score", b"is_anomaly"]),
    "sagemaker": (WINE, {"model_image": "sagemaker-wine:latest", "protocol": "sagemaker"}, [b"prediction"]),
    "mlflow": (CANCER, {"modelimagename": "mlflow-breast-cancer", "protocol": "mlflow"}, [b"prediction"]),
}


@pytest.mark.parametrize("cluster", ["dropscore-local", "dropscore-ingress"])
@pytest.mark.parametrize("protocol", CASES)
def test_a_file_comes_back_with_the_models_columns_behind_its_own(
    pipeline: Pipeline, protocol: str, cluster: str
) -> None:
    if cluster != pipeline.stack.cluster:
        pipeline.only_embedded("a second cluster, reached by Ingress")
    body, tags, columns = CASES[protocol]
    execution = pipeline.drop(f"protocols/{protocol}-{cluster}.csv", body, eks_cluster=cluster, **tags)
    outcome = pipeline.outcome(execution)
    own = body.splitlines()
    assert outcome.lines[0] == own[0] + b"," + b",".join(columns)
    assert len(outcome.lines) == len(own)
    assert all(line.startswith(record + b",") for line, record in zip(outcome.lines[1:], own[1:], strict=True))
    assert outcome.tags["rows"] == str(len(own) - 1)
    assert outcome.tags["source"] == f"s3://dropscore-input/incoming/protocols/{protocol}-{cluster}.csv"
    assert outcome.tags["eks_cluster"] == cluster
    assert outcome.tags["k8s_namespace"] == pipeline.stack.namespace
    assert outcome.tags["model_digest"].startswith("sha256:")
    assert outcome.tags["model_image"].endswith(tags.get("model_image", tags.get("modelimagename", "")).split(":")[0])
    assert float(outcome.tags["duration_seconds"]) > 0
    assert outcome.tags["execution"] == pipeline.attempt(execution)
    if cluster == pipeline.stack.cluster:
        pipeline.assert_nothing_left(execution)


def test_a_container_tells_its_protocol_by_its_answers(pipeline: Pipeline) -> None:
    executions = {
        protocol: pipeline.drop(f"auto/{protocol}.csv", body, **tags | {"protocol": "auto"})
        for protocol, (body, tags, _) in CASES.items()
    }
    for protocol, execution in executions.items():
        outcome = pipeline.outcome(execution)
        body, _, columns = CASES[protocol]
        assert outcome.lines[0] == body.splitlines()[0] + b"," + b",".join(columns)
        assert outcome.tags["protocol"] == protocol


def test_what_the_container_that_was_found_cannot_do_is_told(pipeline: Pipeline) -> None:
    outcome = pipeline.score("auto/sas-max-errors.csv", PEOPLE, protocol="auto", max_errors="5")
    assert outcome.tags["error"] == "InvalidTags"
    document = json.loads(outcome.body)
    assert document["stage"] == "await_pod"
    assert "a sas container gets the file whole" in document["summary"]
    assert "split=rows" in document["remedy"]


def test_a_prediction_belongs_to_its_record(pipeline: Pipeline) -> None:
    outcome = pipeline.score("wine-order.csv", WINE, model_image="sagemaker-wine", protocol="sagemaker")
    rows = list(csv.DictReader(io.StringIO(outcome.body.decode())))
    # The wine data set is sorted by class and the model is nearly always right, so a shifted column would show.
    predicted = [row["prediction"] for row in rows]
    assert predicted[:50].count("0") > 45
    assert predicted[-40:].count("2") > 36


@pytest.mark.parametrize(
    "name",
    ["with space.csv", "a+b & c.csv", "größe/ñandú 雪.csv", "UPPER_case.v1.csv", "deep/er/and deeper/x.csv", "%41.csv"],
)
def test_any_key_is_scored_under_its_own_name(pipeline: Pipeline, well: dict[str, str], name: str) -> None:
    execution = pipeline.drop(f"keys/{name}", WINE, **well)
    outcome = pipeline.outcome(execution)
    assert outcome.key == f"scored/keys/{name}.scoreout"
    assert len(outcome.lines) == len(WINE.splitlines())


def test_each_version_of_an_overwritten_file_is_scored_as_it_was_dropped(
    pipeline: Pipeline, well: dict[str, str]
) -> None:
    header, *records = WINE.splitlines(keepends=True)
    first = pipeline.drop("versions.csv", header + b"".join(records[:7]), **well)
    second = pipeline.drop("versions.csv", header + b"".join(records[:11]), **well)
    rows = [json.loads(pipeline.ended(execution)["output"])["output"]["rows"] for execution in (first, second)]
    assert rows == [7, 11]


def test_a_file_without_tags_gets_the_defaults(pipeline: Pipeline) -> None:
    outcome = pipeline.score("untagged.csv", PEOPLE)
    assert outcome.tags["model_image"].endswith("/sas-anomaly")
    assert len(outcome.lines) == len(PEOPLE.splitlines())


def test_twenty_files_at_once_are_twenty_outcomes_and_leave_nothing(pipeline: Pipeline, well: dict[str, str]) -> None:
    header, *records = WINE.splitlines(keepends=True)
    bodies = {f"many/{number:02}.csv": header + b"".join(records[: number + 1]) for number in range(20)}
    executions = {name: pipeline.drop(name, body, **well) for name, body in bodies.items()}
    for number, (name, execution) in enumerate(executions.items()):
        outcome = pipeline.outcome(execution, 240)
        assert outcome.key == f"scored/{name}.scoreout", outcome.body
        assert outcome.tags["rows"] == str(number + 1)
        pipeline.assert_nothing_left(execution)


def test_any_object_in_the_folder_has_an_outcome_but_outputs_and_what_is_ignored(
    pipeline: Pipeline, well: dict[str, str]
) -> None:
    outputs = ("x.csv.scoreout", "x.csv.error", "x.csv.rejected")
    left_alone = ("keys/folder/", *outputs, "_SUCCESS", ".part-0.csv.crc", "_temporary/0/part-0.csv")
    keys = [pipeline.stack.input_prefix + name for name in left_alone]
    for key in keys:
        pipeline.s3.put_object(Bucket=pipeline.stack.input_bucket, Key=key, Body=PEOPLE)
    # Events come in order of arrival here: once a later file is through, these would have been started too.
    for name in ("notes.txt", "after.CSV"):
        assert pipeline.score(name, PEOPLE, **well).key.startswith(f"scored/{name}.")
    assert not [key for key in keys if pipeline.executions(key)]
