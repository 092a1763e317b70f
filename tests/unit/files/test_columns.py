"""Chosen columns: whatever the choice, those fields and no others, of records with quotes and without."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring.files import delimited
from scoring.files.blocks import Blocks
from scoring.files.delimited import Csv
from scoring.files.formats import Batch, Spec
from tests.examples import examples

FIELDS = st.text('ab",;5ü \r\n', max_size=5)
PLACES = st.sets(st.integers(0, 3), min_size=1).map(sorted)


@st.composite
def written(draw: st.DrawFn, delimiter: str) -> tuple[list[list[str]], str]:
    """Records, and a file of them that some writer has made: each with its own opinion of what is to be quoted."""
    rows = draw(st.lists(st.lists(FIELDS, min_size=4, max_size=4), min_size=1, max_size=6))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = io.StringIO(newline="")
    for row in [["w", "x", "y", "z"], *rows]:
        # Before Python 3.13, a CR is left unquoted where lines end with LF: such a file is refused.
        all_quoted = any("\r" in field for field in row) or draw(st.booleans())
        quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
        csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerow(row)
    return rows, text.getvalue() if draw(st.booleans()) else text.getvalue().removesuffix(end)


def opened(text: str, spec: Spec) -> tuple[Csv, Batch]:
    file, blocks = Csv(spec), Blocks([text.encode()], 1 << 20, spec.dialect)
    file.open(blocks)
    return file, file.batch(next(iter(blocks)), blocks.position, 1)


def read(text: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(150))
@given(
    data=st.data(), sent=PLACES, kept=PLACES, delimiter=st.sampled_from(",,;"), at_once=st.sampled_from([1, 20, 1000])
)
def test_the_model_sees_those_that_were_chosen_and_others_come_back(
    data: st.DataObject, sent: list[int], kept: list[int], delimiter: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_AT_ONCE_BYTES", at_once)
    rows, text = data.draw(written(delimiter))
    file, batch = opened(text, Spec(delimiter=delimiter, escape="double", sent=tuple(sent), kept=tuple(kept)))
    body = file.body(batch, batch.good)
    assert read(file.sent_header + body) == [[row[place] for place in sent] for row in [list("wxyz"), *rows]]
    # Each record by itself, as where one is looked for that a model does not take.
    assert b"".join(record + b"\n" for record in file.records(batch, batch.good)) == body
    assert [read(file.body(batch, [place])) for place in batch.good] == [[[row[at] for at in sent]] for row in rows]
    scored = b"".join([file.header(["p"]), *file.joined(batch, ["p"], [b"1"] * len(rows))])
    found = read(scored, delimiter)
    whole = [["w", "x", "y", "z", "p"], *([*row, "1"] for row in rows)]
    assert found == [[row[place] for place in [*kept, 4]] for row in whole]


@pytest.mark.parametrize("sent", [(1, 2), (0, 1), (0, 2), (1,)])
def test_quotes_that_mean_themselves_are_written_so_that_they_do(sent: tuple[int, ...]) -> None:
    """Inch marks, in and beside a column that the model gets."""
    rows = [["1", '5" pipe', "a"], ['2"', "b", "c"], ["3", 'd,"e', "f"]]
    text = 'x,y,z\n1,5" pipe,a\n2",b,c\n3,"d,""e",f\n'
    file, batch = opened(text, Spec(escape="double", sent=sent))
    assert read(file.body(batch, batch.good)) == [[row[place] for place in sent] for row in rows]
