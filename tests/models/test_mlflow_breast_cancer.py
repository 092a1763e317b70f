"""The contract of models/mlflow-breast-cancer, over HTTP."""

import csv
import io
from collections.abc import Callable, Iterator

import pytest

from local.images import PulledImage
from tests.models.serving import Server, sample, serve

HEADER, *ROWS = sample("mlflow-breast-cancer")


@pytest.fixture(scope="module")
def model(pull_model: Callable[[str], PulledImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(pull_model("mlflow-breast-cancer"), tmp_path_factory.mktemp("breast-cancer")) as server:
        yield server


def table(rows: list[str], header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in [header, *rows])


def predictions(model: Server, text: str) -> list[float]:
    answer = model.post("/invocations", text.encode())
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert list(document) == ["predictions"]
    values: list[float] = document["predictions"]
    return values


def test_ping_answers_as_soon_as_the_port_is_open(model: Server) -> None:
    assert model.get("/ping").status_code == 200


def test_each_row_gets_a_probability(model: Server) -> None:
    values = predictions(model, table(ROWS))
    assert len(values) == len(ROWS)
    assert all(0 <= value <= 1 for value in values)


def test_the_predictions_are_good(model: Server, data_sets: dict[str, list[list[float]]]) -> None:
    malignant = [row[-1] == 0 for row in data_sets["breast_cancer"][: len(ROWS)]]
    right = sum(known == (value > 0.5) for known, value in zip(malignant, predictions(model, table(ROWS)), strict=True))
    assert right / len(ROWS) > 0.97


def test_a_batch_is_scored_as_its_rows_are_one_by_one(model: Server) -> None:
    batch = ROWS[::20]
    assert predictions(model, table(batch)) == [predictions(model, table([row]))[0] for row in batch]


def test_columns_are_found_by_name(model: Server) -> None:
    """In another order, among others, quoted, with line ends within a field and a byte order mark."""
    names = HEADER.split(",")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["a note, of\nno use", *reversed(names)])
    for row in ROWS:
        writer.writerow(['one\nor "two", lines', *reversed(row.split(","))])
    assert predictions(model, f"\ufeff{text.getvalue()}") == predictions(model, table(ROWS))


def test_a_batch_of_several_megabytes(model: Server) -> None:
    batch = ROWS * 150
    assert len(table(batch)) > 5_000_000
    assert len(predictions(model, table(batch))) == len(batch)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "The header lacks mean radius"),
        (table([]), "no rows"),
        (table(ROWS[:2], HEADER.replace("worst area", "area")), "The header lacks worst area."),
        (table([ROWS[0], "nan" + ROWS[1][ROWS[1].index(",") :]]), "Row 1 has a value that is not a finite number"),
        (table(["?" + ROWS[1][ROWS[1].index(",") :]]), "could not convert string '?'"),
        (table(["1,2,3"]), "column"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(model: Server, body: str, reason: str) -> None:
    answer = model.post("/invocations", body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert reason in answer.json()["message"]


def test_the_sample_is_the_start_of_the_data_set(data_sets: dict[str, list[list[float]]]) -> None:
    expected = [row[:-1] for row in data_sets["breast_cancer"][: len(ROWS)]]
    assert [[float(value) for value in row.split(",")] for row in ROWS] == expected
