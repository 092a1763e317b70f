"""What the log of an execution tells of the script that a SAS container runs (pure)."""

from __future__ import annotations

import re

from scoring.errors import ModelFailed

TAIL_CHARACTERS = 4_000
"""Of a log, for a person: its end, where a traceback has its cause."""

# An uncaught exception's traceback has its line for itself (NumPy prints another one as a warning), or stands below the
# name of a group of them; R has a sentence.
_TRACEBACK = re.compile(r"(?: {2}\+ Exception Group )?Traceback \(most recent call last\):\s*")
_HALTED = "Execution halted"


def judge(status: int, log: str, *, strict: bool = False) -> bool:
    """What a container's answer for the log of an execution means: True for ended well, False for still at work.

    A result alone proves nothing: a script that raises half way leaves a truncated CSV that answers 200. A traceback is
    what a script ended with only if it is the log's last word: libraries print some as warnings. With `strict`, any is.

    Raises
    ------
    ModelFailed
    """
    if status == 404:
        raise ModelFailed(
            "The model knows nothing of the execution any more: its worker was started anew.",
            status=status,
            answer=log[:2_000],
        )
    if status != 200:
        raise ModelFailed(
            f"The model cannot show the log of the execution: {status}.", status=status, answer=log[:2_000]
        )
    ended = log.rstrip().endswith("Completed!")
    error = raised(log, strict=strict)
    if error and ended:
        raise ModelFailed(f"The model's script raised an error: {error}", log_tail=log[-TAIL_CHARACTERS:])
    return ended


def raised(log: str, *, strict: bool = False) -> str | None:
    """The error that a script ended with, by its log; None if it did not. With `strict`, it need not be the last word."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and line.strip() != "Completed!"]
    halted = lines[-1:] == [_HALTED] or (strict and _HALTED in lines)
    starts = [number for number, line in enumerate(lines) if _TRACEBACK.fullmatch(line)]
    if halted:
        return _HALTED
    if not starts:
        return None
    # Frames are indented; the first line that is not has the exception, and more may be said after it.
    after = [line for line in lines[starts[-1] + 1 :] if not line.startswith((" ", "\t"))]
    return (after or lines)[-1].strip() if strict or len(after) <= 1 else None
