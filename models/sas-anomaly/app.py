"""Serve score.py by the `sas` protocol, as a SAS model container does.

POST /executions takes a file, runs the script on it and answers 201 when the script has ended, well or not. The result
is at /query/<id>; if there is none, the script's log at /query/<id>/log says why. Nothing else is answered during a
run: there is one worker, and it waits for the script.
"""

import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flask import Flask, Response, request, send_from_directory
from werkzeug.exceptions import BadRequest, HTTPException

SCRIPT = Path(__file__).with_name("score.py")
app = Flask(__name__)
# Removed again when the server ends. One folder an execution: input.csv, output.csv, log.
workspace = tempfile.TemporaryDirectory(prefix="executions-")


@app.get("/")
def index() -> Response:
    return Response("pong", mimetype="text/plain")


@app.post("/executions")
def execute() -> tuple[dict[str, str | int], int]:
    # Werkzeug spools a large part to disk as it arrives: the upload is never in memory as a whole.
    upload = request.files.get("file")
    if upload is None:
        raise BadRequest("Send the CSV as the multipart form field 'file', with a file name.")
    execution_id = str(time.time())
    folder = Path(workspace.name, execution_id)
    folder.mkdir()
    upload.save(folder / "input.csv")
    run_script(folder)
    return {"id": execution_id, "status": 201}, 201


@app.get("/query/<execution_id>")
def result(execution_id: str) -> Response:
    return send_from_directory(workspace.name, f"{execution_id}/output.csv", mimetype="text/csv")


@app.get("/query/<execution_id>/log")
def log(execution_id: str) -> Response:
    return send_from_directory(workspace.name, f"{execution_id}/log", mimetype="text/plain")


@app.errorhandler(HTTPException)
def problem(error: HTTPException) -> tuple[dict[str, str | int | None], int]:
    status = error.code or 500
    return {"status": status, "error": error.description}, status


def run_script(folder: Path) -> None:
    """Score input.csv into output.csv; whatever the script says, its traceback too, goes into the log."""
    source, target = folder / "input.csv", folder / "output.csv"
    command = [sys.executable, str(SCRIPT), "-i", str(source), "-o", str(target)]
    with (folder / "log").open("wb") as log_file:
        log_file.write(f"Scoring...\n {shlex.join(command)}\n".encode())
        log_file.flush()
        subprocess.run(command, stdout=log_file, stderr=subprocess.STDOUT, check=False)
        log_file.write(b"\nCompleted!\n")
    source.unlink()
