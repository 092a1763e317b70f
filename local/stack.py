"""The embedded stack: an AWS, a Kubernetes cluster, the deployed template and the example models, on this machine.

    python -m local.stack up | down | status

`up` may be called again, by several processes at once, and rebuilds and redeploys what has changed since. What it
starts outlives its caller, until `down`.
"""

import argparse
import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from local import account, images
from local.cluster.apply import apply
from local.processes import Processes, StackFailed, wait_until
from local.sam import SOURCES, STACK_NAME, Sam, fingerprint

T = TypeVar("T")
Report = Callable[[str], None]

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".local"
ENVIRONMENTS = (".venv", ".venv-ministack", ".venv-lambda", ".venv-sam", ".venv-models")
PORTS = {"aws": 4566, "api": 16443, "gateway": 18080}  # where they are free: a shell's settings then stay valid

CLUSTER = "dropscore-local"
NAMESPACE = "dropscore"
INPUT = ("dropscore-input", "incoming/")
OUTPUT = ("dropscore-output", "scored/")


@dataclass(frozen=True)
class Stack:
    """A running stack: where it is reached, and what is deployed on it."""

    host: str
    endpoint_url: str
    gateway_url: str
    kubeconfig: str
    cluster: str
    input_bucket: str
    input_prefix: str
    output_bucket: str
    output_prefix: str
    score_file_arn: str
    attempt_arn: str
    logs: str
    fingerprint: str

    def client(self, service: str) -> Any:
        """Make a boto3 client for the stack's administrator."""
        return account.client(self.endpoint_url, service)

    def environment(self) -> dict[str, str]:
        """Give what `aws` and `kubectl` need in their environment to reach this stack."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **account.CREDENTIALS,
            "AWS_DEFAULT_REGION": account.REGION,
            "KUBECONFIG": self.kubeconfig,
        }


def up(state_dir: Path = STATE, host: str = "127.0.0.1", wait_scale: float = 1.0, report: Report = print) -> Stack:
    """Bring the stack up, or up to date, and say what it is.

    Parameters
    ----------
    state_dir
        Where the stack keeps all it has: logs, builds, the numbers of its processes. One stack a folder.
    host
        Address to listen on; another one than loopback only for containers that have to reach the stack.
    wait_scale
        Factor on the delays of Wait and Retry in the workflows; counts when the stack is started.
    report
        Gets a line for each step, with the seconds it took.

    Raises
    ------
    StackFailed
        A step failed; the message has the end of its log.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(state_dir / "lock"):
        return _Start(state_dir.resolve(), host, wait_scale, report).run()


def down(state_dir: Path = STATE) -> None:
    """End the stack and all that runs in it. Does nothing if there is none."""
    if state_dir.exists():
        with FileLock(state_dir / "lock"):
            Processes(state_dir / "processes.json").end()
            (state_dir / "stack.json").unlink(missing_ok=True)


def status(state_dir: Path = STATE) -> Stack | None:
    """Say what runs; None if the stack is not up."""
    record = state_dir / "stack.json"
    if not record.exists() or not Processes(state_dir / "processes.json").all_alive():
        return None
    return Stack(**json.loads(record.read_text()))


