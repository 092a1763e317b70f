"""How a model is spoken to: one class for each protocol, all with the same verbs: `ready`, `submit`, `collect`,
and `poll` where a model works on after it has taken the file.

A protocol knows requests and answers. What is read from S3 and written to S3 is the business of `streaming`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring.protocols.model import Model
from scoring.protocols.oip import OpenInference
from scoring.protocols.rows import MLflow, RowProtocol, SageMaker
from scoring.protocols.sas import Sas, SasRows

BY_ROWS: dict[str, type[RowProtocol]] = {"sagemaker": SageMaker, "mlflow": MLflow, "oip": OpenInference}
PROTOCOLS: dict[str, type[Sas] | type[RowProtocol]] = {"sas": Sas, **BY_ROWS}


def of_request(request: Mapping[str, Any], model: Model) -> Sas | RowProtocol:
    """The protocol that a request names, spoken to a model."""
    name = request["protocol"]
    if name == "oip":
        return OpenInference(model, request.get("model_name", ""))
    return PROTOCOLS[name](model)


__all__ = [
    "BY_ROWS",
    "PROTOCOLS",
    "MLflow",
    "OpenInference",
    "RowProtocol",
    "SageMaker",
    "Sas",
    "SasRows",
    "of_request",
]
