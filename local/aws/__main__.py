"""Start MiniStack in the foreground, with IAM enforced and our repairs applied: `python -m local.aws --port 4566 …`."""

import argparse
import importlib.metadata
import os
import sys
from pathlib import Path

MINISTACK_VERSION = "1.5.33"


def main() -> None:
    options = parse_options()
    installed = importlib.metadata.version("ministack")
    if installed != MINISTACK_VERSION:
        sys.exit(
            f"local/aws repairs the inside of MiniStack {MINISTACK_VERSION}, but {installed} is installed. "
            "Run `make clean setup`; to move to another version, check each repair in local/aws/ first."
        )
    # MiniStack reads its settings from the environment while it is imported.
    os.environ.update(
        AUTH="true",
        BIND_HOST=options.host,
        MINISTACK_HOST=options.host,
        GATEWAY_PORT=str(options.port),
        AWS_ENDPOINT_URL=f"http://{options.host}:{options.port}",
        SFN_WAIT_SCALE=str(options.wait_scale),
    )
    from local.aws import access, clusters, containers, functions, images, keys, objects, versions, workflows

    access.repair()
    functions.repair(python=options.lambda_python, cache=options.cache)
    clusters.repair(options.clusters_folder, token_review_secret=options.token_review_secret)
    containers.repair()
    images.repair()
    keys.repair()
    objects.repair()
    versions.repair()
    workflows.repair()

    from ministack import app

    sys.argv = ["ministack"]  # it parses its own
    app.main()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.aws", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to and to be reached at")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lambda-python", type=Path, required=True, help="interpreter that has awslambdaric and boto3")
    parser.add_argument("--cache", type=Path, required=True, help="folder for unpacked functions and layers; kept")
    parser.add_argument(
        "--clusters-folder", type=Path, required=True, help="<name>/cluster.json of each embedded cluster"
    )
    parser.add_argument("--token-review-secret", required=True, help="last segment of the token review URL")
    parser.add_argument("--wait-scale", type=float, default=1.0, help="factor on Wait and Retry delays of workflows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