class _Start:
    """One call of `up`: its steps, and what they share."""

    def __init__(self, state: Path, host: str, wait_scale: float, report: Report) -> None:
        self._state, self._host, self._wait_scale, self._report = state, host, wait_scale, report
        self._logs = state / "logs"
        self._cluster_file = state / "cluster/cluster.json"
        self._processes = Processes(state / "processes.json")
        self._sam = Sam(ROOT, state / "sam", self._logs)

    def run(self) -> Stack:
        for name in ENVIRONMENTS:
            if not (ROOT / name / ".installed").exists():
                raise StackFailed(f"{name} is not installed: run `make setup`.")
        running = status(self._state)
        wanted = fingerprint(ROOT, (*SOURCES, "models", "cluster"))
        if running and running.host != self._host:
            raise StackFailed(f"The stack is up on {running.host}, not on {self._host}: run `make down` first.")
        if running and running.fingerprint == wanted:
            return running
        self._logs.mkdir(exist_ok=True)
        try:
            return self._bring_up(running and running.endpoint_url, wanted)
        except BaseException:
            if not running:
                self._processes.end()
            raise

    def _bring_up(self, endpoint_url: str | None, wanted: str) -> Stack:
        with ThreadPoolExecutor() as pool:
            built = pool.submit(self._step, "sam build", self._sam.build)
            models = pool.submit(self._step, "model images built", build_models)
            endpoint_url = endpoint_url or self._step("AWS and cluster started", self._start)
            cluster = json.loads(self._cluster_file.read_text())

            def push_models() -> None:
                for model, image in models.result().items():
                    images.push(account.client(endpoint_url, "ecr"), image, repository=model, tag="latest")

            applied = pool.submit(
                self._step, "cluster/ applied", lambda: apply(cluster["kubeconfig"], ROOT / "cluster")
            )
            pushed = pool.submit(self._step, "model images pushed", push_models, after=models)
            self._step("EKS cluster created", lambda: create_cluster(endpoint_url))
            built.result()
            self._step("sam deploy", lambda: self._sam.deploy(endpoint_url, parameters(cluster["gateway_url"])))
            applied.result()
            pushed.result()
        outputs = account.client(endpoint_url, "cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0][
            "Outputs"
        ]
        value = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        stack = Stack(
            host=self._host,
            endpoint_url=endpoint_url,
            gateway_url=cluster["gateway_url"],
            kubeconfig=cluster["kubeconfig"],
            cluster=CLUSTER,
            input_bucket=INPUT[0],
            input_prefix=INPUT[1],
            output_bucket=OUTPUT[0],
            output_prefix=OUTPUT[1],
            score_file_arn=value["ScoreFileStateMachineArn"],
            attempt_arn=value["AttemptStateMachineArn"],
            logs=str(self._logs),
            fingerprint=wanted,
        )
        (self._state / "stack.json").write_text(json.dumps(asdict(stack), indent=2))
        return stack

    def _start(self) -> str:
        """Start MiniStack and the embedded cluster; they know each other by addresses chosen here."""
        self._processes.end()  # what a killed run has left
        self._cluster_file.unlink(missing_ok=True)
        temporary = self._state / "tmp"
        temporary.mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
        port = {name: free_port(self._host, preferred) for name, preferred in PORTS.items()}
        endpoint_url = f"http://{self._host}:{port['aws']}"
        secret = secrets.token_hex(24)
        # fmt: off
        aws = self._processes.start("aws", [
            ROOT / ".venv-ministack/bin/python", "-m", "local.aws",
            "--host", self._host, "--port", str(port["aws"]), "--wait-scale", str(self._wait_scale),
            "--lambda-python", ROOT / ".venv-lambda/bin/python", "--cache", self._state / "lambda",
            "--cluster-name", CLUSTER, "--cluster-file", self._cluster_file, "--token-review-secret", secret,
        ], env, cwd=ROOT, log=self._logs / "aws.log")
        cluster = self._processes.start("cluster", [
            sys.executable, "-m", "local.cluster", "--state-dir", self._cluster_file.parent,
            "--host", self._host, "--port", str(port["api"]), "--gateway-port", str(port["gateway"]),
            "--token-review-url", f"{endpoint_url}/_ministack/eks-auth/{account.ACCOUNT}/{account.REGION}/{CLUSTER}/{secret}",
            "--registry-url", endpoint_url, "--path", ROOT / ".venv-models/bin",
        ], env, cwd=ROOT, log=self._logs / "cluster.log")
        # fmt: on
        wait_until(lambda: answers(f"{endpoint_url}/_ministack/health"), "The embedded AWS", aws)
        wait_until(self._cluster_file.exists, "The embedded cluster", cluster)
        return endpoint_url

    def _step(self, name: str, do: Callable[[], T], after: Future[Any] | None = None) -> T:
        if after is not None:
            after.result()
        began = time.monotonic()
        result = do()
        self._report(f"  {name:<26}{time.monotonic() - began:6.1f} s")
        return result


def parameters(gateway_url: str) -> dict[str, str]:
    """Give the template's parameters for the embedded stack."""
    cluster = {"namespaces": [NAMESPACE], "route": "gateway", "url": gateway_url}
    return {
        "InputBucketName": INPUT[0],
        "InputPrefix": INPUT[1],
        "OutputBucketName": OUTPUT[0],
        "OutputPrefix": OUTPUT[1],
        "DefaultModelImage": "sas-anomaly:latest",
        "DefaultProtocol": "sas",
        "DefaultEksCluster": CLUSTER,
        "Clusters": json.dumps({CLUSTER: cluster}),
    }


def build_models() -> dict[str, images.Image]:
    folders = sorted(dockerfile.parent for dockerfile in (ROOT / "models").glob("*/Dockerfile"))
    return {folder.name: images.build(folder, ROOT / ".venv-models/bin/python") for folder in folders}


def create_cluster(endpoint_url: str) -> None:
    """Create the EKS cluster, as its administrator would, unless there is one."""
    eks, iam = account.client(endpoint_url, "eks"), account.client(endpoint_url, "iam")
    if CLUSTER in eks.list_clusters()["clusters"]:
        return
    trust = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=f"{CLUSTER}-cluster", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    access = {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    eks.create_cluster(name=CLUSTER, roleArn=role, resourcesVpcConfig={"subnetIds": []}, accessConfig=access)
    eks.get_waiter("cluster_active").wait(name=CLUSTER, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def free_port(host: str, preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackFailed(f"No free port on {host}: is it an address of this machine?")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.stack", description="The embedded stack.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--state-dir", type=Path, default=STATE, help="default: .local")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options = parser.parse_args()
    if options.command == "down":
        down(options.state_dir)
        return
    try:
        stack = up(options.state_dir, options.host) if options.command == "up" else status(options.state_dir)
    except StackFailed as failure:
        sys.exit(str(failure))
    if stack is None:
        sys.exit("The stack is not up.")
    print(f"The stack is up; drop files in s3://{stack.input_bucket}/{stack.input_prefix}. For aws and kubectl:")
    for name, value in stack.environment().items():
        print(f"  export {name}={value}")


if __name__ == "__main__":
    main()
