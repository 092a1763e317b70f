"""Whatever goes wrong ends in an `.error` that names it and says what to do, and in a pod torn down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.pipeline import Pipeline

ROWS = b"a,b\n1,2\n3,4\n"

IN_ECR = "image"
REQUESTS = {
    "protocol": ({"protocol": "soap"}, "InvalidTags", "sas, sagemaker, mlflow"),
    "aliases": ({"model_image": "a", "modelimagename": "b"}, "InvalidTags", "differ"),
    "size": ({"memory": "900Gi"}, "InvalidTags", "at most 16Gi"),
    "url": ({"ingress_url": "http://evil.example.com"}, "InvalidTags", "ingress_url"),
    "cluster": ({"eks_cluster": "elsewhere"}, "ClusterNotFound", "elsewhere"),
    "namespace": ({"k8s_namespace": "kube-system"}, "NamespaceNotAllowed", "kube-system"),
    "repository": ({"model_image": "no-such-model"}, "ImageNotFound", "no repository no-such-model"),
    IN_ECR: ({"model_image": "sas-anomaly:no-such-tag"}, "ImageNotFound", "sas-anomaly:no-such-tag"),
    "registry": ({"model_image": "docker.io/library/nginx:1"}, "ImageNotAllowed", "docker.io/library/nginx"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_cannot_be_met_is_refused_in_plain_words(pipeline: Pipeline, case: str) -> None:
    if case == IN_ECR:
        pipeline.only_embedded("a repository of ECR has no such tag: there is none on a cluster of yours")
    tags, name, words = REQUESTS[case]
    outcome = pipeline.score(f"refused/{case}.csv", ROWS, **tags)
    assert outcome.error["error"] == name
    assert words in outcome.error["summary"]
    assert outcome.error["remedy"]
    assert (outcome.tags["error"], outcome.tags["stage"]) == (name, "resolve_request")
    assert list(outcome.error)[:4] == ["summary", "remedy", "stage", "error"]


MODELS = {
    "crashes": ("PodCrashed", "await_pod", "exit code 1", "fatal: weights missing"),
    "never-listens": ("PodNotReady", "await_pod", "Readiness probe failed", ""),
    "refuses": ("ModelFailed", "stream_file", "500", ""),
    "forgets-a-row": (
        "RowCountMismatch",
        "stream_file",
        "0 predictions to 1 records. Its answer is empty, for row 1 alone",
        "",
    ),
    "dies": ("PodCrashed", "stream_file", "exit code 3", "fatal: the model gave up"),
    "hangs-up": ("ModelFailed", "stream_file", "running still", ""),
}


@pytest.mark.parametrize("behaviour", MODELS)
def test_a_model_that_goes_wrong_is_told_apart(
    pipeline: Pipeline, misbehaving: Callable[[str], str], behaviour: str
) -> None:
    name, stage, words, log = MODELS[behaviour]
    tags = {"model_image": misbehaving(behaviour), "protocol": "sagemaker"}
    execution = pipeline.drop(f"models/{behaviour}.csv", ROWS, **tags)
    outcome = pipeline.outcome(execution)
    assert outcome.error["error"] == name, outcome.error
    assert words in outcome.error["summary"]
    assert (outcome.tags["error"], outcome.tags["stage"]) == (name, stage)
    assert log in "\n".join(outcome.error["pod"].get("log_tail", []))
    assert outcome.error["execution"]["arn"] == pipeline.attempt(execution)
    pipeline.assert_nothing_left(execution)


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("zero", b"", "EmptyFile"),
        ("header", b"a,b\n", "EmptyFile"),
        ("blank", b"\n\n\n", "EmptyFile"),
    ],
)
@pytest.mark.parametrize("protocol", ["sagemaker", "sas"])
def test_a_file_without_records_is_refused(
    pipeline: Pipeline, name: str, body: bytes, error: str, protocol: str
) -> None:
    image = {"sagemaker": "sagemaker-wine", "sas": "sas-anomaly"}[protocol]
    execution = pipeline.drop(f"empty/{name}-{protocol}.csv", body, model_image=image, protocol=protocol)
    assert pipeline.outcome(execution).error["error"] == error
    pipeline.assert_nothing_left(execution)


def test_a_script_that_raises_is_reported_at_once_with_its_traceback(pipeline: Pipeline) -> None:
    execution = pipeline.drop("raises.csv", b"a,b\nx,y\n", model_image="sas-anomaly", protocol="sas")
    error = pipeline.outcome(execution, 30).error
    assert error["error"] == "ModelFailed"
    assert "Traceback (most recent call last)" in error["details"]["log_tail"]
    pipeline.assert_nothing_left(execution)


def test_a_pod_that_fits_no_node_is_unschedulable_in_the_schedulers_words(pipeline: Pipeline) -> None:
    execution = pipeline.drop("too-big.csv", ROWS, model_image="sagemaker-wine", protocol="sagemaker", cpu="4")
    error = pipeline.outcome(execution, 120).error
    assert error["error"] == "PodUnschedulable"
    assert "Insufficient cpu" in error["summary"]
    pipeline.assert_nothing_left(execution)


def test_a_success_removes_the_error_of_an_earlier_try(pipeline: Pipeline, well: dict[str, str]) -> None:
    failed = pipeline.score("mended.csv", ROWS, model_image="no-such-model")
    assert failed.error["error"] == "ImageNotFound"
    pipeline.score("mended.csv", ROWS, **well)
    listed = pipeline.s3.list_objects_v2(Bucket=pipeline.stack.output_bucket, Prefix="scored/mended.csv")
    assert [entry["Key"] for entry in listed["Contents"]] == ["scored/mended.csv.scoreout"]
