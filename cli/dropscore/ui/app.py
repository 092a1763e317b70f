"""The page's answers, and who gets them: whoever has the token of this start, in a browser on this machine."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dropscore import runs, telling
from dropscore.course import Course
from dropscore.stack import Unusable, in_words
from dropscore.ui.board import DAYS, STATES, Board

_HERE = Path(__file__).parent
_HEADERS = {
    # Nothing from elsewhere, nothing to elsewhere, and nothing that a file's name could start.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer, a browser would not tell from where a form was sent either (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_MARKS = {"running": "◐", "scored": "✓", "failed": "✗", "stopped": "■"}


def make(board: Board, port: int, token: str) -> Starlette:
    """The application, at a port of loopback, for who has the token."""
    pages = _Pages(board, token)
    # A browser gives the cookies of a host to all of its ports, and there may be a page on another one.
    cookie = f"dropscore-{port}"
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refused(request, hosts, token, cookie, pages.session) or await _answered(request, answer)
        response.headers.update(_HEADERS)
        return response

    return Starlette(
        routes=[
            Route("/", pages.files),
            Route("/rows", pages.rows),
            Route("/file/{name}", pages.file),
            Route("/file/{name}/now", pages.now),
            Route("/file/{name}/redrive", pages.redrive, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
    )


async def _answered(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await answer(request)
    except Unusable as error:
        return PlainTextResponse(f"{error.summary} {error.remedy}", 404)
    except (BotoCoreError, ClientError) as error:
        told = in_words(error, "AWS was asked in vain")
        return PlainTextResponse(f"{told.summary} {told.remedy}", 502)


def _refused(request: Request, hosts: set[str], token: str, cookie: str, session: str) -> Response | None:
    # A name of somebody else's that leads to this machine (DNS rebinding) is another Host.
    if request.headers.get("host") not in hosts:
        return PlainTextResponse("This page is served on this machine alone.", 400)
    given = request.query_params.get("token", "")
    if given and secrets.compare_digest(given.encode(), token.encode()):
        # Not in the address any more, where a history would keep it.
        kept = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        moved = RedirectResponse(f"{request.url.path}{'?' if kept else ''}{kept}", 303)
        moved.set_cookie(cookie, session, httponly=True, samesite="strict")
        return moved
    if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), session.encode()):
        return PlainTextResponse("Open the address that `dropscore ui` has printed, with its token.", 403)
    if request.method == "POST" and request.headers.get("origin") not in {f"http://{host}" for host in hosts}:
        return PlainTextResponse("This was asked for by another page.", 403)
    return None


class _Pages:
    def __init__(self, board: Board, token: str) -> None:
        self._board = board
        self.session = hashlib.sha256(f"session {token}".encode()).hexdigest()
        # What a form of ours has and no other page can know.
        self._form = hashlib.sha256(f"form {token}".encode()).hexdigest()
        environment = Environment(
            loader=PackageLoader("dropscore.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {
            "marks": _MARKS,
            "states": STATES,
            "days": DAYS,
            "stack": board.stack,
            "form": self._form,
        }
        environment.filters |= {
            "size": telling.size,
            "duration": telling.duration,
            "error": telling.short_error,
            "moment": lambda moment: moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            "query": _query,
        }
        self._templates = environment

    async def files(self, request: Request) -> Response:
        return await self._list(request, "files.html")

    async def rows(self, request: Request) -> Response:
        return await self._list(request, "_rows.html")

    async def _list(self, request: Request, template: str) -> Response:
        asked = request.query_params
        state = asked["state"] if asked.get("state") in STATES else ""
        text = asked.get("name", "")
        number = int(asked["page"]) if asked.get("page", "").isdecimal() else 1
        page = await run_in_threadpool(self._board.page, number, state, text)
        return self._html(request, template, page=page, state=state, name=text, now=runs.now())

    async def file(self, request: Request) -> Response:
        return await self._file(request, "file.html")

    async def now(self, request: Request) -> Response:
        return await self._file(request, "_file.html")

    async def _file(self, request: Request, template: str) -> Response:
        found = await run_in_threadpool(self._board.file, request.path_params["name"])
        return self._html(request, template, file=found, lines=timeline(found.course, found.looked), now=found.looked)

    async def redrive(self, request: Request) -> Response:
        given = parse_qs((await request.body()).decode(errors="replace")).get("form", [""])[0]
        if not secrets.compare_digest(given.encode(), self._form.encode()):
            return PlainTextResponse("This form is not of this page.", 403)
        name = request.path_params["name"]
        await run_in_threadpool(self._board.redrive, name)
        return RedirectResponse(f"/file/{name}", 303)

    def _html(self, request: Request, template: str, **values: object) -> Response:
        body = self._templates.get_template(template).render(**values)
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return HTMLResponse(body, headers={"ETag": tag})


def _query(state: str, name: str, page: int = 1) -> str:
    given = {"state": state, "name": name, "page": str(page) if page > 1 else ""}
    return urlencode({key: value for key, value in given.items() if value})


def timeline(course: Course, now: datetime) -> list[dict[str, object]]:
    """The steps of a course as lines: where each begins and how long it is, in thousandths of the whole."""
    run = course.run
    whole = max(run.seconds(now), 0.001)
    lines: list[dict[str, object]] = []
    tries = 0
    for attempt in course.attempts:
        if attempt.number is None:
            tries += 1
        for step in attempt.steps:
            begin = (step.entered - run.started).total_seconds()
            seconds = step.seconds(now)
            lines.append(
                {
                    "step": step.name,
                    "of": f"attempt {tries}" if attempt.number is None else f"shard {attempt.number}",
                    "is_shard": attempt.number is not None,
                    "begin": begin,
                    "seconds": seconds,
                    "x": min(max(begin / whole * 1000, 0), 999),
                    "width": max(min(seconds / whole * 1000, 1000), 3),
                    "failures": step.failures,
                    "goes_on": step.left is None and not attempt.is_over,
                }
            )
    return lines
