"""The protocol of a request, by its name, or by what the container answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring.protocols import detection
from scoring.protocols.mlflow import MLflow
from scoring.protocols.model import Model
from scoring.protocols.oip import OpenInference
from scoring.protocols.rows import RowProtocol
from scoring.protocols.sagemaker import SageMaker
from scoring.protocols.sas import Sas
from scoring.protocols.sas_call import SasCall

PROTOCOLS: dict[str, type[Sas] | type[RowProtocol]] = {
    each.name: each for each in (Sas, SageMaker, MLflow, OpenInference)
}


class Auto:
    """A model whose protocol nobody has told. Once it is ready, `name` is that of its protocol."""

    def __init__(self, model: Model, request: Mapping[str, Any]) -> None:
        self._model, self._request = model, request
        self.name = "auto"

    def ready(self) -> str | None:
        """None if the model is ready by the protocol that it is found to speak, else what it answered.

        Raises
        ------
        InvalidTags
            As OpenInference does.
        NoConnection, NoAnswer, StillBusy
        """
        found = detection.detect(self._model)
        if not isinstance(found, str):
            return "; ".join(found)
        self.name = found
        return of_request({**self._request, "protocol": found}, self._model).ready()


def of_request(request: Mapping[str, Any], model: Model) -> Sas | RowProtocol | Auto:
    """What speaks to a model as a request says."""
    name = request["protocol"]
    if name == "auto":
        return Auto(model, request)
    if name == OpenInference.name:
        return OpenInference(model, request.get("model_name", ""))
    if name == SasCall.name and request.get("model_name"):
        return SasCall(model, request["model_name"])
    return PROTOCOLS[name](model)
