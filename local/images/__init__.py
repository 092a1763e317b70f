"""Build a model's folder into an OCI image, push it to a registry, pull it from there.

The embedded stack needs no Docker. What it has in its place: a Dockerfile reader (`dockerfile`), a builder that runs the
steps with a virtual environment where Docker would use the base image (`build`), and a client of the registry protocol
that `docker push` and a kubelet's `pull` speak (`registry`). Manifests, configs, layers and digests are real ones. A
model of yours is built by Docker where there is one; the registry then has all of it but the layers (`in_docker`).
"""

from local.images.build import BuildFailed, build, read_steps
from local.images.environment import environment, place
from local.images.in_docker import describe
from local.images.oci import DEFAULT_PATH, Image
from local.images.reference import InvalidReference, Reference
from local.images.registry import ImageNotFound, PulledImage, PullFailed, RegistryUnavailable, pull, push, push_to
from local.images.roots import inside

__all__ = [
    "DEFAULT_PATH",
    "BuildFailed",
    "Image",
    "ImageNotFound",
    "InvalidReference",
    "PullFailed",
    "PulledImage",
    "Reference",
    "RegistryUnavailable",
    "build",
    "describe",
    "environment",
    "inside",
    "place",
    "pull",
    "push",
    "push_to",
    "read_steps",
]
