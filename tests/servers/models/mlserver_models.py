"""Trains the models of test_mlserver.py: each in a folder with its files and what it predicts in this process.

    python mlserver_models.py DIRECTORY

writes NAME/model-settings.json, NAME/model.joblib (or, for MLflow's runtime, NAME/model), NAME/*.csv or *.jsonl, and
NAME/expected.json: the columns that the model adds.
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy
import pandas
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(sys.argv[1])
SEED = 2026
SKLEARN, MLFLOW = "mlserver_sklearn.SKLearnModel", "mlserver_mlflow.MLflowRuntime"


def keep(name: str, expected: dict[str, Any], implementation: str = SKLEARN, **settings: Any) -> Path:
    """Write what MLServer is to know of a model, and its predictions; gives its folder."""
    folder = HERE / name
    folder.mkdir()
    values = {column: numpy.asarray(found).tolist() for column, found in expected.items()}
    (folder / "expected.json").write_text(json.dumps(values))
    uri = "./model" if implementation == MLFLOW else "./model.joblib"
    settings["parameters"] = {"uri": uri} | settings.get("parameters", {})
    document = {"name": name, "implementation": implementation, **settings}
    (folder / "model-settings.json").write_text(json.dumps(document))
    return folder


def wine() -> tuple[Any, pandas.DataFrame]:
    """A classifier that knows the names of its columns."""
    data = load_wine(as_frame=True)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(data.data, data.target), data.data


def plain() -> None:
    """Nothing is said of its inputs, as in MLServer's own quick start."""
    model, data = wine()
    folder = keep("plain", {"predict": model.predict(data)})
    joblib.dump(model, folder / "model.joblib")
    data.to_csv(folder / "file.csv", index=False)
    data.to_csv(folder / "headerless.csv", index=False, header=False)
    (folder / "file.jsonl").write_text(data.to_json(orient="records", lines=True))


def matrix() -> None:
    """One tensor of rows, in single precision; without names of columns; and probabilities, too."""
    data = load_breast_cancer(as_frame=True)
    single = data.data.astype("float32")
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=SEED)).fit(single.to_numpy(), data.target)
    inputs = [{"name": "input", "datatype": "FP32", "shape": [-1, data.data.shape[1]]}]
    folder = keep("matrix", {"predict": model.predict(single.to_numpy())}, inputs=inputs)
    joblib.dump(model, folder / "model.joblib")
    numbered = data.data.reset_index(names="patient")
    numbered.to_csv(folder / "file.csv", index=False)


def columns() -> None:
    """An input for each column, by name and in an order of its own; doubles out."""
    data = load_diabetes(as_frame=True, scaled=False)
    model = LinearRegression().fit(data.data, data.target)
    inputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in data.data]
    predicted = model.predict(data.data)
    folder = keep("columns", {"predict": predicted}, inputs=inputs, parameters={"content_type": "pd"})
    joblib.dump(model, folder / "model.joblib")
    data.data[sorted(data.data)].assign(note='5" pipe, "x"').to_csv(folder / "file.csv", index=False)


def gaps() -> None:
    """Missing numbers: a gradient boosting classifier takes them as they are."""
    data = load_breast_cancer(as_frame=True)
    gappy = data.data.mask(numpy.random.default_rng(SEED).random(data.data.shape) < 0.1)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=SEED).fit(gappy, data.target)
    folder = keep("gaps", {"predict": model.predict(gappy)})
    joblib.dump(model, folder / "model.joblib")
    gappy.to_csv(folder / "file.csv", index=False)


def loans() -> None:
    """Logged by MLflow with a signature: text, whole numbers and booleans beside doubles."""
    rng = numpy.random.default_rng(SEED)
    size = 500
    data = pandas.DataFrame(
        {
            "amount": rng.normal(10_000, 3_000, size).round(2),
            "purpose": rng.choice(["home", "car", "Ökostrom, grün", 'say "x"'], size),
            "children": rng.integers(0, 5, size),
            "owner": rng.random(size) < 0.5,
        }
    )
    target = numpy.where((data.amount > 10_000) ^ data.owner, "yes", "no")
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["purpose"]), remainder="passthrough")
    model = make_pipeline(encode, RandomForestClassifier(20, random_state=SEED)).fit(data, target)
    predicted = model.predict(data)
    folder = keep("loans", {"output-1": predicted}, MLFLOW)
    requirements = {"pip_requirements": ["scikit-learn"]}
    signature = infer_signature(data, predicted)
    options: dict[str, Any] = {"serialization_format": "cloudpickle", "signature": signature, **requirements}
    mlflow.sklearn.save_model(model, folder / "model", **options)
    data.to_csv(folder / "file.csv", index=False)
    (folder / "file.jsonl").write_text(data.to_json(orient="records", lines=True, force_ascii=False))
    written = data.astype(object)
    written.loc[3, "children"], written.loc[250, "children"], written.loc[499, "owner"] = "two", "", "maybe"
    written.to_csv(folder / "bad.csv", index=False)


for model in (plain, matrix, columns, gaps, loans):
    model()
