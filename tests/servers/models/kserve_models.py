"""Trains the model of test_kserve.py, and serves it as KServe's documentation of custom predictors has it.

python kserve_models.py DIRECTORY           writes model.joblib, file.csv, file.jsonl and expected.json
python kserve_models.py DIRECTORY PORT      serves it as `wine`, until it is ended
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(sys.argv[1])


class Wine(Model):  # type: ignore[misc]
    """One model for records by the names of their columns."""

    def load(self) -> bool:
        self.model = joblib.load(HERE / "model.joblib")
        self.ready = True
        return True

    def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)


def train() -> None:
    data = load_wine(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(data.data, data.target)
    joblib.dump(model, HERE / "model.joblib")
    (HERE / "expected.json").write_text(json.dumps({"output-0": model.predict(data.data).tolist()}))
    data.data.to_csv(HERE / "file.csv", index=False)
    data.data.to_csv(HERE / "headerless.csv", index=False, header=False)
    (HERE / "file.jsonl").write_text(data.data.to_json(orient="records", lines=True))


if len(sys.argv) > 2:
    wine = Wine("wine")
    wine.load()
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([wine])
else:
    train()
