"""The embedded stack: an AWS, a Kubernetes cluster, the deployed template and the example models, on this machine.

    python -m local.stack up | down | status

`up` may be called again, by several processes at once, and rebuilds and redeploys what has changed since; a change of
local/ itself starts a new stack. What it starts outlives its caller, until `down`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from local import account, docker, parts, sam
from local.cluster.tokens import TOKEN_SECONDS
from local.clusters import Clusters, Embedded
from local.foreign import Foreign, leave
from local.processes import Processes, StackFailed

# What a shell makes of SIGINT.
INTERRUPTED = 130

T = TypeVar("T")
Report = Callable[[str], None]
Prepare = Callable[[str], Mapping[str, str]]

STATE = parts.ROOT / ".local"
ENVIRONMENTS = (".venv", ".venv-ministack", ".venv-lambda", ".venv-sam", ".venv-models")


@dataclass(frozen=True)
class Stack:
    """A running stack: where it is reached, and what is deployed on it."""

    host: str
    endpoint_url: str
    gateway_url: str
    kubeconfig: str
    context: str  # of the kubeconfig; empty for its current one
    cluster: str
    namespace: str
    images: dict[str, str]  # what the tag model_image names, by the folder of the model
    foreign: dict[str, str]  # the cluster of yours that it is on; empty for the embedded ones
    input_bucket: str
    input_prefix: str
    output_bucket: str
    output_prefix: str
    score_file_arn: str
    attempt_arn: str
    user: dict[str, str]  # credentials of a user of the folder
    logs: str
    machinery: str  # what it was started from, as a fingerprint
    fingerprint: str  # what was deployed

    def client(self, service: str) -> Any:
        """Make a boto3 client for the stack's administrator."""
        return account.client(self.endpoint_url, service)

    def user_client(self, service: str) -> Any:
        """Make a boto3 client for a user of the folder."""
        return account.client(self.endpoint_url, service, self.user)

    def environment(self) -> dict[str, str]:
        """Give what `aws` and `kubectl` need in their environment to reach this stack as its administrator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **account.CREDENTIALS,
            "AWS_DEFAULT_REGION": account.REGION,
            "KUBECONFIG": self.kubeconfig,
        }


def up(
    state_dir: Path = STATE,
    host: str = "127.0.0.1",
    parameters: Mapping[str, str] | None = None,
    wait_scale: float = 1.0,
    token_seconds: float = TOKEN_SECONDS,
    foreign: Foreign | None = None,
    report: Report = print,
    prepare: Prepare = lambda _: {},
) -> Stack:
    """Bring the stack up, or up to date, and say what it is.

    Parameters
    ----------
    state_dir
        Where the stack keeps what is its own: logs, pods, the numbers of its processes. One stack a folder.
    host
        Address to listen on; another one than loopback only for containers that have to reach the stack.
    parameters
        Of the template, where they are not to be the usual ones.
    wait_scale
        Factor on the delays of Wait and Retry in the workflows; counts when the stack is started.
    token_seconds
        How long the clusters take a token of AWS; counts when the stack is started.
    foreign
        The cluster of yours that pods are to run on, in the place of the embedded ones.
    report
        Gets a line for each step, with the seconds it took.
    prepare
        Makes in the account, whose endpoint it is told, what has to be there before each deployment; gives more parameters.

    Raises
    ------
    StackFailed
        A step failed; the message has the end of its log.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(state_dir / "lock"):
        return _Start(
            state_dir.resolve(), host, parameters or {}, wait_scale, token_seconds, foreign, report, prepare
        ).run()


def down(state_dir: Path = STATE) -> None:
    """End the stack and all that runs in it. Does nothing if there is none.

    Raises
    ------
    StackFailed
        What it has made in a cluster of yours may be left there; the message says how it is removed.
    """
    if state_dir.exists():
        with FileLock(state_dir / "lock"):
            Processes(state_dir / "processes.json").end()
            (state_dir / "stack.json").unlink(missing_ok=True)
            # What a cluster removes itself, unless it was killed.
            for cluster in parts.clusters_folder(state_dir).glob("*/"):
                docker.remove_of(cluster)
            leave(state_dir)


