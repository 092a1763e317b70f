"""What is made of any answer to a batch: by what it is, whoever sent it."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import DropscoreError, ModelFailed, RowCountMismatch
from scoring.files.dialect import Dialect
from scoring.protocols import answers, json_answers
from scoring.protocols.model import Answer


def read(
    body: bytes, expected: int, delimiter: bytes | None = b",", media_type: str = "", columns: tuple[str, ...] = ()
) -> tuple[list[str], list[Any]]:
    names, rows = answers.read(Answer(200, body, media_type=media_type), expected, delimiter, columns)
    return names, list(rows)


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
    assert read(answer, 2) == (names, rows)


@pytest.mark.parametrize(
    ("answer", "names", "rows"),
    [
        (b"[0.10, 0.9]\n[0.2, 0.8]\n", ["prediction_0", "prediction_1"], [b"0.10,0.9", b"0.2,0.8"]),
        (b"[[0.10, 0.9], [0.2, 0.8]]", ["prediction_0", "prediction_1"], [b"0.10,0.9", b"0.2,0.8"]),
        (b"[0.10, 0.9]", ["prediction"], [b"0.10", b"0.9"]),
        (b'["a,b", "c"]\n', ["prediction"], [b'"a,b"', b"c"]),
        (b'{"p": 0.10, "l": "x"}\n{"l": "y", "p": 1}\n', ["p", "l"], [b"0.10,x", b"1,y"]),
        (b'{"predictions": {"p": [0.10, 1], "l": ["x", "y"]}}', ["p", "l"], [b"0.10,x", b"1,y"]),
        (b'{"predictions": [{"score": 0.10}, {"score": 1}]}', ["score"], [b"0.10", b"1"]),
        (b"<=50K\n>50K\n", ["prediction"], [b"<=50K", b">50K"]),
        (b"p,label\n0.10,x\n1,y\n", ["p", "label"], [b"0.10,x", b"1,y"]),
        (b'"the score"\n0.10\n1\n', ["the score"], [b"0.10", b"1"]),
        (b"\xef\xbb\xbfp\n0.10\n1\n", ["p"], [b"0.10", b"1"]),
        (b"setosa\nvirginica\n", ["prediction"], [b"setosa", b"virginica"]),
        (b"\n[1]\n[2]\n", ["prediction"], [b"1", b"2"]),
    ],
)
def test_predictions_are_read_by_what_they_are(answer: bytes, names: list[str], rows: list[bytes]) -> None:
    """Of two records."""
    assert read(answer, 2) == (names, rows)


@pytest.mark.parametrize(
    ("answer", "names", "row"),
    [
        (b"[0.10, 0.9]", ["prediction_0", "prediction_1"], b"0.10,0.9"),
        (b"[[0.10, 0.9]]", ["prediction_0", "prediction_1"], b"0.10,0.9"),
        (b"[0.10]", ["prediction"], b"0.10"),
        (b"0.10,0.9\n", ["prediction_0", "prediction_1"], b"0.10,0.9"),
        (b"p\n0.10\n", ["p"], b"0.10"),
        (b'{"predictions": [0.10]}', ["prediction"], b"0.10"),
    ],
)
def test_the_prediction_of_one_record_has_the_columns_of_many(answer: bytes, names: list[str], row: bytes) -> None:
    assert read(answer, 1) == (names, [row])


@pytest.mark.parametrize(
    ("answer", "expected", "error", "sentence"),
    [
        (b"label\nsetosa\nvirginica\n", 2, RowCountMismatch, "answered 3 predictions to 2 records. Its answer begins"),
        (b"p\n0.5\n0.25\n", 3, ModelFailed, "the first looks like a header: 'p"),
        (b"p,q\n0.5,\n0.25,x\n", 3, ModelFailed, "the first looks like a header"),
        (b"0.5,0.25,0.1\n", 2, RowCountMismatch, "answered 1 predictions to 2 records"),
        (b'{"error": "no model"}', 1, ModelFailed, "a JSON document without predictions"),
        (b'{"score": 0.5}', 1, ModelFailed, "it cannot be told from an answer of another kind"),
        (b'{"scores": [0.5, 0.25]}', 2, ModelFailed, "a JSON document without predictions"),
        (b"<!doctype html>", 1, ModelFailed, "a page of HTML"),
        (b"0.5,0.25\n", 2, RowCountMismatch, "one line of 2 values to 2 records: it cannot be told"),
        (b"[{}]", 1, RowCountMismatch, "answered 0 predictions to 1 records"),
        (b'{"predictions": [[]]}', 1, RowCountMismatch, "answered 0 predictions to 1 records"),
    ],
)
def test_what_cannot_be_told_apart_is_an_error_with_the_answers_beginning(
    answer: bytes, expected: int, error: type[DropscoreError], sentence: str
) -> None:
    with pytest.raises(error) as told:
        read(answer, expected)
    assert sentence in told.value.summary
    assert told.value.details["answer"] == answer.decode()


@pytest.mark.parametrize(
    ("answer", "expected", "media_type", "sentence"),
    [
        (b'"setosa"', 1, "application/json", "cannot be told from a message"),
        (rb'"caf\u00e9"', 1, "application/json; charset=utf-8", "cannot be told from a message"),
        (rb'"caf\u00e9"', 1, "text/html", "mean one thing in CSV and another in JSON"),
        (b'"C:\\new"\n"x"\n', 2, "", "mean one thing in CSV and another in JSON"),
        (b"label\n\n", 1, "text/csv", "its first may be a header: 'label"),
        (b"p\n\n", 1, "", "its first may be a header: 'p"),
        (b"label\nsetosa\n\n", 2, "", "its first may be a header: 'label"),
        (b"label\n\nsetosa\n", 2, "", "its first may be a header: 'label"),
        (b"array([0.5," + b"0.5," * 19 + b"0.5])", 21, "", "one line of 21 values to 21 records"),
        (b'{"predictions": {"0": [0.1, 0.9], "1": [0.2, 0.8]}}', 2, "", "each is a record's or a column's"),
        (b'{"predictions": {"columns": ["p"], "index": [0], "data": [[0.5]]}}', 1, "", "no lists of the same length"),
        (b'{"predictions": {"columns": ["p"], "data": [[0.5]]}}', 1, "", "no lists of the same length"),
        (b'{"predictions": [0.5, [0.5, 1]]}', 2, "", "different shapes"),
        (b'{"predictions": [null, {"p": 1}]}', 2, "", "different shapes"),
    ],
)
def test_what_one_reader_takes_otherwise_than_another_is_no_prediction(
    answer: bytes, expected: int, media_type: str, sentence: str
) -> None:
    with pytest.raises((ModelFailed, RowCountMismatch)) as told:
        read(answer, expected, media_type=media_type)
    assert sentence in told.value.summary
    assert told.value.details["answer"] == answer.decode()


@pytest.mark.parametrize(
    ("answer", "media_type", "rows", "values"),
    [
        (b'"say \\"x\\", y"\n"caf\\u00e9"\n', "application/json", [b'"say ""x"", y"', "café".encode()], None),
        (b'"C:\\new"\n"x"\n', "text/csv; charset=utf-8", [b'"C:\\new"', b'"x"'], [rb'"C:\\new"', b'"x"']),
        (b'"C:\\dir"\n"x"\n', "", [b'"C:\\dir"', b'"x"'], [rb'"C:\\dir"', b'"x"']),
        (b'"5"\n"say ""x"""\n', "", [b'"5"', b'"say ""x"""'], [b'"5"', rb'"say \"x\""']),
        (b'"5"\nnone\n', "", [b'"5"', b"none"], [b'"5"', b'"none"']),
        (b"setosa\nvirginica\n\n", "text/plain", None, None),
        (b"0.5\n0.25\n\n", "", [b"0.5", b"0.25"], [b"0.5", b"0.25"]),
        (b"setosa\nvirginica\n\n\n", "", [b"setosa", b"virginica"], [b'"setosa"', b'"virginica"']),
    ],
)
def test_texts_say_the_same_in_either_kind_of_file(
    answer: bytes, media_type: str, rows: list[bytes] | None, values: list[bytes] | None
) -> None:
    if rows is None:
        with pytest.raises(ModelFailed, match="an empty line"):
            read(answer, 2, media_type=media_type)
        rows, values = [b"setosa", b"virginica"], [b'"setosa"', b'"virginica"']
    columns = ("prediction",)
    assert read(answer, 2, media_type=media_type, columns=columns) == (["prediction"], rows)
    if values:
        assert read(answer, 2, None, media_type=media_type, columns=columns)[1] == [[value] for value in values]


