"""A stand-in for a model that costs next to nothing, in all three protocols: `python -m bench.model`.

It takes what it is sent at the speed of the wire, forgets it, and answers constant predictions, one for each newline
that came: what is measured is who feeds it. For files of data.py only (no newline inside a field).
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections import defaultdict

from aiohttp import web

from bench.standins import serve

SAS_HEADER, SAS_ROW = b"score,decision\n", b"0.123456,1\n"
_SAS_CHUNK_ROWS = 1 << 16
PREDICTION = b"0.123456"

# A multipart body adds two line ends behind the file: its own, and that of its last boundary.
_LINES_BEHIND = 2


async def pong(_: web.Request) -> web.Response:
    return web.Response(text="pong")


async def execute(request: web.Request) -> web.Response:
    """Take a file; the id of its execution is the number of its records."""
    await request.content.readuntil(b"\r\n\r\n")  # the head of the part
    lines = 0
    async for chunk in request.content.iter_any():
        lines += chunk.count(b"\n")
    return web.json_response({"id": str(lines - 1 - _LINES_BEHIND), "status": 201}, status=201)


async def log(_: web.Request) -> web.Response:
    return web.Response(text="Scoring...\nCompleted!\n")


async def result(request: web.Request) -> web.StreamResponse:
    records = int(request.match_info["id"])
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    response.content_length = len(SAS_HEADER) + records * len(SAS_ROW)
    await response.prepare(request)
    await response.write(SAS_HEADER)
    for start in range(0, records, _SAS_CHUNK_ROWS):
        await response.write(SAS_ROW * min(_SAS_CHUNK_ROWS, records - start))
    await response.write_eof()
    return response


async def invocations(request: web.Request) -> web.Response:
    """Answer a batch: JSON with a header in the batch (mlflow) or lines without one (sagemaker), as `Accept` asks."""
    lines = 0
    async for chunk in request.content.iter_any():
        lines += chunk.count(b"\n")
    as_json = "json" in request.headers.get("Accept", "")
    body = predictions(lines - 1, as_json=True) if as_json else predictions(lines, as_json=False)
    return web.Response(body=body, content_type="application/json" if as_json else "text/csv")


def predictions(rows: int, *, as_json: bool) -> bytes:
    if as_json:
        return b'{"predictions": [' + b", ".join([PREDICTION] * rows) + b"]}"
    return (PREDICTION + b"\n") * rows


SPEED = web.AppKey("speed", float)
BUSY = web.AppKey("busy", defaultdict[str, asyncio.Lock])


async def slow_invocations(request: web.Request) -> web.Response:
    """The same of a model, one of several by its path, that takes one request at a time and sleeps over it."""
    async with request.app[BUSY][request.match_info["pod"]]:
        answer = await invocations(request)
        await asyncio.sleep((request.content_length or 0) / request.app[SPEED])
        return answer


def application(speed: float = math.inf) -> web.Application:
    app = web.Application(client_max_size=0)
    app[SPEED], app[BUSY] = speed, defaultdict(asyncio.Lock)
    app.router.add_post("/{pod}/invocations", slow_invocations)
    app.router.add_get("/", pong)
    app.router.add_get("/ping", pong)
    app.router.add_post("/executions", execute)
    app.router.add_get("/query/{id}/log", log)
    app.router.add_get("/query/{id}", result)
    app.router.add_post("/invocations", invocations)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.model", description=__doc__)
    parser.add_argument("--mb-s", type=float, default=math.inf, help="MB a second that /<pod>/invocations takes")
    serve(application(parser.parse_args().mb_s * 1e6))


if __name__ == "__main__":
    main()
