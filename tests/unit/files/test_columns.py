"""Chosen columns: whatever the choice, those fields and no others, of records with quotes and without."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from scoring.files.blocks import Blocks
from scoring.files.delimited import Csv
from scoring.files.formats import Spec

FIELDS = st.text('ab",;5 ', max_size=5)


@given(
    st.lists(st.lists(FIELDS, min_size=4, max_size=4), min_size=1, max_size=5),
    st.sets(st.integers(0, 3), min_size=1).map(sorted),
    st.sets(st.integers(0, 3), min_size=1).map(sorted),
    st.sampled_from(",;"),
)
def test_the_model_sees_those_that_were_chosen_and_others_come_back(
    rows: list[list[str]], sent: list[int], kept: list[int], delimiter: str
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows([["w", "x", "y", "z"], *rows])
    spec = Spec(delimiter=delimiter, escape="double", sent=tuple(sent), kept=tuple(kept))
    file, blocks = Csv(spec), Blocks([written.getvalue().encode()], 1 << 20, spec.dialect)
    file.open(blocks)
    batch = file.batch(next(iter(blocks)), blocks.position, 1)
    seen = list(csv.reader(io.StringIO((file.sent_header + file.body(batch, batch.good)).decode(), newline="")))
    assert seen == [["wxyz"[place] for place in sent], *([row[place] for place in sent] for row in rows)]
    scored = file.header(["p"]) + file.joined(batch, ["p"], [b"1"] * len(rows))
    found = list(csv.reader(io.StringIO(scored.decode(), newline=""), delimiter=delimiter))
    assert found == [
        ["wxyz"[place] for place in kept] + ["p"],
        *([row[place] for place in kept] + ["1"] for row in rows),
    ]
