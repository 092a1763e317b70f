"""SageMaker's containers.

Sources: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" (`GET /ping`, `POST /invocations`,
text/csv without header) and "Use your own inference code with batch transform" (application/jsonlines for lines of JSON;
`GET /execution-parameters`, which a container need not have).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scoring.files.formats import Batch, Format
from scoring.protocols.model import NoAnswer, StillBusy
from scoring.protocols.rows import RowProtocol

_SECONDS = 5.0
_MB = 1_000_000


class SageMaker(RowProtocol):
    name = "sagemaker"
    accept = "text/csv"

    def open(self, file: Format, first: Callable[[], Batch | None]) -> None:  # noqa: ARG002
        """Keep to what the container says that it takes at most, if it says so."""
        try:
            answer = self._model.request("GET", "/execution-parameters", _SECONDS)
        except (NoAnswer, StillBusy):
            # Whether it answers at all, the first batch will show.
            return
        told = answer.document
        if answer.status != 200 or not isinstance(told, dict):
            return
        if (most := _number(told.get("MaxConcurrentTransforms"))) >= 1:
            self.most_in_flight = int(min(self.most_in_flight, most))
        # 0 is no limit.
        if (most := _number(told.get("MaxPayloadInMB")) * _MB) >= 1:
            self.most_bytes = int(min(self.most_bytes, most))
        # In the words of the guide and of the API.
        if told.get("BatchStrategy") in ("SINGLE_RECORD", "SingleRecord"):
            self.most_records = 1

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:
        return file.body(batch, places), file.media_type


def _number(value: Any) -> float:
    """A number of a JSON document; 0 for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
