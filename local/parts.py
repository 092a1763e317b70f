"""The parts of the embedded stack, and how each of them is made ready."""

import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from local import account, images
from local.processes import Processes, StackFailed, wait_until

ROOT = Path(__file__).parents[1]
CLUSTER = "dropscore-local"
NAMESPACE = "dropscore"
INPUT_BUCKET, INPUT_PREFIX = "dropscore-input", "incoming/"
OUTPUT_BUCKET, OUTPUT_PREFIX = "dropscore-output", "scored/"
# Taken where they are free, so that what a shell was told stays true for the next stack.
PORTS = {"aws": 4566, "kubernetes": 16443, "gateway": 18080}


def cluster_file(state: Path) -> Path:
    """Say where the embedded cluster writes what it is, as soon as it serves."""
    return state / "cluster/cluster.json"


def start(state: Path, processes: Processes, host: str, wait_scale: float) -> str:
    """Start the embedded AWS and the embedded cluster, wait for both, and give the endpoint of the AWS.

    They are told of each other by addresses and a secret chosen here: the cluster has tokens reviewed by the AWS, which
    describes the cluster to who asks its EKS.
    """
    port = {name: free_port(host, preferred) for name, preferred in PORTS.items()}
    endpoint_url = f"http://{host}:{port['aws']}"
    secret = secrets.token_hex(24)
    token_review = f"_ministack/eks-auth/{account.ACCOUNT}/{account.REGION}/{CLUSTER}/{secret}"
    cluster_file(state).unlink(missing_ok=True)
    temporary = state / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(temporary)}
    aws = processes.start(
        "aws",
        [
            *(ROOT / ".venv-ministack/bin/python", "-m", "local.aws"),
            *("--host", host),
            *("--port", str(port["aws"])),
            *("--lambda-python", ROOT / ".venv-lambda/bin/python"),
            *("--cache", state / "lambda"),
            *("--cluster-name", CLUSTER),
            *("--cluster-file", cluster_file(state)),
            *("--token-review-secret", secret),
            *("--wait-scale", str(wait_scale)),
        ],
        env=env,
        cwd=ROOT,
        log=state / "logs/aws.log",
    )
    cluster = processes.start(
        "cluster",
        [
            *(sys.executable, "-m", "local.cluster"),
            *("--state-dir", cluster_file(state).parent),
            *("--host", host),
            *("--port", str(port["kubernetes"])),
            *("--gateway-port", str(port["gateway"])),
            *("--token-review-url", f"{endpoint_url}/{token_review}"),
            *("--registry-url", endpoint_url),
            *("--path", ROOT / ".venv-models/bin"),
        ],
        env=env,
        cwd=ROOT,
        log=state / "logs/cluster.log",
    )
    wait_until(lambda: answers(f"{endpoint_url}/_ministack/health"), "The embedded AWS", aws)
    wait_until(cluster_file(state).exists, "The embedded cluster", cluster)
    return endpoint_url


def create_eks_cluster(endpoint_url: str) -> None:
    """Create the EKS cluster as an administrator would, unless it is there."""
    eks, iam = account.client(endpoint_url, "eks"), account.client(endpoint_url, "iam")
    if CLUSTER in eks.list_clusters()["clusters"]:
        return
    trust = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=f"{CLUSTER}-cluster", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    access = {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    eks.create_cluster(name=CLUSTER, roleArn=role, resourcesVpcConfig={"subnetIds": []}, accessConfig=access)
    eks.get_waiter("cluster_active").wait(name=CLUSTER, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def build_models() -> dict[str, images.Image]:
    """Build an image of each example model; the folder's name is the repository's."""
    folders = sorted(dockerfile.parent for dockerfile in (ROOT / "models").glob("*/Dockerfile"))
    return {folder.name: images.build(folder, ROOT / ".venv-models/bin/python") for folder in folders}


def push_models(endpoint_url: str, built: dict[str, images.Image]) -> None:
    """Push the images to ECR, as `latest`."""
    for repository, image in built.items():
        images.push(account.client(endpoint_url, "ecr"), image, repository, tag="latest")


def template_parameters(gateway_url: str) -> dict[str, str]:
    """Give the template's parameters for the embedded stack."""
    cluster = {"namespaces": [NAMESPACE], "route": "gateway", "url": gateway_url}
    return {
        "InputBucketName": INPUT_BUCKET,
        "InputPrefix": INPUT_PREFIX,
        "OutputBucketName": OUTPUT_BUCKET,
        "OutputPrefix": OUTPUT_PREFIX,
        "DefaultModelImage": "sas-anomaly:latest",
        "DefaultProtocol": "sas",
        "DefaultEksCluster": CLUSTER,
        "Clusters": json.dumps({CLUSTER: cluster}),
    }


def free_port(host: str, preferred: int) -> int:
    """Find a port that nobody listens on: the preferred one, or any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackFailed(f"No port can be opened on {host}: is it an address of this machine?")


def answers(url: str) -> bool:
    """Tell whether a server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
