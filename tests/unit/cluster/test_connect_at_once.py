"""Batches whose pod dies all ask the cluster at the same moment: in an interpreter that has never asked before."""

import os
import subprocess
import sys
from pathlib import Path

import scoring

_PROGRAM = """
import sys, threading
from scoring import aws
from scoring.cluster import api as clusters
assert "kubernetes" not in sys.modules
described = []
def describe(name, eks):
    described.append(name)
    return clusters.Endpoint(name, "https://127.0.0.1:1", CA)
clusters.describe = describe
aws.client = lambda service: None
barrier, found, failed = threading.Barrier(8), [], []
def ask():
    barrier.wait()
    try:
        found.append(clusters.connect("models"))
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
assert len(found) == 8 and len(set(map(id, found))) == 1 and described == ["models"]
assert not [name for name in sys.modules if name.startswith("kubernetes")]
"""


def test_all_of_them_get_the_same_answer() -> None:
    from botocore import __file__ as botocore

    end = b"-----END CERTIFICATE-----"
    bundle = Path(botocore).with_name("cacert.pem").read_bytes()
    authority = bundle[: bundle.index(end) + len(end)] + b"\n"
    environment = os.environ | {"PYTHONPATH": str(Path(scoring.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", f"CA = {authority!r}\n{_PROGRAM}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
