"""A model of your own, from a folder with a Dockerfile: `make demo MODEL=folder FILE=x.csv`."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import requests

from local import account, docker, images, parts
from local.foreign import Foreign
from local.processes import StackFailed
from local.stack import Stack

Report = Callable[[str], None]


def publish(stack: Stack, folder: Path, report: Report = print) -> str:
    """Build a folder's image and bring it to where the stack's clusters pull from; what the tag model_image names.

    On the embedded clusters its pods are containers of Docker's. Without Docker they are processes of this machine, in an
    environment of their own made from the Dockerfile's `pip install`; `report` is told so, and why.

    Raises
    ------
    StackFailed
        The image cannot be built or published; the message says which step failed, and what it wrote.
    """
    repository = _repository(folder)
    if stack.foreign:
        # Not before, since the Kubernetes client takes its time.
        from local.foreign.api import Api
        from local.foreign.images import Publisher

        foreign = Foreign(**stack.foreign)
        return Publisher.find(foreign, Api(foreign), parts.MODELS_PYTHON).publish(folder, repository)
    reason = docker.unusable()
    image = _build_here(folder, reason, report) if reason else _build_in_docker(folder, repository, report)
    try:
        digest = images.push(account.client(stack.endpoint_url, "ecr"), image, repository, tag="latest")
    except requests.RequestException as failure:
        raise StackFailed(f"The image of {folder} cannot be pushed to the embedded ECR: {failure}") from failure
    # Another folder of that name may be pushed before the pod pulls it.
    return f"{repository}@{digest}"


def _repository(folder: Path) -> str:
    """Name the repository for a folder, apart from the example models' (distribution/reference has what a name may be)."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return f"yours/{name or 'model'}"


def _build_in_docker(folder: Path, repository: str, report: Report) -> images.Image:
    report(f"Docker builds {folder}; its pods are containers, with their limits, user and capabilities.")
    # Under a name, or `docker system prune` would take it from under the stack.
    name = f"dropscore/{repository}"
    # What it prints is for who waits for it.
    built = subprocess.run(["docker", "build", "--tag", name, folder.resolve()], check=False)
    if built.returncode:
        raise StackFailed(f"`docker build` of {folder} failed with exit code {built.returncode}: see above.")
    try:
        inspected = docker.docker("image", "inspect", name).stdout
    except docker.DockerFailed as failure:
        raise StackFailed(f"Docker has built {folder}, and then: {failure}") from failure
    return images.describe(json.loads(inspected)[0])


def _build_here(folder: Path, reason: str, report: Report) -> images.Image:
    report(f"Docker cannot be used: {reason.rstrip('.?')}.")
    report(
        "So the model's pods are processes of this machine, as you: their memory is limited, but not the files that they see or "
        "the network, and capabilities are not tried. An image that would run as root is refused as in a cluster (USER 1000)."
    )
    try:
        base = next(step.text for step in images.read_steps(folder) if step.name == "FROM")
        report(
            f"Python {platform.python_version()} stands for {base}; `pip install` fills an environment of its own "
            "(minutes, the first time) …"
        )
        return images.build(folder, images.environment(folder), installs=True)
    except images.BuildFailed as failure:
        raise StackFailed(f"{failure}\nWhere Docker can be used, it builds this as it is.") from failure
