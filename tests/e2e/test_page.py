"""The page in a real browser: a file appears, goes on, fails, is redriven, is scored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e import models
from tests.e2e.pipeline import Pipeline

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120
# By sagemaker's protocol, a hundred records a second.
SLOW = """
import os, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        time.sleep(len(lines) / 100)
        self.answer(200, b"1\\n" * len(lines))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer((os.environ.get("HOST", "0.0.0.0"), 8080), Handler).serve_forever()
"""


@pytest.fixture
def address(pipeline: Pipeline, tmp_path: Path) -> Iterator[str]:
    """Where the command serves the page, for a user of the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "250"}
    environment = kept | pipeline.stack.environment() | pipeline.stack.user | paths
    command = [sys.executable, "-u", "-m", "dropscore", "ui", "--no-open"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield said.removeprefix("The page is at ").split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of the browser that is installed here, whose script must not complain."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_context(color_scheme="dark", viewport={"width": 400, "height": 800}).new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        yield page
        browser.close()
        assert not complaints


def test_a_file_is_followed_fails_is_redriven_and_scored(pipeline: Pipeline, address: str, page: Page) -> None:
    page.goto(address)
    assert "token" not in page.url
    slow = models.push(pipeline, "slow-page", app=_app(pipeline))
    body = b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(3_000))
    pipeline.drop("page/followed.csv", body, model_image="tests/no-such-model", protocol="sagemaker")

    # Nothing is reloaded here: the page keeps itself up to date.
    row = page.get_by_role("row").filter(has_text="page/followed.csv")
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("ImageNotFound")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("page/followed.csv")
    expect(page.get_by_text("Push the model image to ECR")).to_be_visible()

    key = pipeline.stack.input_prefix + "page/followed.csv"
    tagging = {"TagSet": [{"Key": "model_image", "Value": slow}, {"Key": "protocol", "Value": "sagemaker"}]}
    pipeline.s3.put_object_tagging(Bucket=pipeline.stack.input_bucket, Key=key, Tagging=tagging)
    page.get_by_role("button", name="Redrive").press("Enter")
    expect(page.locator(".state")).to_contain_text("running")
    bar = page.get_by_role("progressbar", name="page/followed.csv: how far")
    expect(bar).to_be_visible()
    assert 0 < float(bar.get_attribute("value") or 0) < 100
    expect(page.locator(".state")).to_contain_text("scored")
    expect(page.get_by_role("row").filter(has_text="stream_file")).to_contain_text("attempt 2")
    expect(page.get_by_text("scored/page/followed.csv.scoreout")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 400, "nothing is wider than a phone"

    page.get_by_role("link", name="← all files").click()
    page.get_by_label("Name").fill("followed")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("row").filter(has_text="page/followed.csv")).to_contain_text("scored")
    page.get_by_role("link", name="failed").click()
    expect(page.get_by_text("No file matches.")).to_be_visible()


def _app(pipeline: Pipeline) -> Path:
    path = Path(pipeline.stack.logs).parent / "slow_page.py"
    path.write_text(SLOW)
    return path
