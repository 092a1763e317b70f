"""``python -m local.foreign``: run the front of a cluster in the foreground until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from pathlib import Path

import aiohttp
from aiohttp import web

from local.cluster import certificates
from local.cluster.tokens import TOKEN_SECONDS, TokenReviews
from local.foreign.front import Front
from local.foreign.kubeconfig import Upstream

_log = logging.getLogger(__name__)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, and announce it in cluster.json as an embedded cluster does."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    upstream = Upstream.load(options.kubeconfig, options.context)
    context, ca_file = certificates.issue(options.state_dir, options.host)
    async with (
        aiohttp.ClientSession() as aws,
        aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as cluster,
    ):
        reviews = TokenReviews(aws, options.token_review_url, options.token_seconds)
        runner = web.ServerRunner(Front(reviews, upstream, cluster).server(), shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port, ssl_context=context).start()
            _announce(options, ca_file)
            await stopped.wait()
        finally:
            await runner.cleanup()


def _announce(options: argparse.Namespace, ca_file: Path) -> None:
    description = {
        "api_url": f"https://{options.host}:{options.port}",
        "ca_file": str(ca_file),
        "gateway_url": options.url,
        "kubeconfig": options.kubeconfig,
        "pid": os.getpid(),
    }
    draft = options.state_dir / "cluster.json.new"
    draft.write_text(json.dumps(description, indent=2) + "\n")
    _log.info("serving at %s", description["api_url"])
    draft.replace(options.state_dir / "cluster.json")


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.foreign", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where cluster.json is put")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port of the API server (TLS)")
    parser.add_argument("--token-review-url", required=True, help="the TokenReview webhook")
    parser.add_argument("--token-seconds", type=float, default=TOKEN_SECONDS, help="how long tokens of AWS live")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--context", required=True)
    parser.add_argument("--url", default="", help="where the cluster's gateway or ingress is reached")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
