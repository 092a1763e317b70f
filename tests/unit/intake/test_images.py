"""A model image: what the tag says, whether it may run, which digest it means."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AccessDenied, AwsThrottled, ImageNotAllowed, ImageNotFound, InvalidTags
from scoring.intake import images
from scoring.intake.images import Image
from tests.builders import ACCOUNT, DIGEST, REGISTRY

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("credit", Image(REGISTRY, "credit", "latest")),
        ("models/credit:v1.2_3-rc", Image(REGISTRY, "models/credit", "v1.2_3-rc")),
        (f"credit@{DIGEST}", Image(REGISTRY, "credit", digest=DIGEST)),
        (f"credit:v1@{DIGEST}", Image(REGISTRY, "credit", digest=DIGEST)),
        (f"{REGISTRY}/team/credit:3", Image(REGISTRY, "team/credit", "3")),
        ("localhost/credit", Image("localhost", "credit", "latest")),
        ("registry:5000/team/credit", Image("registry:5000", "team/credit", "latest")),
    ],
)
def test_an_image_is_read_as_docker_reads_it(text: str, image: Image) -> None:
    assert images.parse(text, REGISTRY) == image


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Credit",
        "-credit",
        "credit/",
        "a//b",
        "a b",
        "credit:tag:tag",
        f"credit:{'t' * 129}",
        "credit@",
        "credit@sha256:12",
        f"credit@{DIGEST}@{DIGEST}",
        "https://evil.example.com/credit",
        "credit:ä",
        "credit\n",
    ],
)
def test_what_is_no_image_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidTags) as refused:
        images.parse(text, REGISTRY)
    assert "repository:tag" in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "pattern", "allowed"),
    [
        (f"{REGISTRY}/credit", f"{REGISTRY}/*", True),
        (f"{REGISTRY}/team/credit", f"{REGISTRY}/team/*", True),
        (f"{REGISTRY}/credit", f"{REGISTRY}/credit", True),
        (f"{REGISTRY}/credit2", f"{REGISTRY}/credit", False),
        ("evil.example.com/credit", f"{REGISTRY}/*", False),
        (f"evil.example.com/{REGISTRY}/credit", f"{REGISTRY}/*", False),
        (f"{REGISTRY}/credit", f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/*", True),
        (f"{REGISTRY}/credit", REGISTRY, True),
        (f"{REGISTRY}/credit", "*", True),
        # A star in the host stands for nothing beyond the host.
        (f"{ACCOUNT}.dkr.ecr.evil.example.com/x.amazonaws.com/credit", f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/*", False),
    ],
)
def test_the_allow_list_decides_by_registry_and_repository(name: str, pattern: str, allowed: bool) -> None:
    image = images.parse(f"{name}@{DIGEST}", REGISTRY)
    if allowed:
        images.check_allowed(image, ("other/*", pattern))
    else:
        with pytest.raises(ImageNotAllowed, match="is not among the allowed ones"):
            images.check_allowed(image, ("other/*", pattern))


def test_an_empty_allow_list_allows_nothing() -> None:
    with pytest.raises(ImageNotAllowed, match=r"\(none\)"):
        images.check_allowed(Image(REGISTRY, "credit", "1"), ())


@pytest.fixture
def ecr(mocked_aws: None) -> Any:
    client = aws.client("ecr")
    client.create_repository(repositoryName="credit")
    return client


def push(ecr: Any, tag: str) -> str:
    manifest = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": {}, "layers": [], "annotations": {"tag": tag}}
    answer = ecr.put_image(repositoryName="credit", imageManifest=json.dumps(manifest), imageTag=tag)
    return str(answer["image"]["imageId"]["imageDigest"])


def test_a_tag_is_pinned_to_the_digest_that_it_means_now(ecr: Any) -> None:
    digest = push(ecr, "v1")
    push(ecr, "v2")
    pinned = images.pin(images.parse("credit:v1", REGISTRY), ecr, REGISTRY)
    assert pinned.uri == f"{REGISTRY}/credit@{digest}"
    assert images.pin(pinned, ecr, REGISTRY) == pinned


@pytest.mark.parametrize("text", ["credit:v9", f"credit@{DIGEST}", "credit"])
def test_an_image_that_was_not_pushed_is_not_found(ecr: Any, text: str) -> None:
    push(ecr, "v1")
    with pytest.raises(ImageNotFound, match="The ECR repository credit holds no image"):
        images.pin(images.parse(text, REGISTRY), ecr, REGISTRY)


def test_a_repository_that_is_not_there_is_named(ecr: Any) -> None:
    with pytest.raises(ImageNotFound, match=f"ECR has no repository nothing in {REGISTRY}"):
        images.pin(images.parse("nothing", REGISTRY), ecr, REGISTRY)


@pytest.mark.parametrize("registry", ["ghcr.io", f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"])
def test_an_image_that_cannot_be_looked_up_here_must_bring_its_digest(ecr: Any, registry: str) -> None:
    """A repository of the same name in this region says nothing about one in another."""
    push(ecr, "v1")
    with pytest.raises(ImageNotFound, match="cannot be looked up"):
        images.pin(images.parse(f"{registry}/credit:v1", REGISTRY), ecr, REGISTRY)
    image = images.parse(f"{registry}/credit@{DIGEST}", REGISTRY)
    assert images.pin(image, ecr, REGISTRY) == image


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDeniedException", AccessDenied), ("ThrottlingException", AwsThrottled)]
)
def test_what_ecr_refuses_is_named(code: str, error: type[Exception]) -> None:
    class Refusing:
        meta = type("Meta", (), {"region_name": "us-east-1"})

        def describe_images(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeImages")

    with pytest.raises(error, match="ecr:DescribeImages of"):
        images.pin(images.parse("credit", REGISTRY), Refusing(), REGISTRY)