def status(state_dir: Path = STATE) -> Stack | None:
    """Say what runs; None if the stack is not up."""
    record = state_dir / "stack.json"
    if not record.exists() or not Processes(state_dir / "processes.json").all_alive():
        return None
    try:
        return Stack(**json.loads(record.read_text()))
    except TypeError:  # written by another version of this code
        return None


def check(stack: Stack) -> None:
    """Say at once when there is no use in waiting for a stack.

    Raises
    ------
    StackFailed
        A part of it has ended; the message has the end of its log.
    """
    Processes(Path(stack.logs).parent / "processes.json").check()


class _Start:
    """One call of `up`: its steps, and what they share."""

    def __init__(
        self,
        state: Path,
        host: str,
        parameters: Mapping[str, str],
        wait_scale: float,
        token_seconds: float,
        foreign: Foreign | None,
        report: Report,
        prepare: Prepare,
    ) -> None:
        self._state, self._host, self._parameters = state, host, parameters
        self._wait_scale, self._token_seconds, self._report = wait_scale, token_seconds, report
        self._prepare = prepare
        self._foreign = foreign
        self._clusters = _clusters(state, foreign)
        self._logs = state / "logs"
        self._processes = Processes(state / "processes.json")

    def run(self) -> Stack:
        for name in ENVIRONMENTS:
            if not (parts.ROOT / name / ".installed").exists():
                raise StackFailed(f"{name} is not installed: run `make setup`.")
        running = status(self._state)
        machinery = sam.fingerprint(parts.ROOT, ("local", "requirements"))
        if running and running.machinery != machinery:
            running = None  # the code that runs it has changed
        wanted = sam.fingerprint(parts.ROOT, (*sam.SOURCES, "models", "cluster"), sorted(self._parameters.items()))
        if running and running.host != self._host:
            raise StackFailed(f"The stack is up on {running.host}, not on {self._host}: run `make down` first.")
        if running and running.foreign != self._described_foreign:
            where = running.foreign.get("context", "the embedded clusters")
            raise StackFailed(f"The stack is up on {where}: run `make down` first, or say the same variables as then.")
        if running and running.fingerprint == wanted:
            return running
        self._logs.mkdir(exist_ok=True)
        self._clusters.check()
        if running:
            return self._bring_up(machinery, wanted, running.endpoint_url)
        # An outdated stack, or what a killed run has left.
        self._processes.end()
        leave(self._state)
        try:
            return self._bring_up(machinery, wanted)
        except StackFailed:
            self._end()
            raise
        except Exception:
            try:
                # Mostly, what failed is only who called a part that has ended.
                self._processes.check()
            finally:
                self._end()
            raise
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        """End what has been started, since no stack comes of it."""
        self._processes.end()
        try:
            leave(self._state)
        except StackFailed as failure:
            self._report(str(failure))  # why there is no stack is said after it

    @property
    def _described_foreign(self) -> dict[str, str]:
        return asdict(self._foreign) if self._foreign else {}

    def _bring_up(self, machinery: str, wanted: str, endpoint_url: str | None = None) -> Stack:
        """Run the steps, side by side where they allow it; without `endpoint_url` from the start."""
        with ThreadPoolExecutor() as pool:

            def side(name: str, do: Callable[[], T], after: Future[Any] | None = None) -> Future[T]:
                return pool.submit(self._step, name, do, after)

            template = side("sam build", lambda: sam.build(parts.ROOT, parts.BUILD, self._logs / "sam-build.log"))
            models = side("model images built", self._clusters.build)
            if endpoint_url is None:
                endpoint_url = self._step("AWS and cluster started", self._start)
            aws = endpoint_url
            published = side("model images pushed", lambda: self._clusters.publish(aws, models.result()), after=models)
            applied = side("cluster/ applied", self._clusters.apply)
            self._step("EKS clusters created", lambda: parts.create_eks_clusters(aws, self._clusters.routes))
            images, settings = published.result(), applied.result()
            parameters = {**parts.template_parameters(settings, images), **self._parameters, **self._prepare(aws)}
            self._step("sam deploy", lambda: self._deploy(template.result(), aws, parameters), after=template)
        return self._deployed(aws, settings[parts.CLUSTER], images, machinery, wanted)

    def _deploy(self, template: Path, endpoint_url: str, parameters: Mapping[str, str]) -> None:
        log = self._logs / "sam-deploy.log"
        sam.deploy(parts.ROOT, template, endpoint_url, parameters, log, self._processes.check)

    def _start(self) -> str:
        return parts.start(
            self._state, self._processes, self._host, self._wait_scale, self._token_seconds, self._clusters
        )

    def _step(self, name: str, do: Callable[[], T], after: Future[Any] | None = None) -> T:
        if after:
            after.result()
        began = time.monotonic()
        result = do()
        self._report(f"  {name:<26}{time.monotonic() - began:6.1f} s")
        return result

    def _deployed(
        self, endpoint_url: str, settings: Mapping[str, Any], images: dict[str, str], machinery: str, wanted: str
    ) -> Stack:
        client = account.client(endpoint_url, "cloudformation")
        described = client.describe_stacks(StackName=sam.STACK_NAME)["Stacks"][0]
        value = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        parts.create_access_entries(endpoint_url, self._clusters.routes, value["ClusterRoles"])
        known = status(self._state)
        kubeconfig, context = self._clusters.access()
        stack = Stack(
            host=self._host,
            endpoint_url=endpoint_url,
            gateway_url=settings["url"],
            kubeconfig=kubeconfig,
            context=context,
            cluster=parts.CLUSTER,
            namespace=settings["namespaces"][0],
            images=images,
            foreign=self._described_foreign,
            input_bucket=parts.INPUT_BUCKET,
            input_prefix=parts.INPUT_PREFIX,
            output_bucket=parts.OUTPUT_BUCKET,
            output_prefix=parts.OUTPUT_PREFIX,
            score_file_arn=value["ScoreFileStateMachineArn"],
            attempt_arn=value["AttemptStateMachineArn"],
            user=parts.create_user(endpoint_url, value["UsersPolicyArn"], known.user if known else {}),
            logs=str(self._logs),
            machinery=machinery,
            fingerprint=wanted,
        )
        (self._state / "stack.json").write_text(json.dumps(asdict(stack), indent=2))
        return stack