@pytest.mark.parametrize("answer", [b"a\nb,c\n", b'a,b\n"c,d"\n'])
def test_lines_of_csv_are_as_long_as_each_other_for_lines_of_json_as_well(answer: bytes) -> None:
    with pytest.raises(ModelFailed, match="rows of different lengths"):
        read(answer, 2, None)


def test_what_earlier_answers_were_called_tells_a_header_of_texts_and_the_order_of_members() -> None:
    assert read(b"label\nsetosa\n", 1, columns=("label",)) == (["label"], [b"setosa"])
    with pytest.raises(ModelFailed, match="looks like a header"):
        read(b"label\nsetosa\n\n", 2, columns=("label",))
    for answer in (b'[{"b": 2, "a": 1}]', b'{"predictions": {"b": [2], "a": [1]}}', b'{"b": 2, "a": 1}'):
        assert read(answer, 1, columns=("a", "b")) == (["a", "b"], [b"1,2"])
    square = b'{"predictions": {"0": [0.1, 0.9], "1": [0.2, 0.8]}}'
    assert read(square, 2, columns=("0", "1"))[1] == [b"0.1,0.2", b"0.9,0.8"]


def test_a_json_text_for_one_record_is_a_prediction_where_earlier_answers_were() -> None:
    answer = rb'"caf\u00e9"'
    assert read(answer, 1, media_type="application/json", columns=("prediction",))[1] == ["café".encode()]
    assert read(answer, 1, media_type="application/jsonlines")[1] == ["café".encode()]
    assert read(b"0.50", 1, media_type="application/json")[1] == [b"0.50"]


