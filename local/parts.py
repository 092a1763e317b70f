"""The parts of the embedded stack, and how each of them is made ready."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import account
from local.processes import Processes, StackFailed, wait_until

if TYPE_CHECKING:
    from local.clusters import Clusters

ROOT = Path(__file__).parents[1]
# Made from the sources alone, and so shared by all stacks.
BUILD = ROOT / ".local/build"
UNPACKED = ROOT / ".local/functions"
MODELS_PYTHON = ROOT / ".venv-models/bin/python"

CLUSTER = "dropscore-local"
# Two clusters, so that both kinds of route are there: one with a gateway, as we recommend it, and one with an ingress.
CLUSTERS = {CLUSTER: "gateway", "dropscore-ingress": "ingress"}
NAMESPACE = "dropscore"
USER = "dropscore-user"
INPUT_BUCKET, INPUT_PREFIX = "dropscore-input", "incoming/"
OUTPUT_BUCKET, OUTPUT_PREFIX = "dropscore-output", "scored/"
# Taken by the usual stack where they are free, so that what a shell was told stays true for the next one. Stacks of tests
# start side by side and would fight for them.
PORTS = {"aws": 4566, "kubernetes": 16443, "gateway": 18080}
# Of others, one that the kernel gives to no connection that goes out (on Linux from 32768 on): it would be taken before the
# process that is to have it listens.
_FREE_PORTS = range(20_000, 32_000)


def cluster_file(state: Path, cluster: str = CLUSTER) -> Path:
    """Say where an embedded cluster writes what it is, as soon as it serves."""
    return clusters_folder(state) / cluster / "cluster.json"


def clusters_folder(state: Path) -> Path:
    """Say where the embedded clusters are, each in a folder of its name."""
    return state / "clusters"


def start(state: Path, processes: Processes, host: str, wait_scale: float, token_seconds: float, used: Clusters) -> str:
    """Start the embedded AWS and what the functions take for their clusters, wait for all, and give the AWS's endpoint.

    They are told of each other by addresses and a secret chosen here: a cluster has tokens reviewed by the AWS, which
    describes the cluster to who asks its EKS.
    """
    ports = PORTS if state == ROOT / ".local" else dict.fromkeys(PORTS, 0)
    endpoint_url = f"http://{host}:{free_port(host, ports['aws'])}"
    secret = secrets.token_hex(24)
    temporary = state / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(temporary)}
    aws = processes.start(
        "aws",
        [
            *(ROOT / ".venv-ministack/bin/python", "-m", "local.aws"),
            *("--host", host),
            *("--port", endpoint_url.rsplit(":", 1)[1]),
            *("--lambda-python", ROOT / ".venv-lambda/bin/python"),
            *("--cache", UNPACKED),
            *("--clusters-folder", clusters_folder(state)),
            *("--token-review-secret", secret),
            *("--wait-scale", str(wait_scale)),
        ],
        env=env,
        cwd=ROOT,
        log=state / "logs/aws.log",
    )
    clusters = {}
    for cluster in used.routes:
        served, known = cluster_file(state, cluster), ports if cluster == CLUSTER else {}
        served.parent.mkdir(parents=True, exist_ok=True)
        served.unlink(missing_ok=True)
        token_review = f"_ministack/eks-auth/{account.ACCOUNT}/{account.REGION}/{cluster}/{secret}"
        clusters[cluster] = processes.start(
            cluster,
            [
                *(sys.executable, "-m"),
                *used.program(endpoint_url, free_port(host, known.get("gateway", 0))),
                *("--state-dir", served.parent),
                *("--host", host),
                *("--port", str(free_port(host, known.get("kubernetes", 0)))),
                *("--token-review-url", f"{endpoint_url}/{token_review}"),
                *("--token-seconds", str(token_seconds)),
            ],
            env={**used.environment, **env},
            cwd=ROOT,
            log=state / f"logs/{cluster}.log",
        )
    wait_until(lambda: answers(f"{endpoint_url}/_ministack/health"), "The embedded AWS", aws)
    for cluster, process in clusters.items():
        wait_until(cluster_file(state, cluster).exists, f"The cluster {cluster}", process)
    return endpoint_url


def create_eks_clusters(endpoint_url: str, clusters: Collection[str]) -> None:
    """Create the EKS clusters as an administrator would, unless they are there."""
    eks, iam = account.client(endpoint_url, "eks"), account.client(endpoint_url, "iam")
    there = eks.list_clusters()["clusters"]
    trust = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    access = {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    for cluster in set(clusters) - set(there):
        role = iam.create_role(RoleName=f"{cluster}-cluster", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
        eks.create_cluster(name=cluster, roleArn=role, resourcesVpcConfig={"subnetIds": []}, accessConfig=access)
    for cluster in clusters:
        eks.get_waiter("cluster_active").wait(name=cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def create_access_entries(endpoint_url: str, clusters: Collection[str], cluster_roles: str) -> None:
    """Give the functions' roles access to the clusters that the template does not, as docs/deploy.md tells to.

    Parameters
    ----------
    cluster_roles
        The stack's output ClusterRoles: `<group>=<role>,<role> …`.
    """
    eks = account.client(endpoint_url, "eks")
    for cluster in set(clusters) - {CLUSTER}:
        there = eks.list_access_entries(clusterName=cluster)["accessEntries"]
        for line in cluster_roles.split():
            group, _, roles = line.partition("=")
            for role in roles.split(","):
                if role not in there:
                    eks.create_access_entry(clusterName=cluster, principalArn=role, kubernetesGroups=[group])


def create_user(endpoint_url: str, policy: str, known: Mapping[str, str]) -> dict[str, str]:
    """Give the credentials of a user of the folder, who may do what the template's UsersPolicy allows and nothing else.

    Parameters
    ----------
    policy
        The stack's output UsersPolicyArn.
    known
        The credentials that an earlier call gave. AWS shows a secret only once: they are kept while they count.
    """
    iam = account.client(endpoint_url, "iam")
    try:
        iam.create_user(UserName=USER)
    except iam.exceptions.EntityAlreadyExistsException:
        keys = {each["AccessKeyId"] for each in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]}
        if known.get("AWS_ACCESS_KEY_ID") in keys:
            return dict(known)
    iam.attach_user_policy(UserName=USER, PolicyArn=policy)
    made = iam.create_access_key(UserName=USER)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


def model_folders() -> dict[str, Path]:
    """Give the folder of each example model; its name is the repository's."""
    return {found.parent.name: found.parent for found in sorted((ROOT / "models").glob("*/Dockerfile"))}


