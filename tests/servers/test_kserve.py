"""KServe's own server, from its SDK: it tells nothing of a model's inputs, and lists its models in a way of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.parts import free_port
from scoring.protocols import Auto, OpenInference
from scoring.protocols.model import Model
from tests.servers.harness import MODELS, Environment, Server, expected, serve
from tests.servers.scoring import assert_predicted, score, table

pytestmark = pytest.mark.servers
KSERVE = Environment("kserve")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    directory = tmp_path_factory.mktemp("kserve")
    KSERVE.train("kserve_models.py", directory)
    return directory


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Server]:
    port = free_port("127.0.0.1")
    command = [KSERVE.bin / "python", MODELS / "kserve_models.py", model, str(port)]
    with serve(command, model, KSERVE.variables(model), "oip", port) as server:
        yield server


@pytest.mark.parametrize("most_bytes", [OpenInference.most_bytes, 2_000], ids=["whole", "in batches"])
@pytest.mark.parametrize("tags", [{}, {"model_name": "wine"}], ids=["the only one", "named"])
def test_a_file_is_scored_as_the_model_scores_it_itself(
    s3: Any, model: Path, served: Server, monkeypatch: pytest.MonkeyPatch, most_bytes: int, tags: dict[str, str]
) -> None:
    monkeypatch.setattr(OpenInference, "most_bytes", most_bytes)
    found = score(s3, served.url, "oip", model / "file.csv", **tags)
    assert_predicted(found, model / "file.csv", expected(model))


def test_nobody_has_to_name_the_protocol(served: Server) -> None:
    found = Auto(Model(served.url), {"protocol": "auto"})
    assert (found.ready(), found.name) == (None, "oip")


def test_lines_of_json_and_a_file_without_a_header_are_scored_alike(s3: Any, model: Path, served: Server) -> None:
    values = expected(model)["output-0"]
    lines = score(s3, served.url, "oip", model / "file.jsonl")
    own = [json.loads(line) for line in (model / "file.jsonl").read_text().splitlines()]
    assert lines.objects == [{**record, "output-0": value} for record, value in zip(own, values, strict=True)]
    headerless = score(s3, served.url, "oip", model / "headerless.csv", header="none")
    assert [row[-1] for row in table(headerless.scored.decode())] == [str(value) for value in values]
