"""Trains the model of test_python_servers.py, with its files and what it predicts in this process.

    python python_models.py DIRECTORY

writes model.joblib, file.csv, file.jsonl and expected.json.
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier

HERE = Path(sys.argv[1])

if __name__ == "__main__":
    data = load_wine(as_frame=True)
    model = RandomForestClassifier(30, random_state=2026).fit(data.data, data.target)
    joblib.dump(model, HERE / "model.joblib")
    data.data.to_csv(HERE / "file.csv", index=False)
    data.data.to_json(HERE / "file.jsonl", orient="records", lines=True)
    likely = model.predict_proba(data.data)
    (HERE / "expected.json").write_text(
        json.dumps({f"prediction_{place}": likely[:, place].tolist() for place in range(3)})
    )
