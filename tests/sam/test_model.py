"""A model of one's own, from a folder: Docker runs its pods as a cluster would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import docker, model, parts, sam
from local.stack import Stack
from tests.e2e.pipeline import Pipeline, wait_for
from tests.sam.images import base_image

pytestmark = pytest.mark.sam
# Tells for each record what it finds itself to be; one that says so takes more memory than there is, or its time.
APP = """
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

def is_writable(path):
    try:
        Path(path, "witness").write_text("")
    except OSError:
        return False
    return True

def told():
    status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    memory = next(Path(path).read_text().strip() for path in limits if Path(path).exists())
    return [os.getuid(), is_writable("/home"), is_writable("/tmp"), status["CapEff"].strip(), memory]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        if any("much" in line for line in lines):
            b"." * (1 << 31)
        if any("slow" in line for line in lines):
            print("scoring", flush=True)
            time.sleep(3)
        self.answer(200, "".join(",".join(map(str, told())) + "\\n" for line in lines).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("serving", flush=True)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def image(stack: Stack, profile: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("of-mine")
    (folder / "app.py").write_text(APP)
    steps = [f"FROM {base_image()}", "RUN chmod 777 /home", "COPY app.py /app.py", "USER 1234:1234", "WORKDIR /tmp"]
    (folder / "Dockerfile").write_text("\n".join([*steps, 'ENTRYPOINT ["python3", "/app.py"]', "CMD []"]))
    return model.publish(stack, folder)


@pytest.fixture(scope="module")
def profile(stack: Stack) -> Iterator[str]:
    """A profile that is there before the first file: what was read is kept for a minute."""
    name = f"/{sam.STACK_NAME}/profiles/frozen"
    value = json.dumps({"read_only_root": True, "run_as_user": 4321})
    stack.client("ssm").put_parameter(Name=name, Type="String", Value=value)
    yield "frozen"
    stack.client("ssm").delete_parameter(Name=name)


def in_docker(stack: Stack) -> str:
    """The name in Docker of the cluster that files go to."""
    return docker.name_of(parts.clusters_folder(Path(stack.logs).parent) / stack.cluster)


def of_docker(stack: Stack) -> list[str]:
    """The containers that Docker has for that cluster."""
    label = f"label={docker.LABEL}={in_docker(stack)}"
    return docker.docker("ps", "--all", "--quiet", "--filter", label).stdout.split()


def test_its_pod_is_a_container_with_the_user_the_limits_and_the_rights_that_the_pod_has(
    pipeline: Pipeline, stack: Stack, image: str
) -> None:
    execution = pipeline.drop("of-mine.csv", b"id\n7\n8\n", model_image=image, protocol="auto", memory="300Mi")
    told = b"1234,True,True,0000000000000000,%d" % (300 * 2**20)
    outcome = pipeline.outcome(execution)
    assert outcome.lines[1:] == [b"7," + told, b"8," + told]
    pipeline.assert_nothing_left(execution)
    assert '"Internal": true' in docker.docker("network", "inspect", in_docker(stack)).stdout
    wait_for("the end of its container", lambda: not of_docker(stack))


def test_what_its_profile_says_of_the_pod_counts_for_the_container(
    pipeline: Pipeline, image: str, profile: str
) -> None:
    execution = pipeline.drop("frozen.csv", b"id\n7\n", model_image=image, protocol="sagemaker", profile=profile)
    (line,) = pipeline.outcome(execution).lines[1:]
    assert line.startswith(b"7,4321,False,True,")


def test_one_that_takes_more_memory_than_it_may_is_killed_and_told_so(
    pipeline: Pipeline, stack: Stack, image: str
) -> None:
    execution = pipeline.drop("much.csv", b"id\nmuch\n", model_image=image, protocol="sagemaker", memory="128Mi")
    error = pipeline.outcome(execution).error
    assert "memory" in error["summary"]
    assert error["pod"]["log_tail"][0] == "serving"
    wait_for("the end of its container", lambda: not of_docker(stack))


def test_one_that_docker_has_no_more_is_launched_again(pipeline: Pipeline, stack: Stack, image: str) -> None:
    execution = pipeline.drop("slow.csv", b"id\nslow\n", model_image=image, protocol="sagemaker")

    def scoring() -> str:
        return next((one for one in of_docker(stack) if "scoring" in docker.logs(one)), "")

    docker.remove(wait_for("the container at work", scoring))
    assert len(pipeline.outcome(execution).lines) == 2
    pipeline.assert_nothing_left(execution)


def test_one_that_cannot_be_started_says_what_docker_says(pipeline: Pipeline, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {base_image()}\nUSER 1000\nENTRYPOINT ["/no-such-program"]\nCMD []\n')
    image = model.publish(stack, tmp_path)
    error = pipeline.outcome(pipeline.drop("none.csv", b"id\n7\n", model_image=image)).error
    assert "/no-such-program" in error["summary"]
    assert "no such file" in error["summary"]
