"""SageMaker's containers.

Sources: Amazon SageMaker Developer Guide, "Custom Inference Code with Hosting Services" (`GET /ping`, `POST /invocations`,
text/csv without header) and "Use your own inference code with batch transform" (application/jsonlines for lines of JSON).
"""

from __future__ import annotations

from collections.abc import Sequence

from scoring.files.formats import Batch, Format
from scoring.protocols.rows import RowProtocol


class SageMaker(RowProtocol):
    name = "sagemaker"
    accept = "text/csv"

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:
        return file.body(batch, places), file.media_type