def _clusters(state: Path, foreign: Foreign | None) -> Clusters:
    if foreign is None:
        return Embedded(state)
    from local.foreign.yours import Yours  # not before, since the Kubernetes client takes its time

    return Yours(state, foreign)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description="The embedded stack.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--state-dir", type=Path, default=STATE, help="default: .local")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options = parser.parse_args()
    try:
        if options.command == "down":
            down(options.state_dir)
            return
        if options.command == "up":
            stack: Stack | None = up(options.state_dir, options.host, foreign=Foreign.asked())
        else:
            stack = status(options.state_dir)
    except StackFailed as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if stack is None:
        sys.exit("The stack is not up.")
    print(
        f"The stack is up. Drop files in s3://{stack.input_bucket}/{stack.input_prefix}; for .venv/bin/dropscore, aws and kubectl:"
    )
    for name, value in stack.environment().items():
        print(f"  export {name}={value}")
    if stack.foreign:
        print(f"Pods run in the namespace {stack.namespace} of your cluster: kubectl --context {stack.context} …")
        print(f"Its images are named by digest: {', '.join(stack.images.values())}")
    print("A user of the folder, who may drop files, follow them and read what comes of them, has instead:")
    for name, value in stack.user.items():
        print(f"  export {name}={value}")
    print(
        "With these, `.venv/bin/dropscore ui` shows the files as a page, and `.venv/bin/dropscore score FILE` drops one."
    )


if __name__ == "__main__":
    main()