def test_an_object_for_one_record_is_a_prediction_where_something_says_so() -> None:
    answer = b'{"score": 0.50, "label": "x"}\n'
    assert read(answer, 1, media_type="application/jsonlines; charset=utf-8") == (["score", "label"], [b"0.50,x"])
    assert read(answer, 1, columns=("score", "label")) == (["score", "label"], [b"0.50,x"])


def test_many_values_on_one_line_are_a_prediction_for_each_record() -> None:
    """As XGBoost's container answers where nobody has told it of a batch."""
    values = [b"%d.50" % n for n in range(21)]
    assert read(b", ".join(values), 21) == (["prediction"], values)
    assert read(b"1,2", 2, columns=("prediction",)) == (["prediction"], [b"1", b"2"])
    with pytest.raises(RowCountMismatch, match="it cannot be told"):
        read(b"Home, improvement", 2, columns=("prediction",))
    with pytest.raises(RowCountMismatch, match="it cannot be told"):
        read(b",".join(values), 21, columns=tuple(f"prediction_{n}" for n in range(21)))


def test_a_content_type_that_tells_of_a_header_is_believed() -> None:
    answer = b"label\nsetosa\n"
    assert read(answer, 1, media_type="text/csv; header=present") == (["label"], [b"setosa"])
    assert read(answer, 2, media_type="text/csv; header=absent") == (["prediction"], [b"label", b"setosa"])
    assert read(b"a\n\nb\n", 2, media_type="text/csv; header=absent") == (["prediction"], [b"a", b"b"])
    assert read(b"p\n1\n", 2, media_type="text/csv; header=absent") == (["prediction"], [b"p", b"1"])
    with pytest.raises(ModelFailed, match="looks like a header"):
        read(answer, 2, media_type="text/csv;header=present")


