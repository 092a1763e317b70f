"""What a data scientist would write to have a CSV scored in batches: pandas, requests, to_csv. Runs in .venv-bench.

    pandas_script.py <protocol> <CSV's URL> <model's URL> <output file>

The output stays on disk (dropscore uploads it), which is in the script's favour. The chunk size is what served it best
on the machine that this was written on, of 1,000 to 100,000 rows. Prints rows and CPU seconds as JSON.
"""

import io
import json
import sys
import time

import pandas as pd  # type: ignore[import-untyped]
import requests

CHUNK_ROWS = 10_000


def main() -> None:
    protocol, source, model, target = sys.argv[1:]
    began = time.process_time()
    rows = 0
    with requests.Session() as session, session.get(source, stream=True, timeout=60) as response:
        response.raise_for_status()
        for batch in pd.read_csv(response.raw, chunksize=CHUNK_ROWS):
            batch["prediction"] = predict(session, f"{model}/invocations", protocol, batch)
            batch.to_csv(target, mode="a" if rows else "w", header=not rows, index=False)
            rows += len(batch)
    print(json.dumps({"rows": rows, "cpu_seconds": time.process_time() - began}))


def predict(session: requests.Session, url: str, protocol: str, batch: pd.DataFrame) -> list[float]:
    with_header = protocol == "mlflow"
    headers = {"Content-Type": "text/csv", "Accept": "application/json" if with_header else "text/csv"}
    body = batch.to_csv(header=with_header, index=False).encode()
    answer = session.post(url, data=body, headers=headers, timeout=60)
    answer.raise_for_status()
    if with_header:
        return list(answer.json()["predictions"])
    return list(pd.read_csv(io.BytesIO(answer.content), header=None)[0])


if __name__ == "__main__":
    main()
