"""Serve the wine classifier by the `sagemaker` protocol.

GET /ping answers 200; POST /invocations takes text/csv without a header, the 13 measurements in the order of
train.py's data set, and answers the predicted class (0, 1 or 2) of each row, one a line.
"""

import io
from pathlib import Path

import numpy as np
from flask import Flask, Response, request

app = Flask(__name__)
model = np.load(Path(__file__).with_name("model.npz"))
coefficients, intercept, classes = model["coefficients"], model["intercept"], model["classes"]


@app.get("/ping")
def ping() -> Response:
    return Response(status=200)


@app.post("/invocations")
def invocations() -> Response:
    try:
        rows = read_rows(request.get_data().decode())
    except ValueError as error:
        return Response(f"{error}\n", status=400, mimetype="text/plain")
    predictions = classes[np.argmax(rows @ coefficients + intercept, axis=1)]
    return Response("".join(f"{prediction}\n" for prediction in predictions.tolist()), mimetype="text/csv")


def read_rows(text: str) -> np.ndarray:
    """Parse CSV text without a header into a matrix; ValueError says which row is not as it should be."""
    if not text.strip():
        raise ValueError("The request has no rows.")
    rows = np.loadtxt(io.StringIO(text), delimiter=",", quotechar='"', comments=None, ndmin=2)
    if rows.shape[1] != len(coefficients):
        raise ValueError(f"Each row must have {len(coefficients)} columns, not {rows.shape[1]}.")
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(f"Row {row} has a value that is not a finite number.")
    return rows
