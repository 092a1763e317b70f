"""What is asked of Docker: where containers reach this machine, and which containers `sam local` has started for whom."""

import ipaddress
import json
import subprocess

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
