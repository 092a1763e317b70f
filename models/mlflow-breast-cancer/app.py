"""Serve the tumour classifier by the `mlflow` protocol.

GET /ping answers 200, GET /version the version of MLflow whose server this one follows; POST /invocations takes text/csv
with a header and answers JSON, {"predictions": [...]}: the probability that the tumour of each row is malignant. Columns
are found by name, so their order does not matter and other columns may be there.
"""

import csv
import io
from pathlib import Path

import numpy as np
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
model = np.load(Path(__file__).with_name("model.npz"))
columns, coefficients, intercept = model["columns"].tolist(), model["coefficients"], model["intercept"]


@app.get("/ping")
def ping() -> Response:
    return Response(status=200)


@app.get("/version")
def version() -> Response:
    return Response("3.17.2", mimetype="text/plain")


@app.post("/invocations")
def invocations() -> Response | tuple[Response, int]:
    try:
        rows = read_rows(request.get_data().decode("utf-8-sig"))
    except ValueError as error:
        return jsonify(error_code="BAD_REQUEST", message=str(error)), 400
    probabilities = 1 / (1 + np.exp(-(rows @ coefficients + intercept)))
    # Rounded, because the last bits of a product depend on how many rows are multiplied at once.
    return jsonify(predictions=probabilities.round(6).tolist())


def read_rows(text: str) -> np.ndarray:
    """Parse CSV text with a header into a matrix of the model's columns; ValueError says what is wrong with it."""
    lines = io.StringIO(text, newline="")
    header = next(csv.reader(lines), [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"The header lacks {', '.join(missing)}.")
    if not (body := lines.read()).strip():
        raise ValueError("The request has no rows.")
    wanted = [header.index(column) for column in columns]
    rows = np.loadtxt(io.StringIO(body), delimiter=",", quotechar='"', comments=None, usecols=wanted, ndmin=2)
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(f"Row {row} has a value that is not a finite number.")
    return rows
