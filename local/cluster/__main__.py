"""``python -m local.cluster``: run the embedded cluster in the foreground until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from local.cluster.node import Capacity
from local.cluster.server import Settings, serve
from local.cluster.tokens import TOKEN_SECONDS


def main() -> None:
    """Parse the command line and serve."""
    default = Capacity()
    parser = argparse.ArgumentParser(prog="python -m local.cluster", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where cluster.json, images and pods are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port of the API server (TLS)")
    parser.add_argument("--gateway-port", type=int, required=True, help="port of the gateway (plain HTTP)")
    parser.add_argument("--registry-url", required=True, help="the registry that all images are pulled from")
    parser.add_argument("--token-review-url", help="the TokenReview webhook for tokens other than the administrator's")
    parser.add_argument(
        "--token-seconds", type=float, default=TOKEN_SECONDS, help="how long tokens of AWS live (default: %(default)s)"
    )
    parser.add_argument("--node-cpu", default=default.cpu, help="the node's cpus (default: this machine's)")
    parser.add_argument("--node-memory", default=default.memory, help="the node's memory (default: this machine's)")
    parser.add_argument("--node-pods", default=default.pods, help="pods at a time (default: %(default)s)")
    parser.add_argument("--node-gpus", default=default.gpus, help="nvidia.com/gpu offered (default: %(default)s)")
    parser.add_argument("--node-label", action="append", default=[], metavar="KEY=VALUE", help="a label of the node")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings(
        state_dir=options.state_dir,
        host=options.host,
        port=options.port,
        gateway_port=options.gateway_port,
        registry_url=options.registry_url,
        token_review_url=options.token_review_url,
        token_seconds=options.token_seconds,
        capacity=Capacity(options.node_cpu, options.node_memory, options.node_pods, options.node_gpus),
        node_labels=dict(label.split("=", 1) for label in options.node_label),
    )
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
