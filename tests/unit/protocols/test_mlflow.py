"""Records of CSV for MLflow models that read none: what their server says of it, and what they are sent instead."""

import csv
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scoring.errors import ModelFailed
from scoring.protocols import MLflow
from scoring.protocols.model import Model
from tests.unit.protocols.test_rows import opened
from tests.unit.servers import Reply, Request, Server

# MLflow 3.17's own words.
NOT_READ = (
    "Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid CSV-formatted Pandas DataFrame produced "
    "using the `pandas.DataFrame.to_csv()` method. Error: '%s'"
)
OF_A_DATE = (
    NOT_READ % "the dtype datetime64[ns] is not supported for parsing, pass this column using parse_dates instead"
)
OF_A_TENSOR = NOT_READ % "TensorSpec only supports numpy types, use numpy_types() instead"
OF_A_FLAG = NOT_READ % "cannot safely convert passed user dtype of bool for int64 dtyped data in column 0"
FILE, BATCH = opened(b'opened,member,told\n2026-01-31,True,"a, ""b"""\nNA,FALSE,True\n20260201 10:30,false,\n')


def refusal(message: str) -> Reply:
    return Reply(400, json.dumps({"error_code": "BAD_REQUEST", "message": message}).encode())


def of_dates(asked: Request) -> Reply:
    """A server of a model with the columns opened (a date), member (a boolean) and told (a text)."""
    if asked.headers["content-type"] == "application/json":
        return Reply(body=asked.body)
    header, *rows = csv.reader(asked.body.decode().splitlines())
    if "opened" in header:
        return refusal(OF_A_DATE)
    if "member" in header and any(row[header.index("member")] not in ("True", "False") for row in rows):
        return refusal(OF_A_FLAG)
    return refusal(f"Failed to predict data '{rows}'. Error: Model is missing inputs ['opened'].")


def of_a_tensor(asked: Request) -> Reply:
    if asked.headers["content-type"] != "application/json":
        return refusal(OF_A_TENSOR)
    if b"no number" in asked.body:
        return refusal("Invalid input. could not convert string to float: 'no number'")
    return Reply(body=asked.body)


def sent(protocol: MLflow, file: Any = FILE, batch: Any = BATCH) -> Any:
    """What the model was sent in the end, as JSON."""
    return json.loads(protocol.submit(file, batch, batch.good, 5.0).body, parse_constant=str)


def kinds(server: Server) -> list[str]:
    return [asked.headers["content-type"] for asked in server.requests]


def test_a_model_with_dates_gets_texts_by_columns_its_dates_in_one_form_and_its_booleans_as_such(
    server: Server,
) -> None:
    server.answers["POST /invocations"] = of_dates
    assert sent(MLflow(Model(server.url))) == {
        "dataframe_split": {
            "columns": ["opened", "member", "told"],
            "data": [
                ["2026-01-31T00:00:00.0", True, 'a, "b"'],
                ["NaN", False, "True"],
                ["2026-02-01T10:30:00.0", False, "NaN"],
            ],
        }
    }


def test_a_model_of_a_tensor_gets_rows_of_texts(server: Server) -> None:
    server.answers["POST /invocations"] = of_a_tensor
    file, batch = opened(b"a,b\n1.50,\n-2,1e300\n")
    assert sent(MLflow(Model(server.url)), file, batch) == {"inputs": [["1.50", "NaN"], ["-2", "1e300"]]}


@pytest.mark.parametrize(("model", "questions"), [(of_dates, 3), (of_a_tensor, 1)])
def test_batches_that_are_refused_at_once_find_out_once_and_none_is_sent_as_csv_again(
    server: Server, model: Callable[[Request], Reply], questions: int
) -> None:
    all_refused = threading.Barrier(4, timeout=20)

    def together(asked: Request) -> Reply:
        if asked.body.startswith(b"opened,member"):
            all_refused.wait()
        return model(asked)

    server.answers["POST /invocations"] = together
    protocol = MLflow(Model(server.url))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: sent(protocol), range(4)))
    assert answers == answers[:1] * 4
    assert len(server.requests) == 4 + questions + 4
    server.requests.clear()
    assert sent(protocol) == answers[0]
    assert kinds(server) == ["application/json"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (b"13/01/2020,True,x", 'opened is "13/01/2020", which is no date as ISO 8601 has it'),
        (b"today,True,x", 'opened is "today", which is no date'),
        (b"01-02-03,True,x", 'opened is "01-02-03", which is no date'),
        (b"2026-01-31,1,x", 'member is "1", which the model\'s signature has as a boolean'),
        (b"2026-01-31,,x", 'member is "", which the model\'s signature has as a boolean'),
    ],
)
def test_a_value_that_mlflow_would_misread_without_a_word_is_refused(server: Server, record: bytes, told: str) -> None:
    """Any text is True to it, and how dates are written it guesses from the first of a request."""
    server.answers["POST /invocations"] = of_dates
    file, batch = opened(b"opened,member,told\n" + record + b"\n")
    with pytest.raises(ModelFailed) as failed:
        sent(MLflow(Model(server.url)), file, batch)
    assert failed.value.summary.startswith(told)
    assert "Write dates as 2026-01-31" in failed.value.remedy


def test_a_tensor_that_takes_what_is_no_number_may_be_one_of_booleans_and_gets_no_texts(server: Server) -> None:
    def of_booleans(asked: Request) -> Reply:
        return Reply(body=b"[1]") if asked.headers["content-type"] == "application/json" else refusal(OF_A_TENSOR)

    server.answers["POST /invocations"] = of_booleans
    with pytest.raises(ModelFailed, match="TensorSpec only supports numpy types") as failed:
        sent(MLflow(Model(server.url)))
    assert "drop the file as JSON Lines" in failed.value.remedy


@pytest.mark.parametrize("words", ["parse_dates", "TensorSpec"])
def test_a_record_that_a_refusal_quotes_says_nothing_of_the_model(server: Server, words: str) -> None:
    server.answers["POST /invocations"] = refusal(NOT_READ % f"could not convert string to float: '{words}'")
    file, batch = opened(b"a,b\n1,%b\n" % words.encode())
    with pytest.raises(ModelFailed, match="could not convert"):
        sent(MLflow(Model(server.url)), file, batch)
    assert kinds(server) == ["text/csv"]


def test_a_refusal_for_anything_else_is_the_models_own(server: Server) -> None:
    server.answers["POST /invocations"] = refusal("Encountered an unexpected error: TensorSpec, parse_dates")
    with pytest.raises(ModelFailed, match="unexpected error"):
        sent(MLflow(Model(server.url)))
    assert kinds(server) == ["text/csv"]
