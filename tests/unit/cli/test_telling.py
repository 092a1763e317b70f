"""The list of files, as people read it."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from dropscore import telling
from dropscore.runs import Run
from tests.unit.cli.stand_ins import ARN, NOW

SCORED = Run(ARN + "a", "SUCCEEDED", NOW, NOW + timedelta(seconds=14.2), key="a.csv", rows=5_960, cluster="prod")
FAILED = replace(SCORED, arn=ARN + "b", status="FAILED", rows=None, error="PodCrashed", cause="It has ended. Read on.")
RUNNING = replace(SCORED, arn=ARN + "c", status="RUNNING", stopped=None, rows=None, cluster="")


def listed(*runs: tuple[Run, str], width: int = 200, **names: str) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    keys = {ARN + name: key for name, key in names.items()}
    for line in telling.files_lines(runs, keys, NOW + timedelta(minutes=1), width):
        console.print(line, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_list_has_a_line_a_file_and_its_columns_are_below_each_other() -> None:
    assert listed((SCORED, ""), (FAILED, ""), (RUNNING, "scoring: 42%"), a="folder/日本.csv") == [
        "file             state    dropped             took   rows  cluster  what",
        "folder/日本.csv  scored   1 min 0 s ago     14.2 s  5,960  prod",
        "a.csv            failed   1 min 0 s ago     14.2 s         prod     PodCrashed: It has ended.",
        "a.csv            running  1 min 0 s ago  1 min 0 s                  scoring: 42%",
    ]


def test_what_does_not_fit_goes_on_below() -> None:
    _, first, second = listed((replace(FAILED, cause="It has ended with exit code 1. Read on."), ""), width=80)
    assert first == "a.csv  failed  1 min 0 s ago  14.2 s        prod     PodCrashed: It has ended with"
    assert second == " " * first.index("PodCrashed") + "exit code 1."


def test_a_name_cannot_write_anywhere_else() -> None:
    _, line = listed((SCORED, ""), a="[red]a\x1b[2J\nb\u202e.csv")
    assert line.startswith("[red]a?[2J?b?.csv  scored")
