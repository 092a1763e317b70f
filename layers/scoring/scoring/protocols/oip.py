"""The Open Inference Protocol, version 2, over HTTP: what MLServer, KServe, Triton and others speak.

Sources: "Open Inference Protocol Specification" (health, model readiness, model metadata, inference); Triton Inference
Server, "Model Repository Extension", which MLServer has, too (`POST /v2/repository/index`); KServe, which lists its models
at `GET /v2/models`. The protocol itself has no list of models.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from scoring.errors import InvalidTags, ModelFailed
from scoring.files import jsontext
from scoring.files.dialect import RFC4180
from scoring.files.formats import Batch, Format, held
from scoring.files.jsonlines import JsonLines
from scoring.protocols import answers, outputs, tensors
from scoring.protocols.model import Answer, Model, StillBusy
from scoring.protocols.predictions import Rows, field
from scoring.protocols.rows import RowProtocol

_SECONDS = 30.0
_JSON = {"Content-Type": "application/json"}


class OpenInference(RowProtocol):
    """One model of a server: that of this name, or the only one."""

    name = "oip"
    # Each value of a record is an element in a tensor of JSON, and an object in memory for a moment.
    most_bytes = 512 << 10
    ping = "/v2/health/ready"
    accept = "application/json"

    def __init__(self, model: Model, model_name: str = "") -> None:
        super().__init__(model)
        self._model_name, self._is_told = model_name, bool(model_name)
        self._plan: tensors.Plan | None = None
        self._fit: tensors.Fit | None = None

    @property
    def path(self) -> str:
        return f"{self._of_model}/infer"

    @property
    def _of_model(self) -> str:
        return f"/v2/models/{quote(self._model_name, safe='')}"

    def ready(self) -> str | None:
        """None if the server and the model are ready, else what one of them answered.

        Raises
        ------
        InvalidTags
            It cannot be told which of the server's models is meant, or it has none of that name.
        NoAnswer, StillBusy
        """
        if refused := _refusal(self._model.request("GET", self.ping, 5.0)):
            return refused
        listed = self._listed()
        if listed == []:
            return "The server lists no model."
        # Without a list, `open` has the last word.
        if not self._find(listed):
            return None
        return _refusal(self._model.request("GET", f"{self._of_model}/ready", 5.0))

    def _find(self, listed: list[str] | None) -> str:
        """The model's name; empty if it is not told and there is no list.

        Raises
        ------
        InvalidTags
        """
        if listed and self._is_told and self._model_name not in listed:
            raise InvalidTags(
                f"The tag model_name is {self._model_name!r}, but the server has {tensors.some(listed)}.",
                "Correct the tag, or leave it out if the server has one model, and drop the file again.",
            )
        if listed and not self._is_told:
            if len(listed) > 1:
                raise InvalidTags(
                    f"The server has several models: {tensors.some(listed)}.",
                    "Tag the file with model_name, the one that is to score it, and drop it again.",
                )
            self._model_name = listed[0]
        return self._model_name

    def _listed(self) -> list[str] | None:
        """The names of the server's models; None if it does not tell."""
        for method, path, body in (("POST", "/v2/repository/index", b"{}"), ("GET", "/v2/models", None)):
            answer = self._model.request(method, path, 5.0, body=body, headers=_JSON if body else None)
            if answer.status == 200 and (names := _names(answer.document)) is not None:
                return names
        return None

    def open(self, file: Format, first: Callable[[], Batch | None]) -> None:
        """Ask for the model's inputs, and decide which column goes into which.

        Raises
        ------
        InvalidTags, InvalidFile, ModelFailed, NoAnswer, StillBusy
        """
        if not self._find(self._listed()):
            raise InvalidTags(
                "The server does not tell which models it has.",
                "Tag the file with model_name, the one that is to score it, and drop it again.",
            )
        answer = self._model.request("GET", self._of_model, _SECONDS)
        if answer.status in (408, 429, 503, 504):
            raise StillBusy(f"The model answered {answer.status} when it was asked for its inputs.")
        if answer.status != 200:
            raise ModelFailed(
                f"The server answered {answer.status} when it was asked for the inputs of the model {self._model_name}.",
                "Correct the tag model_name, or the model's configuration, and drop the file again.",
                status=answer.status,
                answer=answer.text,
            )
        metadata = answer.document
        if not isinstance(metadata, dict):
            raise ModelFailed(f"The metadata of the model {self._model_name} cannot be read.", answer=answer.text)
        columns, is_json = _columns(file), isinstance(file, JsonLines)
        is_named = is_json or file.spec.header
        if inputs := tensors.inputs_of(metadata, self._model_name):
            plan = tensors.plan(inputs, columns, is_named=is_named, is_json=is_json)
        else:
            batch = first()
            rows = [_row(file, record) for record in file.records(batch, batch.good)] if batch else []
            plan = tensors.guessed(columns, rows, is_named=is_named, is_json=is_json)
        self._plan, self._fit = plan, tensors.Fit(plan, is_json=is_json)

    def fitted(self, file: Format, batch: Batch) -> Batch:
        """The batch with what is sent of each record as elements of the model's inputs; a record whose values are none is bad."""
        assert self._fit, "it was opened"
        sent, bad = [b""] * batch.count, dict(batch.bad)
        places = batch.good
        for place, record in zip(places, file.records(batch, places), strict=True):
            try:
                sent[place] = self._fit.as_it_is(record) or self._fit.elements(_row(file, record))
            except ValueError as error:
                bad[place] = str(error)
        return replace(batch, sent=held(sent), bad=bad, is_held=True)

    def body(self, file: Format, batch: Batch, places: Sequence[int]) -> tuple[bytes, str]:  # noqa: ARG002
        assert self._plan and batch.sent is not None, "it was fitted"
        sent = batch.sent()
        return tensors.body(self._plan, [sent[place] for place in places]), "application/json"

    def collect(
        self,
        file: Format,
        answer: Answer,
        expected: int,
        columns: Sequence[str] = (),  # noqa: ARG002
    ) -> tuple[list[str], Rows]:
        try:
            found = outputs.read(jsontext.loads(answer.body))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFailed(
                f'The model\'s answer is not of the form {{"outputs": […]}}: {error}.', answer=answer.text
            ) from error
        names, rows = _of_outputs(found, file.answers)
        answers.check_count(answer, len(rows), expected)
        return names, rows


