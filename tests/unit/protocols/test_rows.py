"""The protocols that answer one prediction for each record: what is sent, and what is made of any answer."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import DropscoreError, ModelFailed, RowCountMismatch
from scoring.files.blocks import Blocks
from scoring.files.dialect import Dialect
from scoring.files.formats import Batch, Format, Spec
from scoring.files.inspection import format_of
from scoring.protocols import PROTOCOLS, MLflow, SageMaker
from scoring.protocols import rows as rows_module
from scoring.protocols.model import Model, NoAnswer, TookTooLong, TooMany, TooMuch
from tests.unit.servers import Reply, Server

HEADER, BLOCK = b"\xef\xbb\xbfa,b\r\n", b'1,"x\ny"\r\n2,z\r\n'
SAGEMAKER, MLFLOW = SageMaker(Model("")), MLflow(Model(""))


def opened(document: bytes, **changes: Any) -> tuple[Format, Batch]:
    """A file and all its records."""
    spec = Spec(**changes)
    file, blocks = format_of(spec), Blocks([document], 1 << 20, spec.dialect)
    file.open(blocks)
    return file, file.batch(next(iter(blocks)), blocks.position, 1)


FILE, BATCH = opened(HEADER + BLOCK, preamble="\ufeff")
DELIMITED = {delimiter: opened(b"a\n1\n", delimiter=delimiter.decode())[0] for delimiter in (b",", b";", b"\t", b"|")}


def submit(protocol: SageMaker | MLflow) -> bytes:
    return protocol.submit(FILE, BATCH, BATCH.good, 5.0)


@pytest.mark.parametrize("name", ["sagemaker", "mlflow"])
def test_a_model_is_ready_when_its_ping_says_so(server: Server, name: str) -> None:
    protocol = PROTOCOLS[name](Model(server.url))
    assert protocol.ready() == "404 "
    server.answers["GET /ping"] = Reply(200, b"whatever")
    assert protocol.ready() is None
    server.answers["GET /ping"] = Reply(500, b"loading")
    assert protocol.ready() == "500 loading"


@pytest.mark.parametrize(
    ("protocol", "accept", "body"),
    [(SageMaker, "text/csv", BLOCK), (MLflow, "application/json", b"a,b\r\n" + BLOCK)],
)
def test_a_batch_is_sent_as_the_protocol_wants_it(
    server: Server, protocol: type[SageMaker] | type[MLflow], accept: str, body: bytes
) -> None:
    """Without the header to SageMaker's, with it and without a byte order mark to MLflow's."""
    server.answers["POST /invocations"] = Reply(200, b"answer")
    assert submit(protocol(Model(server.url))) == b"answer"
    (request,) = server.requests
    assert request.body == body
    assert (request.headers["content-type"], request.headers["accept"]) == ("text/csv", accept)


@pytest.mark.parametrize("status", [201, 204, 302, 400, 500])
def test_any_other_status_is_a_failure_of_the_model_with_its_answer(server: Server, status: int) -> None:
    server.answers["POST /invocations"] = Reply(status, b"" if status == 204 else b"could not convert string to float")
    with pytest.raises(ModelFailed, match=f"The model answered {status}") as failed:
        submit(SageMaker(Model(server.url)))
    assert failed.value.details["status"] == status
    assert status == 204 or failed.value.details["answer"] == "could not convert string to float"


@pytest.mark.parametrize(("status", "error"), [(413, TooMuch), (408, TookTooLong), (504, TookTooLong), (429, TooMany)])
def test_a_batch_that_is_too_much_is_told_from_one_that_is_wrong(
    server: Server, status: int, error: type[Exception]
) -> None:
    """Of the model or of a proxy in between: less at a time may do."""
    server.answers["POST /invocations"] = Reply(status, b"too large")
    with pytest.raises(error, match=f"answered {status}: too large"):
        submit(SageMaker(Model(server.url)))


def test_a_batch_whose_answer_is_cut_short_is_silence(server: Server) -> None:
    server.answers["POST /invocations"] = Reply(200, b"1\n2", promised=10)
    with pytest.raises(NoAnswer):
        submit(SageMaker(Model(server.url)))


@pytest.mark.parametrize(
    ("answer", "names", "rows"),
    [
        (b"0.1\n0.9\n", ["prediction"], [b"0.1", b"0.9"]),
        (b"0.1\r\n0.9", ["prediction"], [b"0.1", b"0.9"]),
        (b"1,0.9\n2,0.8\n", ["prediction_0", "prediction_1"], [b"1,0.9", b"2,0.8"]),
        (b'"a,b",1\n"c\nd",2\n', ["prediction_0", "prediction_1"], [b'"a,b",1', b'"c\nd",2']),
        (b'"a,b"\nc\n', ["prediction"], [b'"a,b"', b"c"]),
    ],
)
def test_lines_of_csv_are_predictions(answer: bytes, names: list[str], rows: list[bytes]) -> None:
    assert SAGEMAKER.collect(FILE, answer, 2) == (names, rows)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b'1\n"2\n', "in the middle of a quoted field"),
        (b"1\n\xff\n", "is not UTF-8"),
        (b"1\ra\n2\n", "carriage return"),
    ],
)
def test_an_answer_that_would_spoil_the_rows_behind_it_is_a_failure_of_the_model(answer: bytes, sentence: str) -> None:
    with pytest.raises(ModelFailed, match=sentence):
        SAGEMAKER.collect(FILE, answer, 2)


LINES, LINES_BATCH = opened(b'{"a": 1.0}\n\n{"a": null} \n', kind="jsonl", header=False)


@pytest.mark.parametrize(
    ("protocol", "media_type", "body"),
    [
        (SAGEMAKER, "application/jsonlines", b'{"a": 1.0}\n{"a": null}\n'),
        (MLFLOW, "application/json", b'{"dataframe_records": [{"a": 1.0}, {"a": null}]}'),
    ],
)
def test_lines_of_json_are_sent_as_the_protocol_wants_them(
    protocol: SageMaker | MLflow, media_type: str, body: bytes
) -> None:
    assert protocol.body(LINES, LINES_BATCH, LINES_BATCH.good) == (body, media_type)


@pytest.mark.parametrize(
    ("protocol", "answer", "names", "rows"),
    [
        (SAGEMAKER, b"1.50\nnull\n", ["prediction"], [[b"1.50"], [b"null"]]),
        (SAGEMAKER, b'yes\n"no, never"\n', ["prediction"], [[b'"yes"'], [b'"no, never"']]),
        (SAGEMAKER, b"0.1,a\n0.2,b\n", ["prediction"], [[b'[0.1, "a"]'], [b'[0.2, "b"]']]),
        (SAGEMAKER, b'{"p": 0.10, "l": "x"}\n{"p": 1, "l": "y"}\n', ["p", "l"], [[b"0.10", b'"x"'], [b"1", b'"y"']]),
        (MLFLOW, b'{"predictions": [1.0, 2]}', ["prediction"], [[b"1.0"], [b"2"]]),
        (MLFLOW, b'{"predictions": ["5", null]}', ["prediction"], [[b'"5"'], [b"null"]]),
        (MLFLOW, b'{"predictions": [[1, 2], [3]]}', ["prediction"], [[b"[1, 2]"], [b"[3]"]]),
    ],
)
def test_predictions_for_lines_of_json_keep_their_types(
    protocol: SageMaker | MLflow, answer: bytes, names: list[str], rows: list[list[bytes]]
) -> None:
    assert protocol.collect(LINES, answer, 2) == (names, rows)


@pytest.mark.parametrize("answer", [b"1,2\n3\n", b"1\n2,3\n", b"1,2\n3,4,5\n"])
def test_lines_of_different_lengths_are_a_failure_of_the_model(answer: bytes) -> None:
    with pytest.raises(ModelFailed, match="rows of different lengths"):
        SAGEMAKER.collect(FILE, answer, 2)


@pytest.mark.parametrize(
    ("predictions", "names", "rows"),
    [
        ("[0.10, 1e-7, 12345678901234567890]", ["prediction"], [b"0.10", b"1e-7", b"12345678901234567890"]),
        ('["a", "b,c", "d\\"e"]', ["prediction"], [b"a", b'"b,c"', b'"d""e"']),
        ("[true, null, NaN]", ["prediction"], [b"true", b"", b"NaN"]),
        ("[[1, 2.50], [3, 4], [5, 6]]", ["prediction_0", "prediction_1"], [b"1,2.50", b"3,4", b"5,6"]),
        ("[[1], [2], [3]]", ["prediction"], [b"1", b"2", b"3"]),
        (
            '[{"label": "x", "p": 0.5}, {"p": 0.50, "label": "y"}, {"label": "z", "p": null}]',
            ["label", "p"],
            [b"x,0.5", b"y,0.50", b"z,"],
        ),
        (
            '[{"label": "x", "scores": [0.25, 1, "a"]}, {"label": "y", "scores": {"k": 0.5}}, {"label": "z", "scores": []}]',
            ["label", "scores"],
            [b'x,"[0.25, 1, ""a""]"', b'y,"{""k"": 0.5}"', b"z,[]"],
        ),
    ],
)
def test_predictions_of_mlflow_become_columns_digit_for_digit(
    predictions: str, names: list[str], rows: list[bytes]
) -> None:
    assert MLFLOW.collect(FILE, f'{{"predictions": {predictions}}}'.encode(), 3) == (names, rows)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[1, 2]",
        b"<html>",
        b'{"predictions": 1}',
        b'{"predictions": {"0": 1}}',
        b'{"outputs": [1, 2]}',
        b"\xff\xfe",
        b'{"predictions": [1, 2}',
        b'{"predictions": ' + b"[" * 100_000,
        b'{"predictions": [[1], [2, 3]]}',
        b'{"predictions": [[1], 2]}',
        b'{"predictions": [{"a": 1}, 2]}',
        b'{"predictions": [{"a": 1}, {"a": 1, "b": 2}]}',
        b'{"predictions": [{"a": 1, "b": 2}, {"a": 1}]}',
    ],
)
def test_an_answer_of_another_form_is_a_failure_of_the_model(answer: bytes) -> None:
    with pytest.raises(ModelFailed, match="The model's") as failed:
        MLFLOW.collect(FILE, answer, 2)
    assert len(failed.value.details.get("answer", "")) <= 2_000


NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.from_regex(r"-?[0-9.eE+-]{1,8}", fullmatch=True),
    st.just("9" * 5_000),
)
SPACES = st.text(" \t\r\n\f", max_size=2)


@given(st.lists(st.tuples(SPACES, NUMBERS, SPACES).map("".join), max_size=6).map(",".join), SPACES)
def test_plain_numbers_are_read_the_short_way_as_the_long_way_reads_them(numbers: str, space: str) -> None:
    """Also when they are none: what is no JSON is refused either way."""
    answer = f'{space}{{"predictions":{space}[{numbers}]{space}}}'.encode()

    def outcome(body: bytes) -> object:
        try:
            return MLFLOW.parse(body, b",")
        except ModelFailed as failed:
            return failed.summary

    long_way = answer.replace(b"predictions", b"prediction\\u0073", 1)
    assert rows_module._NUMBERS.fullmatch(long_way) is None
    assert outcome(answer) == outcome(long_way)


@pytest.mark.parametrize(
    "number", [b"01", b"1.", b".5", b"+1", b"1e", b"--1", b"1 2", b"1,,2", b"1,", b",1", b"0x1", b"e5", b"1-2"]
)
def test_what_only_looks_like_a_number_is_refused(number: bytes) -> None:
    with pytest.raises(ModelFailed, match="is not JSON"):
        MLFLOW.collect(FILE, b'{"predictions": [%b]}' % number, 1)


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (b"1,0.5\n2,0.25\n", [b"1;0.5", b"2;0.25"]),
        (b'"a,b",1\nc,2\n', [b'"a,b";1', b"c;2"]),
        (b'"a;b",1\nc,2\n', [b'"a;b";1', b"c;2"]),
        (b'a;b,1\n"c\nd",2\n', [b'"a;b";1', b'"c\nd";2']),
        (b'"say ""x""",1\n,\n', [b'"say ""x""";1', b";"]),
        ("ü,1\n\x00,2\n".encode(), ["ü;1".encode(), b"\x00;2"]),
        (b'5" pipe,1\n6" pipe,2\n', [b'5" pipe;1', b'6" pipe;2']),
    ],
)
def test_columns_of_a_model_get_the_delimiter_of_the_file(answer: bytes, rows: list[bytes]) -> None:
    assert SAGEMAKER.collect(DELIMITED[b";"], answer, 2) == (["prediction_0", "prediction_1"], rows)


