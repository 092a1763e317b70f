"""Quantities as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal

# The suffixes that cpu and memory are written with.
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTOR: dict[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGT", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGT", 1)},
}


def quantity(text: str) -> Decimal | None:
    """A Kubernetes quantity as a number (cores, bytes), or None if it is none."""
    match = _QUANTITY.fullmatch(text) if text.isascii() else None
    return Decimal(match[1]) * _FACTOR[match[2]] if match else None
