"""The order in which workers get the tests: none is lost, and what takes long comes first."""

from __future__ import annotations

import pytest

from tests.order import dealt

NAMES = [
    *(f"tests/cluster/test_a.py::test_{n}" for n in range(9)),
    *(f"tests/e2e/test_scoring.py::test_{n}" for n in range(4)),
    "tests/e2e/test_cases.py::test_each_file",
    *(f"tests/statemachine/test_{n}.py::test" for n in range(5)),
    *(f"tests/unit/test_{n}.py::test" for n in range(80)),
]


@pytest.mark.parametrize("workers", [1, 2, 5, 200])
def test_each_test_is_there_once(workers: int) -> None:
    assert sorted(dealt(NAMES, workers)) == sorted(NAMES)


def test_each_worker_begins_with_what_takes_long_and_ends_with_what_does_not() -> None:
    order = dealt(NAMES, 4)
    shares, left = [], order
    for workers in (4, 3, 2, 1):
        size = len(left) // workers
        shares.append(left[:size])
        left = left[size:]
    folders = [[name.split("/")[1] for name in share] for share in shares]
    assert sorted(share[0] for share in folders) == ["cluster", "e2e", "e2e", "statemachine"]
    assert {share[-1] for share in folders} == {"unit"}
    assert sum(share.count("cluster") > 0 for share in folders) == 1, "they share a cluster"
