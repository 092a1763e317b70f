"""How much is measured: all of it in under ten minutes on two cores, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".local/bench"
MIB, GIB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Plan:
    """Sizes in bytes; `rounds` is how often each side of a comparison has its turn."""

    sas_bytes: int = GIB
    sas_rounds: int = 3
    rows_bytes: int = 24 * MIB
    rows_rounds: int = 3
    throttled_bytes: int = 300 * MIB
    pod_bytes: int = 8 * MIB
    slow_model_mb_s: float = 1.0
    planned_bytes: int = 10 * GIB
    memory_bytes: tuple[int, ...] = (MIB, 10 * GIB)
    import_rounds: int = 5
    overhead_rounds: int = 2
    poll_seconds: float = 5.0
    ping_seconds: float = 10.0
    at_once: tuple[int, ...] = (1, 10, 50, 200)


FULL = Plan()
# To see that everything works. Its baseline for the overhead sleeps less, and its sizes say little.
QUICK = Plan(
    sas_bytes=64 * MIB,
    sas_rounds=1,
    rows_bytes=4 * MIB,
    rows_rounds=1,
    throttled_bytes=32 * MIB,
    pod_bytes=MIB,
    planned_bytes=64 * MIB,
    memory_bytes=(MIB, 32 * MIB),
    import_rounds=1,
    overhead_rounds=1,
    poll_seconds=1.0,
    ping_seconds=2.0,
    at_once=(1, 3),
)


def readable(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"
