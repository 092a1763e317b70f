"""What is asked of Docker: where containers reach this machine, and which containers `sam local` has started for whom."""

import ipaddress
import json
import subprocess

# SAM's own label on the containers of functions.
_FUNCTIONS = "label=sam.cli.container.type=lambda"


class NoDocker(Exception):
    """There is no Docker to work with; the message says why."""


def bridge_address() -> str:
    """Find the address at which containers of Docker's default network reach this machine.

    Raises
    ------
    NoDocker
        The command is missing or no engine answers.
    """
    network = json.loads(_docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    # An engine that has run no container yet does not tell; it takes the first address of the network.
    return str(network.get("Gateway") or ipaddress.ip_network(network["Subnet"])[1])


def function_containers(endpoint_url: str) -> dict[str, str]:
    """List the containers of the functions that call the AWS at `endpoint_url`: container ID → function.

    Raises
    ------
    NoDocker
    """
    found = {}
    for container in _docker("ps", "--all", "--quiet", "--filter", _FUNCTIONS).split():
        described = json.loads(_docker("inspect", container))[0]
        variables = dict(line.split("=", 1) for line in described["Config"]["Env"])
        if variables.get("AWS_ENDPOINT_URL") == endpoint_url:
            found[container] = variables["AWS_LAMBDA_FUNCTION_NAME"]
    return found


def logs(container: str) -> str:
    """Give what a container has printed so far."""
    return _docker("logs", container)


def remove(*containers: str) -> None:
    """End containers and remove them."""
    if containers:
        _docker("rm", "--force", *containers)


def _docker(*arguments: str) -> str:
    """Run a command of Docker's; what it prints, on either stream."""
    try:
        done = subprocess.run(
            ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise NoDocker("The command `docker` is not installed.") from None
    if done.returncode:
        raise NoDocker(f"`docker {arguments[0]}` failed: {done.stdout.strip()}")
    return done.stdout
