"""Trains the models of test_sagemaker_*.py, with their files and what they predict in this process.

    python sagemaker_models.py DIRECTORY

writes NAME/model/model.joblib (what SageMaker unpacks to /opt/ml/model), NAME/file.csv and NAME/expected.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy
import pandas
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

HERE = Path(sys.argv[1])
SEED = 2026


def keep(name: str, model: Any, data: pandas.DataFrame, expected: dict[str, Any]) -> None:
    folder = HERE / name / "model"
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    data.to_csv(folder.parent / "file.csv", index=False)
    columns = {column: numpy.asarray(values).tolist() for column, values in expected.items()}
    (folder.parent / "expected.json").write_text(json.dumps(columns))


def regressor() -> None:
    """One number for each record."""
    data = load_diabetes(as_frame=True, scaled=False)
    model = RandomForestRegressor(20, random_state=SEED).fit(data.data.to_numpy(), data.target)
    keep("regressor", model, data.data, {"prediction": model.predict(data.data.to_numpy())})


def probabilities() -> None:
    """A row of numbers for each record."""
    data = load_wine(as_frame=True)
    model = RandomForestClassifier(30, random_state=SEED).fit(data.data.to_numpy(), data.target)
    predicted = model.predict_proba(data.data.to_numpy())
    keep("probabilities", model, data.data, {f"prediction_{place}": predicted[:, place] for place in range(3)})


def names() -> None:
    """A text for each record, with a comma in it."""
    data = load_iris(as_frame=True)
    species = numpy.array([f"Iris, {name}" for name in data.target_names])[data.target]
    model = RandomForestClassifier(30, random_state=SEED).fit(data.data.to_numpy(), species)
    keep("names", model, data.data, {"prediction": model.predict(data.data.to_numpy())})


if __name__ == "__main__":
    for make in (regressor, probabilities, names):
        make()
