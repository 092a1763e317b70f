"""MLServer with scikit-learn's and MLflow's runtimes: each way in which a model tells, or does not tell, what it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from scoring.errors import InvalidFile, InvalidTags, ModelFailed
from scoring.protocols import Auto, OpenInference
from scoring.protocols.model import Model
from tests.servers.harness import Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, score, table

pytestmark = pytest.mark.servers
MLSERVER = Environment("mlserver")
NAMES = {"columns", "gaps", "loans", "matrix", "plain"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a folder for each model."""
    directory = tmp_path_factory.mktemp("mlserver")
    MLSERVER.train("mlserver_models.py", directory)
    return directory


def mlserver(folder: Path, model_name: str = "") -> Any:
    """Serve the models below a folder; ready when this one is."""
    http, grpc, metrics = free_port("127.0.0.1"), free_port("127.0.0.1"), free_port("127.0.0.1")
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [MLSERVER.bin / "mlserver", "start", "."]
    return serve(command, folder, MLSERVER.variables(folder), "oip", http, model_name=model_name)


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Server]:
    """All of them in one server."""
    with mlserver(models, "plain") as server:
        yield server


@pytest.fixture(params=["whole", "in batches"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file goes in one batch; or in many, of which the model knows nothing."""
    if request.param == "in batches":
        monkeypatch.setattr(OpenInference, "most_bytes", 4_000)


@pytest.mark.parametrize(
    ("name", "tags"),
    [("plain", {}), ("matrix", {"exclude": "patient"}), ("columns", {}), ("gaps", {}), ("loans", {})],
)
@pytest.mark.usefixtures("batches")
def test_a_file_is_scored_as_the_model_scores_it_itself(
    s3: Any, models: Path, served: Server, name: str, tags: dict[str, str]
) -> None:
    file = models / name / "file.csv"
    found = score(s3, served.url, "oip", file, model_name=name, **tags)
    assert_predicted(found, file, expected(models / name), relative=1e-12)


@pytest.mark.parametrize("name", ["plain", "loans"])
def test_lines_of_json_are_scored_as_the_same_records_of_csv(s3: Any, models: Path, served: Server, name: str) -> None:
    file = models / name / "file.jsonl"
    found = score(s3, served.url, "oip", file, model_name=name)
    ((column, values),) = expected(models / name).items()
    own = [json.loads(line) for line in file.read_text().splitlines()]
    assert found.objects == [{**record, column: value} for record, value in zip(own, values, strict=True)]


def test_a_file_without_a_header_goes_to_a_model_that_needs_no_names(s3: Any, models: Path, served: Server) -> None:
    found = score(s3, served.url, "oip", models / "plain" / "headerless.csv", model_name="plain", header="none")
    ((_, values),) = expected(models / "plain").items()
    assert [row[-1] for row in table(found.scored.decode())] == [str(value) for value in values]


def test_values_that_no_input_holds_are_bad_records_and_the_others_are_scored(
    s3: Any, models: Path, served: Server
) -> None:
    file = models / "loans" / "bad.csv"
    found = score(s3, served.url, "oip", file, model_name="loans", max_errors="3")
    ((_, values),) = expected(models / "loans").items()
    bad = {
        3: 'children is "two", which is no',
        250: "children is empty, and",
        499: 'owner is "maybe", which is no BOOL',
    }
    assert [row[-1] for row in table(found.scored.decode())[1:]] == [
        "" if row in bad else value for row, value in enumerate(values)
    ]
    for line, (row, reason) in zip(found.rejected.decode().splitlines()[1:], bad.items(), strict=True):
        assert line.startswith(f"{row + 1},")
        assert reason in line.replace('""', '"')
    with pytest.raises(InvalidFile) as refused:
        score(s3, served.url, "oip", file, model_name="loans")
    assert refused.value.summary == 'Row 4: children is "two", which is no INT64.'


def test_what_the_model_itself_refuses_is_found_out_of_its_batch(
    s3: Any, models: Path, served: Server, tmp_path: Path
) -> None:
    """A gap, for a model that takes none: MLServer's answer is a traceback."""
    lines = (models / "plain" / "file.csv").read_text().splitlines()
    lines[60] = "," + lines[60].partition(",")[2]
    file = tmp_path / "file.csv"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ModelFailed, match="for row 60 alone") as failed:
        score(s3, served.url, "oip", file, model_name="plain")
    assert "contains NaN" in failed.value.details["answer"]


def test_of_several_models_the_tag_says_which(s3: Any, models: Path, served: Server) -> None:
    for tags, sentence in (({}, "several models"), ({"model_name": "beer"}, "model_name is 'beer'")):
        with pytest.raises(InvalidTags, match=sentence) as refused:
            score(s3, served.url, "oip", models / "plain" / "file.csv", **tags)
        assert all(name in refused.value.summary for name in NAMES)


def test_the_only_model_needs_no_tag_and_nobody_has_to_name_the_protocol(s3: Any, models: Path) -> None:
    """It is one of MLflow's: MLServer answers /ping and /version for it as MLflow's own server does."""
    folder = models / "loans"
    with mlserver(folder) as server:
        found = Auto(Model(server.url), {"protocol": "auto"})
        assert (found.ready(), found.name) == (None, "oip")
        found = score(s3, server.url, "oip", folder / "file.csv")
    assert_predicted(found, folder / "file.csv", expected(folder))
