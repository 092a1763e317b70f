"""The contract of models/sagemaker-wine, over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.images import PulledImage
from tests.models.serving import Server, sample, serve

HEADER, *ROWS = sample("sagemaker-wine")


@pytest.fixture(scope="module")
def model(pull_model: Callable[[str], PulledImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(pull_model("sagemaker-wine"), tmp_path_factory.mktemp("wine")) as server:
        yield server


def lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def test_ping_answers_as_soon_as_the_port_is_open(model: Server) -> None:
    assert (model.get("/ping").status_code, model.get("/ping").content) == (200, b"")


def test_it_starts_as_sagemaker_and_dropscore_start_it(
    pull_model: Callable[[str], PulledImage], tmp_path: Path
) -> None:
    image = pull_model("sagemaker-wine")
    with serve(image, tmp_path, "serve", port=8765, SAGEMAKER_BIND_TO_PORT="8765", SAGEMAKER_BATCH="true") as server:
        assert server.get("/ping").status_code == 200


def test_each_row_gets_one_prediction_on_a_line_of_its_own(model: Server) -> None:
    answer = model.post("/invocations", lines(ROWS))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.endswith("\n")
    assert len(answer.text.splitlines()) == len(ROWS)
    assert set(answer.text.splitlines()) == {"0", "1", "2"}


def test_the_predictions_are_good(model: Server, data_sets: dict[str, list[list[float]]]) -> None:
    known = [int(row[-1]) for row in data_sets["wine"]]
    predicted = [int(line) for line in model.post("/invocations", lines(ROWS)).text.splitlines()]
    right = sum(one == other for one, other in zip(known, predicted, strict=True))
    assert right / len(known) > 0.98


def test_a_batch_is_scored_as_its_rows_are_one_by_one(model: Server) -> None:
    batch = ROWS[::20]
    together = model.post("/invocations", lines(batch)).text
    assert together == "".join(model.post("/invocations", lines([row])).text for row in batch)


@pytest.mark.parametrize("change", [lambda text: text.rstrip("\n"), lambda text: text.replace("\n", "\r\n")])
def test_line_ends_do_not_matter(model: Server, change: Callable[[str], str]) -> None:
    assert model.post("/invocations", change(lines(ROWS))).text == model.post("/invocations", lines(ROWS)).text


def test_quoted_numbers_are_numbers(model: Server) -> None:
    quoted = ",".join(f'"{value}"' for value in ROWS[0].split(","))
    assert model.post("/invocations", quoted).text == model.post("/invocations", ROWS[0]).text


def test_a_batch_of_several_megabytes(model: Server) -> None:
    batch = ROWS * 400
    assert len(lines(batch)) > 4_000_000
    assert len(model.post("/invocations", lines(batch)).text.splitlines()) == len(batch)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "no rows"),
        ("1,2,3", "13 columns, not 3"),
        (HEADER, "alcohol"),
        (
            lines([ROWS[0], ROWS[1].replace(",", ",nan,", 1).rpartition(",")[0]]),
            "Row 1 has a value that is not a finite",
        ),
        (ROWS[0].replace(",", ",,", 1).rpartition(",")[0], "could not convert string ''"),
        (b"\xff,", "decode"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(model: Server, body: str | bytes, reason: str) -> None:
    answer = model.post("/invocations", body)
    assert answer.status_code == 400
    assert reason in answer.text


def test_the_sample_is_the_data_set(data_sets: dict[str, list[list[float]]]) -> None:
    assert [[float(value) for value in row.split(",")] for row in ROWS] == [row[:-1] for row in data_sets["wine"]]


def test_it_leaves_nothing_behind(model: Server) -> None:
    assert not [path for path in Path(model.workspace).rglob("*") if path.is_file()]
