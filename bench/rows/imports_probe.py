"""Loads what a cold start of a function loads and prints what that took: run by imports.py in a fresh interpreter.

imports_probe.py                          a bare boto3 client
imports_probe.py plain|cluster PATH …     the handler `app` from these folders; with `cluster` the Kubernetes client, too
"""

import sys
import time

began = time.perf_counter()
if len(sys.argv) == 1:
    import boto3

    boto3.client("s3")
else:
    sys.path[:0] = sys.argv[2:]
    import app  # type: ignore[import-not-found]  # noqa: F401

    from scoring import aws

    aws.client("s3")
    if sys.argv[1] == "cluster":
        from pathlib import Path

        import botocore

        from scoring.cluster import api as clusters

        bundle = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
        end = b"-----END CERTIFICATE-----"
        clusters.Api(clusters.Endpoint("bench", "https://127.0.0.1:1", bundle[: bundle.index(end) + len(end)] + b"\n"))
seconds = time.perf_counter() - began

import importlib.util  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402

status = open("/proc/self/status").read()  # noqa: SIM115, PTH123
print(
    json.dumps(
        {
            "seconds": seconds,
            "mib": int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024,  # type: ignore[index]
            "kubernetes": importlib.util.find_spec("kubernetes") is not None,
        }
    )
)
