"""What becomes of each file of the storm: nothing but its scoring, or, for every fourth, a fault by chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

FILES, EVERY = 200, 4
ROWS = b"a,b\n1,2\n3,4\n5,6\n"


@dataclass(frozen=True)
class Fault:
    """`error` is empty if the file is to be scored all the same; `meanwhile` is done to it once its pod runs."""

    name: str
    error: str = ""
    model: str = "well"
    body: bytes = ROWS
    tags: Mapping[str, str] = field(default_factory=dict)
    meanwhile: str = ""


NONE = Fault("no fault")
FAULTS = (
    Fault("wrong protocol", "InvalidTags", tags={"protocol": "soap"}),
    Fault("no such image", "ImageNotFound", tags={"model_image": "no-such-model"}),
    Fault("empty file", "EmptyFile", body=b""),
    Fault("model crashes", "PodCrashed", "crashes"),
    Fault("model dies", "PodCrashed", "dies"),
    Fault("model refuses", "ModelFailed", "refuses"),
    Fault("answer breaks off", "ModelFailed", "breaks-off"),
    Fault("row forgotten", "RowCountMismatch", "forgets-a-row"),
    Fault("script raises", "ModelFailed", "script-raises-half-way", tags={"protocol": "sas"}),
    Fault("pod deleted", "", "slow", meanwhile="delete"),
    Fault("model killed", "PodCrashed", "slow", meanwhile="kill"),
    Fault("execution stopped", "Aborted", "slow", meanwhile="stop"),
)


def draw(seed: int) -> dict[str, Fault]:
    """The fault of each file, by its name; every fourth has one."""
    chance = random.Random(seed)
    return {f"{number:03}.csv": chance.choice(FAULTS) if number % EVERY == 0 else NONE for number in range(FILES)}
