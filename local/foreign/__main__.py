"""``python -m local.foreign``: run the front of a cluster in the foreground until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

from local.cluster import certificates, serving
from local.cluster.listener import Listener
from local.cluster.tokens import TOKEN_SECONDS, TokenReviews
from local.foreign.front import Front
from local.foreign.kubeconfig import Upstream

_log = logging.getLogger(__name__)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, and announce it in cluster.json as an embedded cluster does."""
    loop = asyncio.get_running_loop()
    stopped = serving.until_stopped(loop)
    upstream = Upstream.load(options.kubeconfig, options.context)
    context, ca_file = certificates.issue(options.state_dir, options.host)
    async with (
        aiohttp.ClientSession() as aws,
        aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as cluster,
    ):
        front = Front(TokenReviews(aws, options.token_review_url, options.token_seconds), upstream, cluster)
        listener = Listener(
            lambda: web.ServerRunner(front.server(), shutdown_timeout=1),
            options.host,
            options.port,
            context,
            partial(serving.fail, stopped),
        )
        try:
            await listener.open()
            listener.obey(loop)
            _announce(options, ca_file)
            await stopped
        finally:
            await listener.close()


def _announce(options: argparse.Namespace, ca_file: Path) -> None:
    description = {
        "api_url": f"https://{options.host}:{options.port}",
        "ca_file": str(ca_file),
        "kubeconfig": options.kubeconfig,
    }
    _log.info("serving at %s", description["api_url"])
    serving.announce(options.state_dir, description)


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
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
