"""A model image: what the tag says, whether it is allowed, and which digest it means right now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import ImageNotAllowed, ImageNotFound, InvalidTags

# Amazon ECR User Guide, "Amazon ECR registries": the registry's host names the account and the region.
_ECR_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
# distribution/reference: what a repository, a tag and a digest may look like.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Image:
    """`registry/repository`, with a tag (by default `latest`) or, once resolved, a digest."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    @property
    def uri(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str, default_registry: str) -> Image:
    """Read `repository`, `repository:tag`, `repository@sha256:…` or any of these behind a registry's host.

    Raises
    ------
    InvalidTags
        The text is no image reference.
    """
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.partition("/")
    has_host = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, tail) if has_host else (default_registry, rest)
    repository, _, tag = path.partition(":")
    if (
        not _REPOSITORY.fullmatch(repository)
        or (tag and not _TAG.fullmatch(tag))
        or ("@" in text and not _DIGEST.fullmatch(digest))
    ):
        raise InvalidTags(
            f"The tag model_image is {text!r}, which is not the name of an image.",
            "Write it as repository, repository:tag, repository@sha256:… or as a full image URI.",
        )
    return Image(registry, repository, "" if digest else tag or "latest", digest)


def check_allowed(image: Image, patterns: tuple[str, ...]) -> None:
    """Hold the image's name (without tag) against the allow-list of shell patterns; one without a slash is a registry.

    Raises
    ------
    ImageNotAllowed
    """
    if not any(_matches(image, pattern) for pattern in patterns):
        raise ImageNotAllowed(
            f"The image {image.name} is not among the allowed ones ({', '.join(patterns) or 'none'})."
        )


def _matches(image: Image, pattern: str) -> bool:
    # By halves: a star in the host must not reach into the repository, which may look like the rest of a host.
    registry, slash, repository = pattern.partition("/")
    return fnmatchcase(image.registry, registry) and fnmatchcase(image.repository, repository if slash else "*")


def pin(image: Image, ecr: Any, own_registry: str) -> Image:
    """The same image by digest, so that a tag moved while a file is being scored changes nothing.

    An ECR image is looked up even when it names its digest: a missing image fails here, in a second and in plain words,
    and not minutes later as a pod that cannot pull. An image of another registry, account or region must bring its digest.

    Raises
    ------
    ImageNotFound, AccessDenied, AwsThrottled
    """
    host = _ECR_HOST.fullmatch(image.registry)
    if not host or image.registry != own_registry:
        if image.digest:
            return image
        raise ImageNotFound(
            f"The image {image.uri} lies outside this account's ECR in this region, where its tag cannot be looked up.",
            "Name it by digest (…@sha256:…), or push it to the ECR of the stack's account and region.",
        )
    wanted = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    with aws.errors_named(f"ecr:DescribeImages of {image.name}"):
        try:
            answer = ecr.describe_images(registryId=host["account"], repositoryName=image.repository, imageIds=[wanted])
        except ClientError as error:
            if aws.code(error) == "RepositoryNotFoundException":
                raise ImageNotFound(f"ECR has no repository {image.repository} in {image.registry}.") from error
            if aws.code(error) == "ImageNotFoundException":
                raise ImageNotFound(f"The ECR repository {image.repository} holds no image {image.uri}.") from error
            raise
    if not answer["imageDetails"]:
        raise ImageNotFound(f"The ECR repository {image.repository} holds no image {image.uri}.")
    return Image(image.registry, image.repository, digest=answer["imageDetails"][0]["imageDigest"])
