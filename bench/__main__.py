"""All benchmarks, one table: `make bench`, or `python -m bench --quick` to see that they work.

Exit codes: 0 all rows were measured, whether or not their goals were met; 1 a row could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bench import cost, s3, standins
from bench import durations as functions
from bench import stack as embedded
from bench.plan import FULL, QUICK, ROOT, Plan
from bench.rows import files, imports, memory, shards, throughput
from bench.table import Missing, Row, show, write

RESULTS = ROOT / "bench/results.json"
_WIDTH = 150
console = Console(highlight=False, width=max(_WIDTH, Console().width))

Section = tuple[str, Callable[[], Iterator[Row]]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: whether everything works")
    parser.add_argument("--only", action="append", help="only the sections whose name contains this; may be repeated")
    options = parser.parse_args()
    began = time.monotonic()
    durations: dict[str, float] = {}
    rows, missing = measure(QUICK if options.quick else FULL, options.only or [""], durations)
    write(rows, RESULTS)
    if not (missing or options.quick or options.only):
        cost.MEASURED.write_text(json.dumps(for_costs(rows, durations), indent=2) + "\n")
    show(rows, missing, console)
    caution = " A quick look, not one to judge by." if options.quick else ""
    took = f"{time.monotonic() - began:.0f} s; ours and baseline as min … median … max.{caution}"
    console.print(f"\n{took} {RESULTS}", style="dim")
    return 1 if missing else 0


def measure(plan: Plan, only: list[str], durations: dict[str, float]) -> tuple[list[Row], list[Missing]]:
    """Measure one section after the other; what fails is told, and the others still are measured."""
    rows: list[Row] = []
    missing: list[Missing] = []

    def take(*sections: Section) -> None:
        for name, section in sections:
            if not any(part in name for part in only):
                continue
            began = time.monotonic()
            try:
                for row in section():
                    rows.append(row)
            except Exception as error:  # noqa: BLE001  (whatever it is, the table says it, and so does the exit code)
                missing.append(Missing(name, f"{type(error).__name__}: {error}"))
            console.print(f"  {name:<22}{time.monotonic() - began:6.1f} s", style="dim")

    with ExitStack() as running:
        s3_url, model_url = (running.enter_context(standins.running(name)) for name in ("bench.s3", "bench.model"))
        slow_url = running.enter_context(standins.running("bench.s3", *s3.AS_AWS_PLANS))
        sleeping_url = running.enter_context(standins.running("bench.model", "--mb-s", str(plan.slow_model_mb_s)))
        take(
            ("sas throughput", lambda: throughput.sas(plan, s3_url, model_url)),
            ("row protocols", lambda: throughput.rows(plan, s3_url, model_url)),
            ("odd files", lambda: throughput.kinds(plan, s3_url, model_url)),
            ("throttled S3", lambda: throughput.throttled(plan, s3_url, slow_url, model_url)),
            ("pods side by side", lambda: shards.side_by_side(plan, s3_url, sleeping_url)),
            ("plans", lambda: shards.planning(plan, slow_url)),
            ("memory", lambda: memory.rows(plan, s3_url, model_url)),
        )
    take(("imports", lambda: imports.rows(plan)), ("stack", lambda: on_stack(plan, durations)))
    return rows, missing


def on_stack(plan: Plan, durations: dict[str, float]) -> Iterator[Row]:
    """Rows of the embedded stack; `durations` gets the seconds of the functions."""
    with embedded.running() as bench:
        scored: list[embedded.Scored] = []
        yield from files.overhead(plan, bench, scored)
        durations.update(functions.of(bench, scored))
        yield from files.at_once(plan, bench)


def for_costs(rows: list[Row], durations: Mapping[str, float]) -> dict[str, Any]:
    """What bench/cost.py takes over from a full run."""
    named = {row.name: row for row in rows}
    overhead = named[files.OVERHEAD].baseline
    assert overhead
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "transitions": round(named[files.transitions_row(FULL.at_once[0])].value),
        "seconds": dict(durations),
        "engine_mb_per_second": round(named[throughput.sas_row(FULL)].value),
        "waiting_overhead_seconds": round(overhead.median, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
