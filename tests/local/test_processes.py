"""Processes of a stack: they outlive their starter, are found again, and nothing of them stays."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from local.processes import Process, Processes, StackFailed, run, started, wait_until
from tests.local.conftest import wait_for

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts another process, tells its number, and does not end when asked to.
STUBBORN_CODE = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
STUBBORN = [sys.executable, "-c", STUBBORN_CODE]


def start(folder: Path, command: list[str]) -> tuple[Processes, Process]:
    processes = Processes(folder / "processes.json")
    return processes, processes.start("it", command, os.environ, folder, folder / "it.log")


def test_another_one_finds_and_ends_it(tmp_path: Path) -> None:
    _, process = start(tmp_path, SLEEP)
    found = Processes(tmp_path / "processes.json")
    assert found.all_alive()
    found.end()
    assert not process.alive
    assert not found.all_alive()


def test_what_does_not_end_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    processes, process = start(tmp_path, STUBBORN)
    child = int(wait_for((tmp_path / "it.log").read_text))
    processes.end(seconds=0.2)
    assert not process.alive
    wait_for(lambda: started(child) is None)


def test_what_a_killed_process_has_started_is_ended_too(tmp_path: Path) -> None:
    processes, process = start(tmp_path, STUBBORN)
    child = int(wait_for((tmp_path / "it.log").read_text))
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.alive)
    processes.end()
    wait_for(lambda: started(child) is None)


def test_a_number_that_is_another_processs_by_now_is_left_alone(tmp_path: Path) -> None:
    processes, process = start(tmp_path, SLEEP)
    record = tmp_path / "processes.json"
    original = record.read_text()
    record.write_text(original.replace(process.started, "1"))
    processes.end()
    assert process.alive
    record.write_text(original)
    processes.end()


def test_a_process_that_ends_early_is_told_with_its_log(tmp_path: Path) -> None:
    processes, process = start(tmp_path, [sys.executable, "-c", "print('no port'); raise SystemExit(1)"])
    with pytest.raises(StackFailed, match=r"The part: the process has ended.\n  \| no port\nThe whole log: .*it.log"):
        wait_until(lambda: False, "The part", process)
    processes.end()


def test_a_command_that_fails_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match=r"exit code 3.\n  \| why"):
        run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], os.environ, tmp_path, tmp_path / "log")


def test_a_part_that_has_ended_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes, process = start(tmp_path, [sys.executable, "-c", "raise TypeError('no filter')"])
    wait_for(lambda: not process.alive)
    with pytest.raises(StackFailed, match=r"The part it of the embedded stack has ended\.(.|\n)*TypeError: no filter"):
        processes.check()


def test_a_command_is_ended_when_there_is_no_use_in_going_on(tmp_path: Path) -> None:
    def check() -> None:
        raise StackFailed("The part aws has ended.")

    began = time.monotonic()
    with pytest.raises(StackFailed, match="aws has ended"):
        run(SLEEP, os.environ, tmp_path, tmp_path / "it.log", check)
    assert time.monotonic() - began < 30
