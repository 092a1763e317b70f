"""LitServe as its documentation has it: decode, predict, encode. It reads JSON only.

python litserve_server.py PORT
"""

import sys
from typing import Any

import joblib
import litserve
import pandas


class Wines(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = joblib.load("model.joblib")

    def decode_request(self, request: dict[str, Any]) -> pandas.DataFrame:
        return pandas.DataFrame(request["dataframe_records"])

    def predict(self, x: pandas.DataFrame) -> Any:
        return self.model.predict_proba(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Wines(api_path="/invocations"), accelerator="cpu", healthcheck_path="/ping")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
