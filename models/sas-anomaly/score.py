"""Say how unusual each row of a CSV file is: `python score.py -i input.csv -o output.csv`.

The output is the input with two more columns: anomaly_score (0 to 1, higher is more unusual) and is_anomaly (1 above
0.5). A file with the columns of the reference (see train.py) is compared with the reference. Any other file is
compared with itself, by its numeric columns: a row's score depends on all the others, so the file must come whole.

scikit-learn, which takes two seconds to import, is imported when a file can be scored: what is wrong is told at once.
"""

from __future__ import annotations

import argparse
import csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

REFERENCE = Path(__file__).with_name("reference.joblib")
MISSING = {"", ".", "NA"}
LARGEST = float(np.finfo(np.float32).max)  # the forest computes in 32 bits
BLOCK = 10_000  # rows scored at once: bounds the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--input", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    csv.field_size_limit(2**31 - 1)
    header, values, texts = read_numbers(arguments.input)
    scores = score(header, values, texts)
    write_output(arguments.input, arguments.output, scores)


def new_model() -> Pipeline:
    """Make an isolation forest that takes a missing value for the median of its column."""
    from sklearn.ensemble import IsolationForest
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="median"), IsolationForest(random_state=0))


def score(header: list[str], values: np.ndarray, texts: dict[int, str]) -> np.ndarray:
    """Score the rows against the reference if it has their columns, else against one another.

    Parameters
    ----------
    header, values, texts
        As read_numbers gives them.
    """
    if not len(values):
        return np.empty(0)
    if len(texts) == len(header):
        raise not_numeric(header)
    import joblib

    # With it comes scikit-learn.
    reference = joblib.load(REFERENCE)
    if set(reference["columns"]) <= set(header):
        columns, model = [header.index(name) for name in reference["columns"]], reference["model"]
        if unusable := [f"{header[column]} ({texts[column]})" for column in columns if column in texts]:
            raise ValueError(f"These columns must be numeric: {', '.join(unusable)}")
    else:
        filled = np.isfinite(values).any(axis=0)
        columns = [column for column in range(len(header)) if filled[column] and column not in texts]
        if not columns:
            raise not_numeric(header)
        model = None
    chosen, names = values[:, columns], ", ".join(header[column] for column in columns)
    print(f"{len(values)} rows compared with {'the reference' if model else 'one another'} by {names}.")
    model = model or new_model().fit(chosen)
    blocks = (chosen[start : start + BLOCK] for start in range(0, len(chosen), BLOCK))
    return np.concatenate([-model.score_samples(block) for block in blocks])


def not_numeric(header: list[str]) -> ValueError:
    return ValueError(f"None of the columns is numeric: {', '.join(header)}")


def read_numbers(path: Path) -> tuple[list[str], np.ndarray, dict[int, str]]:
    """Read a CSV file into its header, a matrix and the text columns.

    Returns
    -------
    header, values, texts
        `values` has a row for each row and a column for each column, nan where there is no number; `texts` says for
        each column that has something else than numbers where that is first.
    """
    rows = read_rows(path)
    header = next(rows, None)
    if header is None:
        raise ValueError("The file is empty: it needs a header.")
    values, texts = array("f"), dict[int, str]()
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"Row {number} has {len(row)} fields, the header has {len(header)}.")
        for column, text in enumerate(row):
            try:
                value = math.nan if text in MISSING else float(text)
            except ValueError:
                value = math.nan
                texts.setdefault(column, f"row {number} has {text!r}")
            values.append(value if abs(value) < LARGEST else math.nan)
    return header, np.frombuffer(values, dtype=np.float32).reshape(-1, len(header)), texts


def read_rows(path: Path) -> Iterator[list[str]]:
    """Read the rows of a CSV file; blank lines are none. Bytes that are not UTF-8 pass through as they are."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from filter(None, csv.reader(file))


def write_output(source: Path, target: Path, scores: np.ndarray) -> None:
    """Copy the input row by row, with the two new columns."""
    rows = read_rows(source)
    with target.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*next(rows), "anomaly_score", "is_anomaly"])
        for row, value in zip(rows, scores, strict=True):
            writer.writerow([*row, f"{value:.6f}", int(value > 0.5)])


if __name__ == "__main__":
    main()
