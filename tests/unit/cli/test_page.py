"""The page: who gets it, what a hostile name does to it, and how much is asked for it."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
import requests
import uvicorn
from rich.console import Console

from dropscore import runs
from dropscore.cache import Cache
from dropscore.runs import Run
from dropscore.stack import Stack
from dropscore.ui import app, serve
from dropscore.ui.board import PAGE, Board
from tests.unit.cli.stand_ins import ARN, NOW, StepFunctions, failed, refused, stack_of, started

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


def test_two_pages_on_two_ports_do_not_log_each_other_out(page: str, browser: requests.Session, tmp_path: Path) -> None:
    """A browser gives the cookies of a host to all of its ports."""
    with served(Board(stack_of({})[0], Cache(tmp_path / "another.sqlite"))) as another:
        browser.get(f"{another}/?token={TOKEN}", timeout=30)
    assert {each.name for each in browser.cookies} == {f"dropscore-{at.rsplit(':', 1)[1]}" for at in (page, another)}
    assert browser.get(page, timeout=30).status_code == 200


def test_an_old_look_does_not_stay_for_longer_than_what_it_has_found() -> None:
    """The file was redriven since its list was made: it runs, and what runs is looked at every few seconds."""
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv"})
    stepfunctions.status = "RUNNING"
    seconds = [0.0]
    board = Board(stack, clock=lambda: seconds[0])
    old, now = Run(ARN + "a-csv-1", "FAILED", NOW, NOW), Run(ARN + "a-csv-1", "RUNNING", NOW)
    assert board._look(old)[0].run.state == "running"
    stepfunctions.told["a-csv-1"] = {"status": "SUCCEEDED", "stopDate": NOW + timedelta(minutes=1)}
    seconds[0] += 5
    assert board._look(now)[0].run.state == "scored"


def test_two_looks_at_once_are_at_one_course() -> None:
    """Also when the file was redriven in between: else each event would be in it twice."""
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv"})
    stepfunctions.status, stepfunctions.histories = "RUNNING", {ARN + "a-csv-1": [started(ARN + "whole")]}
    board = Board(stack)
    under_way, go_on = threading.Event(), threading.Event()
    describe = stepfunctions.describe_execution

    def slow(executionArn: str) -> Any:  # noqa: N803
        if not under_way.is_set():
            under_way.set()
            assert go_on.wait(30)
        return describe(executionArn)

    stepfunctions.describe_execution = slow  # type: ignore[method-assign]
    run = Run(ARN + "a-csv-1", "RUNNING", NOW)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(board._look, run)
        assert under_way.wait(30)
        board.redrive("a-csv-1")
        second = pool.submit(board._look, run)
        go_on.set()
        assert first.result()[0] is second.result()[0]


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[str, Stack]]:
    """The page of a file that has failed, and its stack."""
    stack, stepfunctions = stack_of({"a-csv-1": "incoming/a.csv"})
    stepfunctions.told["a-csv-1"] = failed("arn:attempt:1")
    stepfunctions.histories[ARN + "a-csv-1"] = [started("arn:attempt:1")]
    with served(Board(stack, Cache(tmp_path / "cache.sqlite"))) as address:
        yield address, stack


@pytest.mark.parametrize(("attempt", "summary"), [("1", "Of its own."), ("2", "It died. Repair it.")])
def test_a_file_shows_its_own_error_and_no_other_ones(failing: tuple[str, Stack], attempt: str, summary: str) -> None:
    address, stack = failing
    document = {"error": "ModelFailed", "summary": "Of its own.", "remedy": "Do it.", "attempt": attempt}
    stack.s3.put_object(Bucket="out", Key="scored/a.csv.error", Body=json.dumps(document).encode())
    with requests.Session() as session:
        said = session.get(f"{address}/file/a-csv-1?token={TOKEN}", timeout=30).text
    assert summary in said
    assert ("Of its own." in said) == (attempt == "1")


def test_a_superseded_file_is_told_so(failing: tuple[str, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "now", lambda: NOW)
    address, stack = failing
    stack.s3.put_object(Bucket="out", Key="scored/a.csv.scoreout", Body=b"x", Tagging="sequencer=06")
    with requests.Session() as session:
        session.get(f"{address}/?token={TOKEN}", timeout=30)
        assert "superseded: the outcome there is of a newer version" in session.get(f"{address}/rows", timeout=30).text
        assert (
            "The outcome there is of a newer version of the file."
            in session.get(f"{address}/file/a-csv-1", timeout=30).text
        )


def test_who_may_not_is_told_what_to_do(failing: tuple[str, Stack]) -> None:
    address, stack = failing
    stack.stepfunctions.refusals["a-csv-1"] = [refused("AccessDeniedException")]
    with requests.Session() as session:
        answer = session.get(f"{address}/file/a-csv-1?token={TOKEN}", timeout=30)
    assert answer.status_code == 502
    assert "UsersPolicyArn" in answer.text


def test_the_token_is_in_a_file_that_a_confined_browser_may_read_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snap has a /tmp of its own, and sees nothing hidden in the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    for name, value in (("HOME", str(home)), ("DISPLAY", ":0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    opened: list[Path] = []
    monkeypatch.setattr(serve.webbrowser, "open", lambda uri: opened.append(Path(url2pathname(urlsplit(uri).path))))
    seen: list[tuple[str, int, int]] = []

    class Server:
        def __init__(self, config: object) -> None:
            return None

        def run(self, sockets: object) -> None:
            (way,) = opened
            seen.append((way.read_text(), way.stat().st_mode & 0o77, way.parent.stat().st_mode & 0o77))

    monkeypatch.setattr(serve.uvicorn, "Server", Server)
    serve.serve(Console(file=io.StringIO()), stack_of({})[0], 0, opens=True)
    ((body, of_file, of_folder),) = seen
    assert "token=" in body
    assert (of_file, of_folder) == (0, 0)
    assert not any(part.startswith(".") for part in opened[0].relative_to(home).parts)
    assert not list(home.iterdir()), "nothing is left of it"


def test_a_file_that_is_not_there_is_told(page: str, browser: requests.Session) -> None:
    answer = browser.get(f"{page}/file/nobody", timeout=30)
    assert answer.status_code == 404
    assert "There is no execution" in answer.text