def _of_outputs(found: Sequence[outputs.Output], delimiter: bytes | None) -> tuple[list[str], Rows]:
    """Names and rows; without a delimiter, rows of JSON texts."""
    if delimiter is None:
        members = [[jsontext.encoded(value) for value in output.values()] for output in found]
        return [output.name for output in found], [list(row) for row in zip(*members, strict=True)]
    columns = [
        [field(value, delimiter) for value in output.elements[place :: output.width]]
        for output in found
        for place in range(output.width)
    ]
    names = [name for output in found for name in output.columns()]
    return names, [delimiter.join(row) for row in zip(*columns, strict=True)]


def _columns(file: Format) -> list[str]:
    """What the columns are called that are sent; without a header, by their positions."""
    if isinstance(file, JsonLines):
        spec, keys = file.spec, [name.decode("utf-8", "replace") for name in file.names]
        return [key for key in keys if key not in spec.hidden and (spec.sent is None or key in spec.sent)]
    return [name.decode("utf-8", "replace") for name in RFC4180.values(file.sent_header.rstrip(b"\r\n"))]


def _row(file: Format, record: bytes) -> tensors.Row:
    """What a record says, as it is sent."""
    row: tensors.Row = jsontext.loads(record) if isinstance(file, JsonLines) else next(csv.reader((record.decode(),)))
    return row


def _refusal(answer: Answer) -> str | None:
    document = answer.document
    # KServe says so in the body.
    if answer.status == 200 and not (isinstance(document, dict) and document.get("ready", True) is False):
        return None
    return f"{answer.status} {answer.text}"


def _names(document: Any) -> list[str] | None:
    """The models of a list of either kind; each once, whatever its versions."""
    entries = document.get("models") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        return None
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))
