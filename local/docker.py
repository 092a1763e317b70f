"""What is asked of Docker: where containers reach this machine, which of them `sam local` has started for whom, and which an
embedded cluster.
"""

import hashlib
import ipaddress
import json
import logging
import socket
import subprocess
from pathlib import Path

_log = logging.getLogger(__name__)

LABEL = "dropscore.cluster"
"""On the containers and the network of an embedded cluster, with the cluster's name in Docker."""

# In a cluster's folder, as long as Docker may hold something of it.
_NOTE = "in-docker"

# SAM's own label on the containers of functions.
_FUNCTIONS = "label=sam.cli.container.type=lambda"


class DockerFailed(Exception):
    """Docker is not there or did not do what it was asked; the message says why."""


def bridge_address() -> str:
    """Find the address at which containers of Docker's default network reach this machine.

    Raises
    ------
    DockerFailed
        The command is missing or no engine answers.
    """
    network = json.loads(docker("network", "inspect", "bridge").stdout)[0]["IPAM"]["Config"][0]
    # An engine that has run no container yet does not tell; it takes the first address of the network.
    return str(network.get("Gateway") or ipaddress.ip_network(network["Subnet"])[1])


def unusable() -> str:
    """Say why pods cannot be containers of Docker's here; empty if they can."""
    try:
        address = bridge_address()
        told = docker("info", "--format", "{{.OperatingSystem}} {{.SecurityOptions}}").stdout
    except DockerFailed as failure:
        return str(failure)
    # The address may be another engine's on this machine.
    for kind in ("Docker Desktop", "rootless"):
        if kind in told:
            return f"{kind} has a network of its own that this machine does not see"
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            # Rootless, in a virtual machine (Docker Desktop), or on another machine.
            return f"its containers have a network that this machine does not see ({address} is none of its addresses)"
    return ""


def name_of(state: Path) -> str:
    """Give the name in Docker of the cluster with this folder: its network's, and its label."""
    return f"dropscore-{hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:10]}"


def note(state: Path) -> None:
    """Take note, before anything is made in Docker for a cluster, that something will have to be removed."""
    (state / _NOTE).touch()


def remove_of(state: Path) -> None:
    """Remove what Docker holds of a cluster. What it refuses is logged, and removed when the cluster starts or ends again."""
    if not (state / _NOTE).exists():
        return
    name = name_of(state)
    label = f"label={LABEL}={name}"
    try:
        if found := docker("ps", "--all", "--quiet", "--filter", label).stdout.split():
            docker("rm", "--force", "--volumes", *found)
        if docker("network", "ls", "--quiet", "--filter", label).stdout:
            docker("network", "rm", name)
    except DockerFailed as failure:
        _log.warning("Containers and a network labelled %s may be left in Docker: %s", label, failure)
        return
    (state / _NOTE).unlink()


def function_containers(endpoint_url: str) -> dict[str, str]:
    """List the containers of the functions that call the AWS at `endpoint_url`: container ID → function.

    Raises
    ------
    DockerFailed
    """
    found = {}
    for container in docker("ps", "--all", "--quiet", "--filter", _FUNCTIONS).stdout.split():
        described = json.loads(docker("inspect", container).stdout)[0]
        variables = dict(line.split("=", 1) for line in described["Config"]["Env"])
        if variables.get("AWS_ENDPOINT_URL") == endpoint_url:
            found[container] = variables["AWS_LAMBDA_FUNCTION_NAME"]
    return found


def logs(container: str) -> str:
    """Give what a container has printed so far."""
    printed = docker("logs", container)
    return printed.stdout + printed.stderr


def remove(*containers: str) -> None:
    """End containers and remove them."""
    if containers:
        docker("rm", "--force", *containers)


def docker(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command of Docker's.

    Raises
    ------
    DockerFailed
    """
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise DockerFailed("the command `docker` is not installed") from None
    except subprocess.TimeoutExpired:
        raise DockerFailed(f"`docker {arguments[0]}` has not ended in {seconds:.0f} seconds") from None
    if done.returncode:
        raise DockerFailed(f"`docker {arguments[0]}`: {done.stderr.strip()}")
    return done
