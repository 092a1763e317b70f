"""docs/failures.md, written from the cases (`make failures`)."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.faults.case import Case
from tests.e2e.faults.table import CASES

DOCUMENT = Path(__file__).parents[3] / "docs/failures.md"
INTRODUCTION = """# What comes of a failure

Whatever goes wrong, a file ends in exactly one of `.scoreout` and `.error`, each attempt is told of by exactly one
[event](events.md) and leaves one receipt, and nothing else is left of it: no pod, no Service, no route, no unfinished upload. These are the faults that are injected to prove it, each into a running stack
([local.md](local.md)), for real: processes are killed, ports closed, images deleted, policies changed. `make test-faults` plays all
{count} of them and holds every outcome against this table, which is made from the cases' own code (`tests/e2e/faults`).

An error's `.error` begins with the sentence quoted in part here (`summary`) and goes on with the remedy. Every case ends
with **nothing left**, so the table has no column for it.
"""
HEAD = "| case | what goes wrong | what the user gets |\n|---|---|---|\n"


def render() -> str:
    count = sum(map(len, CASES.values()))
    parts = [INTRODUCTION.format(count=count)]
    for title, cases in CASES.items():
        parts.append(f"\n## {title}\n\n{HEAD}{''.join(map(row, cases))}")
    return "".join(parts)


def row(case: Case) -> str:
    if case.error:
        ended = f" (the execution is {case.status})" if case.status not in ("", "FAILED") else ""
        outcome = f"`.error` **{case.error}**{ended}: “… {case.summary} …”; remedy: “… {case.remedy} …”"
    else:
        outcome = f"`.scoreout`: {case.but}"
    return f"| {case.name} | {escaped(case.fault)} | {escaped(outcome)} |\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(render())
