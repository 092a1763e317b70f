"""The page: who gets it, what a hostile name does to it, and how much is asked for it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import uvicorn

from dropscore import runs
from dropscore.cache import Cache
from dropscore.ui import app
from dropscore.ui.board import PAGE, Board
from tests.unit.cli.stand_ins import NOW, StepFunctions, stack_of

TOKEN = "a-token"


@contextmanager
def served(board: Board) -> Iterator[str]:
    """The page on a port of loopback; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = uvicorn.Config(app.make(board, port, TOKEN), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def stepfunctions() -> StepFunctions:
    hostile = "incoming/<script>alert(1)</script>&.csv"
    return stack_of({"script-csv-1": hostile, **{f"many-csv-{n}": f"incoming/many-{n}.csv" for n in range(999)}})[1]


@pytest.fixture
def page(stepfunctions: StepFunctions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(runs, "now", lambda: NOW)
    stack, _ = stack_of({})
    stack.__dict__["stepfunctions"] = stepfunctions
    with served(Board(stack, Cache(tmp_path / "cache.sqlite"), clock=lambda: 0.0)) as address:
        yield address


@pytest.fixture
def browser(page: str) -> Iterator[requests.Session]:
    """With the cookie that the token is exchanged for."""
    with requests.Session() as session:
        opened = session.get(f"{page}/?token={TOKEN}&state=scored", timeout=30)
        assert opened.url == f"{page}/?state=scored", "the token does not stay in the address"
        yield session


def test_without_the_token_there_is_nothing(page: str) -> None:
    for path in ("/", "/rows", "/file/script-csv-1", "/static/app.css", "/?token=another"):
        assert requests.get(page + path, timeout=30).status_code == 403
    assert requests.post(f"{page}/file/script-csv-1/redrive", timeout=30).status_code == 403


def test_another_name_that_leads_to_this_machine_is_refused(page: str, browser: requests.Session) -> None:
    for host in ("evil.example.com", f"evil.example.com:{page.rsplit(':', 1)[1]}"):
        assert browser.get(page, headers={"Host": host}, timeout=30).status_code == 400


def test_the_cookie_and_the_page_let_nobody_else_in(page: str) -> None:
    moved = requests.get(f"{page}/?token={TOKEN}", timeout=30, allow_redirects=False)
    assert "httponly" in moved.headers["set-cookie"].lower()
    assert "samesite=strict" in moved.headers["set-cookie"].lower()
    policy = moved.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert TOKEN not in moved.headers["location"]


@pytest.mark.parametrize("origin", ["http://evil.example.com", "null", None])
def test_another_page_cannot_redrive(page: str, browser: requests.Session, origin: str | None) -> None:
    form = re.findall(r'name="form" value="(\w+)"', browser.get(f"{page}/file/script-csv-1", timeout=30).text)
    headers = {"Origin": origin} if origin else {}
    answer = browser.post(f"{page}/file/script-csv-1/redrive", data={"form": form}, headers=headers, timeout=30)
    assert answer.status_code == 403
    ours = {"Origin": page}
    answer = browser.post(f"{page}/file/script-csv-1/redrive", data={"form": "guessed"}, headers=ours, timeout=30)
    assert answer.status_code == 403


def test_a_hostile_name_is_only_text(page: str, browser: requests.Session) -> None:
    listed = browser.get(f"{page}/?name=script", timeout=30).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;.csv" in listed
    assert "<script>alert" not in listed
    asked = browser.get(page + "/?name=%22%3E%3Cscript%3Ealert(1)", timeout=30).text
    assert "<script>alert" not in asked


def test_a_thousand_files_are_shown_by_a_hundred(
    page: str, browser: requests.Session, stepfunctions: StepFunctions
) -> None:
    """Step Functions answers 15 DescribeExecution a second: what is not seen is not asked for, and what is known neither."""
    first = browser.get(page, timeout=30).text
    assert first.count('<th scope="row">') == PAGE
    assert "page 1 of 10" in first
    assert "all <b>1000</b>" in first
    assert len(stepfunctions.described) == PAGE
    for _ in range(3):
        browser.get(page, timeout=30)
        browser.get(f"{page}/rows", timeout=30)
    assert len(stepfunctions.described) == PAGE
    assert stepfunctions.listed == 1


def test_files_that_go_on_are_not_described_again(
    page: str, browser: requests.Session, stepfunctions: StepFunctions
) -> None:
    """But for those that are looked at, which is not all of them."""
    stepfunctions.status = "RUNNING"
    browser.get(page, timeout=30)
    asked = len(stepfunctions.described)
    assert asked < 2 * PAGE
    browser.get(f"{page}/rows", timeout=30)
    assert len(stepfunctions.described) == asked


def test_what_has_not_changed_is_not_sent_again(page: str, browser: requests.Session) -> None:
    rows = browser.get(f"{page}/rows", timeout=30)
    again = browser.get(f"{page}/rows", headers={"If-None-Match": rows.headers["etag"]}, timeout=30)
    assert (again.status_code, again.text) == (304, "")


def test_a_file_that_is_not_there_is_told(page: str, browser: requests.Session) -> None:
    answer = browser.get(f"{page}/file/nobody", timeout=30)
    assert answer.status_code == 404
    assert "There is no execution" in answer.text