def test_texts_of_lines_of_json_are_read_as_json() -> None:
    answer = b'"say \\"x\\", y"\n"z"\n'
    assert read(answer, 2, media_type="application/x-ndjson") == (["prediction"], [b'"say ""x"", y"', b"z"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error_code": "BAD_REQUEST", "message": " no column a ", "stack_trace": "..."}', "no column a"),
        (
            b'{"message": "Verify the input.", "stack_trace": "Traceback:\\n  File \\"a.py\\"\\nKeyError: 1\\n\\nValueError: names:\\n- X\\n"}',
            "Verify the input. (ValueError: names: - X)",
        ),
        (
            b'{"message": "no column a", "stack_trace": "Traceback:\\nValueError: no column a"}',
            "no column a (ValueError: no column a)",
        ),
        (b'{"message": "KeyError: 1", "stack_trace": "KeyError: 1"}', "KeyError: 1"),
        (b'{"detail": "not found"}', "not found"),
        (b'{"detail": [{"loc": ["body", "a"], "msg": "missing"}]}', '[{"loc": ["body", "a"], "msg": "missing"}]'),
        (b'{"error": {"code": 3, "message": "shape"}}', "shape"),
        (b'{"error": "shape"}', "shape"),
        (b'["message"]', ""),
        (b"Traceback", ""),
        (b"", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_the_message_of_a_json_error_is_found(body: bytes, said: str) -> None:
    assert answers.said(Answer(400, body)) == said


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
        read(answer, 2)


@pytest.mark.parametrize(
    ("answer", "names", "rows"),
    [
        (b"1.50\nnull\n", ["prediction"], [[b"1.50"], [b"null"]]),
        (b'"5"\n"no, ""never"""\n', ["prediction"], [[b'"5"'], [rb'"no, \"never\""']]),
        (b'yes\n"no, never"\n', ["prediction"], [[b'"yes"'], [b'"no, never"']]),
        (b"0.1,a\n0.2,b\n", ["prediction"], [[b'[0.1, "a"]'], [b'[0.2, "b"]']]),
        (b'{"p": 0.10, "l": "x"}\n{"p": 1, "l": "y"}\n', ["p", "l"], [[b"0.10", b'"x"'], [b"1", b'"y"']]),
        (b'{"predictions": [1.0, 2]}', ["prediction"], [[b"1.0"], [b"2"]]),
        (b'{"predictions": ["5", null]}', ["prediction"], [[b'"5"'], [b"null"]]),
        (b'{"predictions": [[1, 2], [3]]}', ["prediction"], [[b"[1, 2]"], [b"[3]"]]),
    ],
)
def test_predictions_for_lines_of_json_keep_their_types(
    answer: bytes, names: list[str], rows: list[list[bytes]]
) -> None:
    assert read(answer, 2, None) == (names, rows)


@pytest.mark.parametrize("answer", [b"1,2\n3\n", b"1\n2,3\n", b"1,2\n3,4,5\n"])
def test_lines_of_different_lengths_are_a_failure_of_the_model(answer: bytes) -> None:
    with pytest.raises(ModelFailed, match="rows of different lengths"):
        read(answer, 2)


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
    assert read(f'{{"predictions": {predictions}}}'.encode(), 3) == (names, rows)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"predictions": 1}',
        b'{"predictions": {"0": 1}}',
        b'{"predictions": {"a": [1, 2], "b": [1]}}',
        b"[0.1 0.9]\n[0.2 0.8]\n",
        b"[other]\n[this]\n",
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
        read(answer, 2)
    assert len(failed.value.details.get("answer", "")) <= 2_100


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
            return read(body, numbers.count(",") + 1)
        except DropscoreError as failed:
            return type(failed)

    long_way = answer.replace(b"predictions", b"prediction\\u0073", 1)
    assert json_answers._NUMBERS.fullmatch(long_way) is None
    assert outcome(answer) == outcome(long_way)


@pytest.mark.parametrize(
    "number", [b"01", b"1.", b".5", b"+1", b"1e", b"--1", b"1 2", b"1,,2", b"1,", b",1", b"0x1", b"e5", b"1-2"]
)
def test_what_only_looks_like_a_number_is_refused(number: bytes) -> None:
    with pytest.raises(ModelFailed, match="is not JSON"):
        read(b'{"predictions": [%b]}' % number, 1)


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
    assert read(answer, 2, b";") == (["prediction_0", "prediction_1"], rows)


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
    assert read(f'{{"predictions": {predictions}}}'.encode(), 1, b";")[1] == rows


@given(
    st.one_of(st.binary(), st.text('a1";,\n\r').map(str.encode)),
    st.integers(0, 4),
    st.sampled_from([b";", b"\t", b"|"]),
)
def test_any_answer_has_as_many_columns_with_another_delimiter(answer: bytes, expected: int, delimiter: bytes) -> None:
    try:
        names, rows = read(answer, expected)
    except DropscoreError as error:
        with pytest.raises(type(error)):
            read(answer, expected, delimiter)
        return
    other_names, others = read(answer, expected, delimiter)
    assert (other_names, len(others)) == (names, len(rows))
    assert all(len(Dialect(delimiter).fields(row)) == len(names) for row in others)


@pytest.mark.parametrize("answer", [b"1\n2\n", b"", b'{"predictions": [1, 2]}', b'{"predictions": []}', b"[[1, 2, 3]]"])
def test_more_or_fewer_predictions_than_records_are_never_joined(answer: bytes) -> None:
    with pytest.raises(RowCountMismatch, match=r"The model answered \d predictions to 3 records") as wrong:
        read(answer, 3)
    assert repr(answer.decode()) in wrong.value.summary or (not answer and "is empty" in wrong.value.summary)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of(st.binary(), JSON.map(lambda found: json.dumps({"predictions": found}).encode())), st.integers(1, 5))
def test_no_answer_of_a_model_does_more_than_fail_with_a_name(answer: bytes, expected: int) -> None:
    for delimiter in (b",", None):
        try:
            names, rows = read(answer, expected, delimiter)
        except DropscoreError:
            continue
        assert len(rows) == expected
        assert all(isinstance(name, str) for name in names)


@given(st.lists(st.one_of(JSON, st.text('a",\n\r ')), min_size=1, max_size=5))
def test_any_prediction_is_one_csv_field(predictions: list[Any]) -> None:
    table = [[prediction] for prediction in predictions]
    _, rows = read(json.dumps({"predictions": table}).encode(), len(table))
    for row in rows:
        lines = list(csv.reader(io.StringIO(row.decode(), newline="")))
        assert len(lines) <= 1
        assert all(len(fields) == 1 for fields in lines)
