"""Whatever the bytes of a file are: an error, or its own columns as csv.reader reads them, each with its own prediction."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dropscore.check.memory_s3 import MemoryS3
from scoring.errors import DropscoreError
from tests.builders import OUTPUT_BUCKET
from tests.cases import Case
from tests.examples import examples
from tests.scoring import OUTPUT
from tests.unit.servers import Reply, Request, Server
from tests.unit.test_cases import score

WORDS = [
    "a",
    "1",
    "ü",
    '"',
    '""',
    ",",
    ",",
    ";",
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\\",
    '\\"',
    ',"',
    '",',
    '5" x',
    "\x00",
    "\t",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
HEADED = st.builds("{}\n{}".format, st.sampled_from(["a,b", "a,b,c", '"a ""x""",b', "a"]), TEXTS)
BODIES = st.one_of(
    HEADED.map(str.encode),
    TEXTS.map(str.encode),
    HEADED.map(lambda text: text.encode("utf-16")),
    HEADED.map(lambda text: b"\xef\xbb\xbf" + text.encode()),
    st.binary(max_size=60),
)


def prediction(record: list[str]) -> str:
    return hashlib.sha256("|".join(record).encode()).hexdigest()[:8] + "x"


def model(asked: Request) -> Reply:
    rows = [row for row in csv.reader(io.StringIO(asked.body.decode(), newline="")) if row]
    return Reply(body=b"".join(prediction(row).encode() + b"\n" for row in rows))


def tensors(asked: Request) -> Reply:
    (given,) = json.loads(asked.body)["inputs"]
    rows, width = given["shape"]
    values = [value or "" for value in given["data"]]
    assert len(values) == rows * width
    data = [prediction(values[start : start + width]) for start in range(0, len(values), width)]
    return Reply(body=json.dumps({"outputs": [{"name": "p", "shape": [rows], "data": data}]}).encode())


MODELS: dict[str, dict[str, Any]] = {
    "sagemaker": {"POST": model},
    "oip": {
        "POST /v2/repository/index": Reply(body=b'[{"name": "m"}]'),
        "GET": Reply(body=b'{"inputs": [{"name": "all", "datatype": "BYTES", "shape": [-1, -1]}]}'),
        "POST": tensors,
    },
}


def text_of(body: bytes) -> str:
    return body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def rows_of(text: str) -> list[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    # A line of spaces is none; of an empty one, csv makes no field, of two quotes it does.
    return [row for row in rows if row and not (len(row) == 1 and row[0] and not row[0].strip(" \t"))]


@pytest.fixture
def s3() -> MemoryS3:
    """A test has thousands of calls."""
    return MemoryS3()


class Own(Case):
    """A case of a body that is in no file."""

    own: bytes

    @property
    def body(self) -> bytes:
        return self.own


@pytest.mark.parametrize("protocol", MODELS)
@pytest.mark.parametrize("tags", [{}, {"max_errors": "50%"}, {"header": "none"}], ids=str)
@settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(body=BODIES)
def test_no_file_gives_a_wrong_result(
    s3: Any, server: Server, protocol: str, tags: dict[str, str], body: bytes
) -> None:
    # Spaces in quotes are a record, and look to csv.reader as a line of spaces does.
    lines = re.split("[\r\n]", body.decode("latin-1").replace("\0", ""))
    assume(not any('"' in line and line.replace('"', "").isspace() for line in lines))
    server.answers = dict(MODELS[protocol])
    case = Own("any.csv", protocol, tags={"delimiter": "comma", **tags})
    object.__setattr__(case, "own", body)
    try:
        result = score(s3, server, case)
    except DropscoreError as error:
        json.loads(str(error))
        return
    out = s3.get_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT["key"])["Body"].read().decode("utf-8-sig")
    text = text_of(body)
    own, found = rows_of(text), list(csv.reader(io.StringIO(out, newline="")))
    header = [] if "header" in tags else own.pop(0)
    width = len(header) or len(own[0])
    if header:
        assert found.pop(0)[:-1] == header
    assert len(found) == len(own) == result["rows"]
    for row, record in zip(found, own, strict=True):
        padded = record + [""] * (width - len(record))
        assert row[:-1] == padded[:width]
        assert row[-1] == ("" if len(record) > width else prediction(padded))
