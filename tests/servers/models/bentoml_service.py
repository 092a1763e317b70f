"""Two services of BentoML: one that takes CSV, as BentoML reads it into a DataFrame, and one that takes JSON by its names."""

from typing import Any

import bentoml
import joblib
import pandas
from bentoml.io import JSON, PandasDataFrame
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

model = joblib.load("model.joblib")
# BentoML's own readiness is at /readyz and cannot be moved.
health = Starlette(routes=[Route("/ping", lambda request: PlainTextResponse("pong"))])

frames = bentoml.legacy.Service("frames")
frames.mount_asgi_app(health)


@frames.api(input=PandasDataFrame(), output=JSON(), route="/invocations")
def invocations(frame: pandas.DataFrame) -> dict[str, Any]:
    return {"predictions": model.predict_proba(frame).tolist()}


@bentoml.service(workers=1)
@bentoml.asgi_app(health, path="/")
class Records:
    @bentoml.api(route="/invocations")
    def invocations(self, dataframe_records: list[dict[str, Any]]) -> dict[str, Any]:
        return {"predictions": model.predict_proba(pandas.DataFrame(dataframe_records)).tolist()}
