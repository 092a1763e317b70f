"""How long an execution leaves alone what takes long, by how long that has taken already: seconds to seconds (pure).

Each look is nine events of the execution's history (a task, a choice and a wait), and Step Functions ends an execution of
more than 25,000, which no Catch sees. Source: AWS Step Functions, "Quotas for standard workflows".
"""

from __future__ import annotations

import math

EVENTS_OF_A_LOOK = 9
_LEAST_SECONDS, _HOUR_SECONDS, _DAY_SECONDS = 5, 3_600, 86_400
# Whoever has waited for an hour may wait for a minute more; and whoever has waited in a queue, for a tenth of that.
_FIRST_HOUR_SECONDS, _LATER_SECONDS, _MOST_QUEUED_SECONDS = 15, 60, 900
# A model that has worked for a day may do so for five more, after as long in a queue.
_FIRST_DAY_SECONDS, _LATER_DAYS_SECONDS = 300, 600


def silent(waited: float) -> int:
    """Until a model that says nothing, and may load still, is asked again."""
    return _FIRST_HOUR_SECONDS if waited < _HOUR_SECONDS else _LATER_SECONDS


def starting(waited: float) -> int:
    """Until a pod that starts is looked at again: at the beginning sooner, since most are there in a minute."""
    return _tenth(waited, silent(waited))


def queued(waited: float) -> int:
    """Until a pod that a queue holds back, for a week perhaps, is looked at again. Once admitted, it holds its node idle
    until then.
    """
    return _tenth(waited, _MOST_QUEUED_SECONDS)


def working(waited: float, asked: float) -> int:
    """Until a model that works on is asked again, or for as long as it `asked` for, if that is longer."""
    most = _FIRST_DAY_SECONDS if waited < _DAY_SECONDS else _LATER_DAYS_SECONDS
    return min(max(_tenth(waited, most), math.ceil(asked)), most)


def _tenth(waited: float, most: int) -> int:
    return int(min(max(waited / 10, _LEAST_SECONDS), most))
