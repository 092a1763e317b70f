"""Which worker of pytest-xdist begins with what: tests that wait first, while the others keep the processor busy.

With `--dist worksteal` each worker gets a share of the tests as they were collected, and one that is done takes from the
end of another's. In the order of the folders all that waits would be one worker's share; at the end, the others would wait.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

# By the clock, on a quiet machine. What is made once a worker (a cluster, an engine, models) stays together; the embedded
# stack of tests/e2e is all workers'.
SECONDS = {
    "tests/e2e/test_errors.py::test_a_pod_that_fits_no_node": 80,
    "tests/e2e/test_errors.py::test_a_model_that_goes_wrong_is_told_apart[never-listens]": 80,
    "tests/e2e/test_cases.py": 60,
    "tests/e2e/test_page.py": 40,
    "tests/e2e/test_errors.py::test_a_model_that_goes_wrong_is_told_apart[hangs-up]": 30,
    "tests/e2e/test_errors.py::test_a_model_that_goes_wrong_is_told_apart[refuses]": 30,
    "tests/e2e/test_scoring.py::test_twenty_files_at_once": 20,
    "tests/e2e/test_profiles.py": 30,
    "tests/cluster/": 60,
    "tests/local/test_foreign.py": 30,
    "tests/local/test_front.py": 25,
    "tests/local/": 25,
    "tests/statemachine/": 15,
}
SECONDS_IN_E2E = 6


def dealt(names: Iterable[str], workers: int) -> list[str]:
    """The names of tests in the order that gives each worker its share: what takes long is dealt out, the longest first.

    Each is there as often as before.
    """
    names = list(names)
    waiting: dict[str, list[str]] = {}
    rest: list[str] = []
    for name in names:
        long = next((start for start in SECONDS if name.startswith(start)), name)
        together = waiting.setdefault(long, []) if long != name or name.startswith("tests/e2e/") else rest
        together.append(name)
    shares: list[list[str]] = [[] for _ in range(workers)]
    busy = [0] * workers
    for long in sorted(waiting, key=lambda long: -SECONDS.get(long, SECONDS_IN_E2E)):
        worker = busy.index(min(busy))
        busy[worker] += SECONDS.get(long, SECONDS_IN_E2E)
        shares[worker] += waiting[long]
    left = iter(rest)
    for number, share in enumerate(shares):
        # As many as pytest-xdist sends: an equal part of what is left.
        size = (len(names) - sum(map(len, shares[:number]))) // (workers - number)
        share += [name for _, name in zip(range(size - len(share)), left, strict=False)]
    return [name for share in shares for name in share] + list(left)


def deal(items: list[pytest.Item], workers: int) -> None:
    """Put the collected tests into that order."""
    place = {name: number for number, name in enumerate(dealt((item.nodeid for item in items), workers))}
    items.sort(key=lambda item: place[item.nodeid])
