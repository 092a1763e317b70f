"""A model in inference-server's hooks, of the kind that answers for one record at a time: it refuses what is more.

gunicorn sagemaker_limits:app
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import inference_server
import joblib
import numpy


@inference_server.plugin_hook
def model_fn(model_dir: str) -> Any:
    return joblib.load(Path("model") / "model.joblib")


@inference_server.plugin_hook
def input_fn(input_data: bytes, content_type: str) -> Any:
    (record,) = input_data.decode().splitlines()
    return numpy.array([record.split(",")], dtype=float)


@inference_server.plugin_hook
def predict_fn(data: Any, model: Any) -> str:
    return str(model.predict(data)[0])


@inference_server.plugin_hook
def output_fn(prediction: str, accept: Any) -> tuple[bytes, str]:
    return f'"{prediction}"\n'.encode(), "text/csv"


@inference_server.plugin_hook
def batch_strategy() -> inference_server.BatchStrategy:
    return inference_server.BatchStrategy.SINGLE_RECORD


HOOKS = (model_fn, input_fn, predict_fn, output_fn, batch_strategy)
inference_server._plugin.manager().register(SimpleNamespace(**{hook.__name__: hook for hook in HOOKS}))
app = inference_server.create_app()
