"""What a data scientist writes for the SageMaker inference toolkit; the rest (CSV in, CSV out) is the toolkit's own."""

from pathlib import Path
from typing import Any

import joblib


def model_fn(model_dir: str) -> Any:
    return joblib.load(Path(model_dir) / "model.joblib")


def predict_fn(data: Any, model: Any) -> Any:
    return model.predict_proba(data) if hasattr(model, "predict_proba") else model.predict(data)
