"""Build a model's folder into an OCI image, push it to a registry, pull it from there.

The embedded stack has no Docker. What it has in its place: a Dockerfile reader (`dockerfile`), a builder that runs the
steps with the models' virtual environment where Docker would use the base image and `pip install` (`build`), and a
client of the registry protocol that `docker push` and a kubelet's `pull` speak (`registry`). Manifests, configs,
layers and digests are real ones.
"""

from local.images.build import BuildFailed, build
from local.images.oci import Image
from local.images.reference import InvalidReference, Reference
from local.images.registry import ImageNotFound, PulledImage, PullFailed, RegistryUnavailable, pull, push, push_to

__all__ = [
    "BuildFailed",
    "Image",
    "ImageNotFound",
    "InvalidReference",
    "PullFailed",
    "PulledImage",
    "Reference",
    "RegistryUnavailable",
    "build",
    "pull",
    "push",
    "push_to",
]