def template_parameters(clusters: Mapping[str, Mapping[str, Any]], images: Mapping[str, str]) -> dict[str, str]:
    """Give the template's parameters for the embedded stack.

    Parameters
    ----------
    clusters
        The settings of each.
    images
        What the tag model_image names, by the folder of the model.
    """
    # Besides the account's own ECR, which is what the template allows by itself.
    registries = {image.rpartition("/")[0] for image in images.values()} - {""}
    allowed = [
        f"{account.ACCOUNT}.dkr.ecr.{account.REGION}.amazonaws.com/*",
        *(f"{one}/*" for one in sorted(registries)),
    ]
    return {
        "InputBucketName": INPUT_BUCKET,
        "InputPrefix": INPUT_PREFIX,
        "OutputBucketName": OUTPUT_BUCKET,
        "OutputPrefix": OUTPUT_PREFIX,
        "DefaultModelImage": images["sas-anomaly"],
        "DefaultEksCluster": CLUSTER,
        "Clusters": json.dumps(clusters),
        **({"AllowedModelImages": ",".join(allowed)} if registries else {}),
    }


def free_port(host: str, preferred: int = 0) -> int:
    """Find a port that nobody listens on: the preferred one, if it is not 0, or any."""
    for port in (*filter(None, [preferred]), *secrets.SystemRandom().sample(_FREE_PORTS, 20), 0):
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
