"""How a model is spoken to: one class for each protocol, all with the same verbs: `ready`, `submit`, `collect`,
and `poll` where a model works on after it has taken the file.

A protocol knows requests and answers. What is read from S3 and written to S3 is the business of `streaming`.
"""

from __future__ import annotations

from scoring.protocols.choice import PROTOCOLS, Auto, of_request
from scoring.protocols.mlflow import MLflow
from scoring.protocols.oip import OpenInference
from scoring.protocols.rows import RowProtocol
from scoring.protocols.sagemaker import SageMaker
from scoring.protocols.sas import Sas, SasRows

__all__ = ["PROTOCOLS", "Auto", "MLflow", "OpenInference", "RowProtocol", "SageMaker", "Sas", "SasRows", "of_request"]