@pytest.mark.parametrize(
    ("predictions", "rows"),
    [
        ('[{"a": "x,y", "b": 1.50}]', [b"x,y;1.50"]),
        ('[{"a": "x;y", "b": [1, 2]}]', [b'"x;y";[1, 2]']),
        ("[[1, 2]]", [b"1;2"]),
        ("[0.5]", [b"0.5"]),
    ],
)
def test_columns_of_mlflow_get_the_delimiter_of_the_file(predictions: str, rows: list[bytes]) -> None:
    assert MLFLOW.collect(DELIMITED[b";"], f'{{"predictions": {predictions}}}'.encode(), 1)[1] == rows


@given(st.one_of(st.binary(), st.text('a";,\n\r').map(str.encode)), st.sampled_from([b";", b"\t", b"|"]))
def test_any_answer_has_as_many_columns_with_another_delimiter(answer: bytes, delimiter: bytes) -> None:
    try:
        names, rows = SAGEMAKER.parse(answer, b",")
    except ModelFailed:
        with pytest.raises(ModelFailed):
            SAGEMAKER.parse(answer, delimiter)
        return
    other_names, others = SAGEMAKER.parse(answer, delimiter)
    assert (other_names, len(others)) == (names, len(rows))
    assert all(len(Dialect(delimiter).fields(row)) == len(names) for row in others)


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [(SAGEMAKER, b"1\n2\n"), (SAGEMAKER, b""), (MLFLOW, b'{"predictions": [1, 2]}'), (MLFLOW, b'{"predictions": []}')],
)
def test_more_or_fewer_predictions_than_records_are_never_joined(protocol: SageMaker | MLflow, answer: bytes) -> None:
    with pytest.raises(RowCountMismatch, match=r"The model answered \d predictions to 3 records"):
        protocol.collect(FILE, answer, 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of(st.binary(), JSON.map(lambda found: json.dumps({"predictions": found}).encode())), st.integers(0, 5))
def test_no_answer_of_a_model_does_more_than_fail_with_a_name(answer: bytes, expected: int) -> None:
    for protocol in (SAGEMAKER, MLFLOW):
        try:
            names, rows = protocol.collect(FILE, answer, expected)
        except DropscoreError:
            continue
        assert len(rows) == expected
        assert all(isinstance(name, str) for name in names)


@given(st.lists(st.one_of(JSON, st.text('a",\n\r ')), min_size=1, max_size=5))
def test_any_prediction_is_one_csv_field(predictions: list[Any]) -> None:
    table = [[prediction] for prediction in predictions]
    _, rows = MLFLOW.collect(FILE, json.dumps({"predictions": table}).encode(), len(table))
    for row in rows:
        read = list(csv.reader(io.StringIO(row.decode(), newline="")))
        assert len(read) <= 1
        assert all(len(fields) == 1 for fields in read)
