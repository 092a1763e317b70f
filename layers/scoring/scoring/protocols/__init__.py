"""How a model is spoken to: one class for each protocol, all with the same verbs: `ready`, `submit`, `collect`,
and `poll` where a model works on after it has taken the file.

A protocol knows requests and answers. What is read from S3 and written to S3 is the business of `streaming`.
"""

from __future__ import annotations

from scoring.protocols.rows import MLflow, RowProtocol, SageMaker
from scoring.protocols.sas import Sas, SasRows

BY_ROWS: dict[str, type[RowProtocol]] = {"sagemaker": SageMaker, "mlflow": MLflow}
PROTOCOLS: dict[str, type[Sas] | type[RowProtocol]] = {"sas": Sas, **BY_ROWS}

__all__ = ["BY_ROWS", "PROTOCOLS", "MLflow", "RowProtocol", "SageMaker", "Sas", "SasRows"]
