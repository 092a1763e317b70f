"""A SAS container by one call a batch: `POST /<model name>` with the records, which answers what was scored.

Source: SAS's own notebook for its Python containers ("Python Container Runtime Scoring", model-management-resources): a
multipart part `file` with a CSV, and JSON comes back, of whatever shape. So that is told by what it is, as any model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from scoring.files.formats import Batch, Format
from scoring.protocols.model import Model
from scoring.protocols.rows import Body, RowProtocol
from scoring.protocols.sas import Sas, form


class SasCall(RowProtocol):
    """The model of this name, in batches of records (the tags `split=rows` and `model_name`)."""

    name, ping = Sas.name, Sas.ping
    accept = "application/json"
    # As with `SasRows`: a script is started for each, and the container works on one at a time.
    most_in_flight, patience = 1, 10.0

    def __init__(self, model: Model, model_name: str) -> None:
        super().__init__(model)
        self._model_name = model_name

    @property
    def path(self) -> str:
        return f"/{quote(self._model_name, safe='')}"

    def ready(self) -> str | None:
        return Sas(self._model).ready()

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[Body, str]:
        head, tail, media_type = form()
        return (head, file.sent_header, file.body(batch, places), tail), media_type
