"""The server of Amazon's sample image "bring your own scikit-learn", in short: flask behind gunicorn behind nginx.

    python sagemaker_sample.py PORT

serves model/model.joblib of the working directory. What it reads and writes is as the sample has it: pandas, no header.
"""

import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import flask
import joblib
import pandas

app = flask.Flask(__name__)


@cache
def model() -> Any:
    return joblib.load("model/model.joblib")


@app.get("/ping")
def ping() -> flask.Response:
    return flask.Response("\n", 200 if model() else 404, mimetype="application/json")


@app.post("/invocations")
def invocations() -> flask.Response:
    if flask.request.content_type != "text/csv":
        return flask.Response("This predictor only supports CSV data", 415, mimetype="text/plain")
    data = pandas.read_csv(io.StringIO(flask.request.data.decode()), header=None)
    written = pandas.DataFrame({"results": model().predict(data.to_numpy())}).to_csv(header=False, index=False)
    return flask.Response(written, mimetype="text/csv")


def serve(port: str) -> None:
    """Run both until one of them ends, as the sample's program `serve` does."""
    home = Path.cwd()
    conf = Path(__file__).with_name("nginx.conf").read_text()
    (home / "nginx.conf").write_text(conf.replace("@HOME@", str(home)).replace("@PORT@", port))
    nginx = subprocess.Popen(["nginx", "-e", home / "nginx.log", "-c", home / "nginx.conf"])
    gunicorn = [sys.executable, "-m", "gunicorn", "--timeout", "60", "--workers", "1"]
    gunicorn += ["--pythonpath", Path(__file__).parent, "--bind", f"unix:{home}/gunicorn.sock", "sagemaker_sample:app"]
    workers = subprocess.Popen(gunicorn)
    children = {nginx.pid, workers.pid}
    while os.wait()[0] not in children:
        continue
    sys.exit("nginx or gunicorn has ended")


if __name__ == "__main__":
    serve(sys.argv[1])
