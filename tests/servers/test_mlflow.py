"""MLflow's own server, `mlflow models serve`: each kind of signature, file and answer that people have.

What MLflow reads a CSV file as is decided by the model's signature, and without one by pandas, batch by batch.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from scoring.errors import ModelFailed
from scoring.protocols import RowProtocol
from tests.servers.harness import Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, assert_predicted_objects, score, table

pytestmark = pytest.mark.servers
MLFLOW = Environment("mlflow")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a folder for each model."""
    directory = tmp_path_factory.mktemp("mlflow")
    MLFLOW.train("mlflow_models.py", directory)
    return directory


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Callable[[str], Server]]:
    """Serves a model by its name, once."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def served(name: str) -> Server:
            if name not in running:
                running[name] = stack.enter_context(mlflow_serve(models / name))
            return running[name]

        yield served


def mlflow_serve(folder: Path, workers: int = 1) -> AbstractContextManager[Server]:
    """By default with as many workers as a container has on a pod of one CPU."""
    port = free_port("127.0.0.1")
    command = [MLFLOW.bin / "mlflow", "models", "serve", "--model-uri", "model", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    return serve(command, folder, MLFLOW.variables(folder), "mlflow", port)


FROM_CSV = ["classifier", "gaps", "texts", "several_columns", "probabilities", "boosted"]
# By their signature MLflow reads no CSV for these, and casts the same texts from JSON.
FROM_JSON_ALONE = ["dates", "tensor", "typed"]


@pytest.mark.parametrize("name", [*FROM_CSV, *FROM_JSON_ALONE])
@pytest.mark.parametrize("most_bytes", [RowProtocol.most_bytes, 2_000], ids=["whole", "in batches"])
def test_a_file_is_scored_as_the_model_scores_it_itself(
    s3: Any,
    models: Path,
    served: Callable[[str], Server],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    most_bytes: int,
) -> None:
    """What a batch looks like is nothing to the model: whole numbers only, no gap, a single record."""
    monkeypatch.setattr(RowProtocol, "most_bytes", most_bytes)
    file = models / name / "file.csv"
    found = score(s3, served(name).url, "mlflow", file)
    assert_predicted(found, file, expected(models / name))


def test_a_model_without_a_signature_gets_the_columns_that_are_chosen_with_points(
    s3: Any, models: Path, served: Callable[[str], Server]
) -> None:
    """European numbers between semicolons, and the customer's number stays at home."""
    file = models / "unsigned" / "file.csv"
    found = score(s3, served("unsigned").url, "mlflow", file, decimal="comma", exclude="customer")
    assert_predicted(found, file, expected(models / "unsigned"), delimiter=";")


def test_whole_numbers_have_no_gaps_for_mlflow_and_the_error_says_where_and_why(
    s3: Any, models: Path, served: Callable[[str], Server]
) -> None:
    folder = models / "whole_numbers"
    with pytest.raises(ModelFailed, match=r"row 8 alone") as failed:
        score(s3, served(folder.name).url, "mlflow", folder / "file.csv")
    assert "Integer column has NA values in column 1" in failed.value.details["answer"]
    found = score(s3, served(folder.name).url, "mlflow", folder / "file.csv", max_errors="3")
    assert_predicted(found, folder / "file.csv", expected(folder))
    assert found.rejected_rows == [8, 201, 442]


def test_what_a_model_raises_for_a_record_is_in_the_error(
    s3: Any, models: Path, served: Callable[[str], Server], tmp_path: Path
) -> None:
    """MLflow answers that something went wrong; what did stands at the end of a traceback of four kilobytes."""
    file = tmp_path / "file.csv"
    rows = table((models / "texts" / "file.csv").read_bytes().decode())
    rows[300][2] = "123"
    with file.open("w", newline="") as output:
        csv.writer(output).writerows(rows)
    with pytest.raises(ModelFailed, match=r"row 300 alone") as failed:
        score(s3, served("texts").url, "mlflow", file)
    assert "ValueError: a code has five digits" in failed.value.details["answer"]


@pytest.mark.parametrize("name", ["dates", "tensor"])
def test_what_mlflow_reads_from_json_only_is_scored_as_json_lines(
    s3: Any, models: Path, served: Callable[[str], Server], name: str
) -> None:
    """A date in the signature, or a tensor in its place."""
    file = models / name / "file.jsonl"
    found = score(s3, served(name).url, "mlflow", file)
    assert_predicted_objects(found, file, expected(models / name))


def test_json_lines_get_a_member_for_each_column_and_null_for_no_number(
    s3: Any, models: Path, served: Callable[[str], Server]
) -> None:
    """MLflow answers NaN, which is no JSON."""
    folder = models / "several_columns"
    found = score(s3, served(folder.name).url, "mlflow", folder / "file.jsonl")
    columns = expected(folder)
    columns["margin"] = [None if value != value else value for value in columns["margin"]]
    assert None in columns["margin"]
    assert_predicted_objects(found, folder / "file.jsonl", columns)


@pytest.mark.parametrize(
    ("name", "column", "value", "told"),
    [
        ("typed", "opened", "13/01/2020", 'opened is "13/01/2020", which is no date as ISO 8601 has it'),
        ("typed", "opened", "2020-02-30", "Failed to convert column opened"),
        ("typed", "is_member", "0", 'is_member is "0", which the model\'s signature has as a boolean'),
        ("typed", "visits", "", "Failed to convert column visits"),
        ("typed", "amount", "1;5", "could not convert string to float: '1;5'"),
        ("tensor", "7", "x", "could not convert string to float: 'x'"),
    ],
)
def test_a_value_that_is_none_of_its_column_makes_its_record_bad_and_no_other(
    s3: Any,
    models: Path,
    served: Callable[[str], Server],
    tmp_path: Path,
    name: str,
    column: str,
    value: str,
    told: str,
) -> None:
    """Any text is True to MLflow, and 13/01/2020 makes it read the dates beside it with the day first."""
    header, *rows = table((models / name / "file.csv").read_bytes().decode())
    rows[200][header.index(column)] = value
    file = tmp_path / "file.csv"
    with file.open("w", newline="") as output:
        csv.writer(output).writerows([header, *rows])
    found = score(s3, served(name).url, "mlflow", file, max_errors="1")
    assert found.rejected_rows == [201]
    assert told in found.rejected.decode().replace('""', '"')
    columns = expected(models / name)
    assert_predicted(found, file, {key: [*of[:200], None, *of[201:]] for key, of in columns.items()})


def test_a_tensor_of_anything_but_numbers_is_not_guessed_from_texts(
    s3: Any, models: Path, served: Callable[[str], Server]
) -> None:
    with pytest.raises(ModelFailed, match="TensorSpec only supports numpy types") as failed:
        score(s3, served("flags").url, "mlflow", models / "flags" / "file.csv")
    assert "drop the file as JSON Lines" in failed.value.remedy
