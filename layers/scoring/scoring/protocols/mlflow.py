"""MLflow's server.

Source: MLflow documentation, "MLflow Model Serving" (`GET /ping`, `POST /invocations` with text/csv with a header, or JSON:
`dataframe_records`, `dataframe_split`, `inputs`; and `{"predictions": …}` as the answer).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from scoring.errors import ModelFailed
from scoring.files.delimited import Csv
from scoring.files.dialect import RFC4180
from scoring.files.formats import Batch, Format
from scoring.files.joining import row
from scoring.protocols import signatures
from scoring.protocols.model import Answer, Model, check_load
from scoring.protocols.rows import Body, RowProtocol
from scoring.protocols.signatures import Frame, Tensor

_JSON = "application/json"


class MLflow(RowProtocol):
    """CSV as it is, until the model is found to read none; from then on, the same records as JSON."""

    name = "mlflow"
    accept = _JSON

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._signature: Tensor | Frame | None = None
        # Of several batches that are refused at once, one finds out for all.
        self._finding = threading.Lock()

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[Body, str]:
        if not isinstance(file, Csv):
            return b'{"dataframe_records": [%b]}' % b", ".join(file.records(batch, places)), _JSON
        if self._signature:
            return self._signature.body(file.records(batch, places)), _JSON
        return (file.sent_header, file.body(batch, places)), file.media_type

    def fitted(self, file: Format, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch as it is; as JSON, each value is an object in memory for a moment."""
        return replace(batch, is_held=True) if self._signature else batch

    def submit(self, file: Format, batch: Batch, places: Sequence[int], seconds: float) -> Answer:
        try:
            return super().submit(file, batch, places, seconds)
        except ModelFailed as refusal:
            if not isinstance(file, Csv):
                raise
            sent, told = file.sent_header + file.body(batch, places), str(refusal.details.get("answer", "")).encode()
            has_dates, is_tensor = signatures.is_of_a_date(told, sent), signatures.is_of_a_tensor(told, sent)
            if not has_dates and not is_tensor:
                raise
            with self._finding:
                if not self._signature:
                    self._signature = self._frame(file, seconds) if has_dates else self._tensor(file, seconds)
            if not self._signature:
                raise ModelFailed(refusal.summary, signatures.REMEDY, **refusal.details) from refusal
        return super().submit(file, batch, places, seconds)

    def _tensor(self, file: Csv, seconds: float) -> Tensor | None:
        width = len(RFC4180.fields(file.sent_header.rstrip(b"\r\n")))
        return Tensor() if Tensor.is_of_numbers(self._ask(Tensor.probe(width), _JSON, seconds)) else None

    def _frame(self, file: Csv, seconds: float) -> Frame:
        columns = RFC4180.values(file.sent_header.rstrip(b"\r\n"))
        answers = [self._ask(Frame.probe(row([column])), file.media_type, seconds) for column in columns]
        return Frame([column.decode() for column in columns], [Frame.maker(answer) for answer in answers])

    def _ask(self, body: bytes, media_type: str, seconds: float) -> Answer:
        headers = {"Content-Type": media_type, "Accept": self.accept}
        answer = self._model.request("POST", self.path, seconds, body=body, headers=headers)
        check_load(answer)
        return answer
