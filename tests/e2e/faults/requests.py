"""Requests that cannot be met: tags, images, clusters."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tests.e2e import models
from tests.e2e.faults.case import IN_ECR, Case, Stage


def drop_for_an_empty_repository(stage: Stage) -> Iterable[str]:
    ecr = stage.pipeline.stack.client("ecr")
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName="tests/without-image")
    yield stage.drop()


def tag_after_the_drop(stage: Stage) -> Iterable[str]:
    """The file comes without tags; they follow in a call of their own."""
    pipeline, key = stage.pipeline, stage.key()
    answer = pipeline.s3.put_object(Bucket=pipeline.stack.input_bucket, Key=key, Body=stage.case.body)
    tags = [{"Key": name, "Value": value} for name, value in stage.tags({}).items()]
    pipeline.s3.put_object_tagging(
        Bucket=pipeline.stack.input_bucket, Key=key, VersionId=answer["VersionId"], Tagging={"TagSet": tags}
    )
    yield pipeline.execution(key, answer["VersionId"])


def remove_the_tags_and_redrive(stage: Stage) -> Iterable[str]:
    """With wrong tags the file fails; without any it gets the defaults, which are the example model's."""
    execution = stage.drop()
    pipeline = stage.pipeline
    assert pipeline.outcome(execution).error["error"] == "InvalidTags"
    pipeline.s3.delete_object_tagging(Bucket=pipeline.stack.input_bucket, Key=stage.key())
    pipeline.sfn.redrive_execution(executionArn=execution)
    yield execution


def push_the_image_and_redrive(stage: Stage) -> Iterable[str]:
    stage.pipeline.only_embedded(IN_ECR)
    repository, ecr = "tests/pushed-too-late", stage.pipeline.stack.client("ecr")
    with suppress(ecr.exceptions.RepositoryNotFoundException):
        ecr.delete_repository(repositoryName=repository, force=True)
    execution = stage.drop(model_image=repository)
    assert stage.pipeline.outcome(execution).error["error"] == "ImageNotFound"
    models.push(stage.pipeline, "well", repository)
    stage.pipeline.sfn.redrive_execution(executionArn=execution)
    yield execution


CORRECT, PUSH = "Correct the tag", "Push the model image"
CASES = (
    Case(
        "protocol-unknown",
        "the tag `protocol` names none that dropscore speaks",
        "InvalidTags",
        "sas, sagemaker, mlflow",
        CORRECT,
        model="",
        tags={"protocol": "soap"},
    ),
    Case(
        "profile-unknown",
        "the tag `profile` names none that there is",
        "InvalidTags",
        "there is no such profile",
        CORRECT,
        tags={"profile": "no-such-profile"},
    ),
    Case(
        "profile-broken",
        "the profile says a key that is unknown",
        "InvalidProfile",
        "is broken: cpus is no key that is known",
        "correct the parameter in SSM Parameter Store",
        tags={"profile": "broken"},
    ),
    Case(
        "image-name-invalid",
        "the tag `model_image` is no name of an image; so no pod ever gets as far as InvalidImageName",
        "InvalidTags",
        "not the name of an image",
        "Write it as repository",
        tags={"model_image": "Not/An Image"},
    ),
    Case(
        "image-unknown",
        "ECR has no such repository",
        "ImageNotFound",
        "ECR has no repository no-such-model",
        PUSH,
        tags={"model_image": "no-such-model"},
    ),
    Case(
        "image-tag-unknown",
        "the repository has no such tag",
        "ImageNotFound",
        "holds no image",
        PUSH,
        tags={"model_image": "tests/well:no-such-tag"},
    ),
    Case(
        "repository-empty",
        "the ECR repository holds no image at all",
        "ImageNotFound",
        "holds no image",
        PUSH,
        tags={"model_image": "tests/without-image"},
        inject=drop_for_an_empty_repository,
    ),
    Case(
        "image-not-allowed",
        "the image lies in a registry that is not on the allow-list",
        "ImageNotAllowed",
        "docker.io/library/httpd",
        "AllowedModelImages",
        tags={"model_image": "docker.io/library/httpd:latest"},
    ),
    Case(
        "cluster-unknown",
        "the tag `eks_cluster` names a cluster that dropscore is not set up for",
        "ClusterNotFound",
        "not one that dropscore is set up for",
        CORRECT,
        tags={"eks_cluster": "no-such-cluster"},
    ),
    Case(
        "namespace-not-allowed",
        "the tag `k8s_namespace` names a namespace that is not open to dropscore",
        "NamespaceNotAllowed",
        "'kube-system' is not open",
        CORRECT,
        tags={"k8s_namespace": "kube-system"},
    ),
    Case(
        "ingress-elsewhere",
        "the tag `ingress_url` would send the data to another address",
        "InvalidTags",
        "but the cluster dropscore-local is reached at",
        "Leave the tag out",
        tags={"ingress_url": "http://elsewhere.invalid"},
    ),
    Case(
        "asks-for-too-much",
        "the tag `memory` asks for more than is allowed",
        "InvalidTags",
        "at most 16Gi is allowed",
        CORRECT,
        tags={"memory": "64Gi"},
    ),
    Case(
        "tags-late",
        "the tags are put on by a call after the drop",
        but="scored by what the tags say: a file without any is looked at again",
        inject=tag_after_the_drop,
    ),
    Case(
        "tags-removed",
        "wrong tags are removed after the failure, then the execution is redriven",
        but="scored with the defaults; the `.error` is gone",
        model="",
        protocol="",
        tags={"gpu": "many"},
        inject=remove_the_tags_and_redrive,
        check=lambda _stage, _execution, outcome: None,
    ),
    Case(
        "image-pushed-later",
        "the image is missing; it is pushed, and the execution is redriven",
        but="scored; the `.error` is gone",
        inject=push_the_image_and_redrive,
    ),
)
