"""Docker, and its images that tests build theirs from."""

from __future__ import annotations

import pytest

from local import docker


def need_docker() -> None:
    """Skip the test where there is none."""
    try:
        docker.bridge_address()
    except docker.DockerFailed as reason:
        pytest.skip(f"needs Docker: {reason}")


def base_image() -> str:
    """An image with Python in it that is here: no registry is asked. Skips the test where there is none."""
    need_docker()
    listed = docker.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    names = [name for name in listed if "python" in name]
    if not names:
        pytest.skip("no image here has `python` in its name to build models from")
    return names[0]
