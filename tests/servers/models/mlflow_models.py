"""Trains and logs the models of test_mlflow.py: each in a folder with its files and what it predicts in this process.

    python mlflow_models.py DIRECTORY

writes NAME/model (MLflow's own format), NAME/*.csv or *.jsonl, and NAME/expected.json: the columns that the model adds.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pandas
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

HERE = Path(sys.argv[1])
SEED = 2026
# Without it, each model is loaded in a process of its own to see what it imports.
NO_INFERENCE = {"pip_requirements": ["scikit-learn", "xgboost"]}


def keep(name: str, expected: dict[str, Any], **files: str) -> Path:
    """Write a model's files and its predictions; gives the folder for the model itself."""
    folder = HERE / name
    folder.mkdir()
    (folder / "expected.json").write_text(
        json.dumps({name: numpy.asarray(values).tolist() for name, values in expected.items()})
    )
    for file, text in files.items():
        (folder / file.replace("_", ".")).write_text(text)
    return folder / "model"


def save_sklearn(model: Any, path: Path, **options: Any) -> None:
    """What a model brings of this file goes into it as code, since the server cannot import it."""
    mlflow.sklearn.save_model(model, path, serialization_format="cloudpickle", **NO_INFERENCE, **options)


def classifier() -> None:
    """Doubles in, the number of a class out: what the tutorials log."""
    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=SEED)).fit(data.data, data.target)
    predicted = model.predict(data.data)
    path = keep("classifier", {"prediction": predicted}, file_csv=data.data.to_csv(index=False))
    save_sklearn(model, path, signature=infer_signature(data.data, predicted))


def gaps() -> None:
    """Whole numbers with gaps: doubles in the signature, as MLflow advises, and the same column without a gap as long."""
    data = load_diabetes(as_frame=True, scaled=False)
    known = data.data.round().astype(int)
    gappy = known.astype(float).mask(numpy.random.default_rng(SEED).random(known.shape) < 0.1)
    target = (data.target > data.target.median()).astype(int)
    model = HistGradientBoostingClassifier(random_state=SEED).fit(gappy, target)
    predicted = model.predict(gappy)
    written = gappy.astype("Int64").to_csv(index=False)
    path = keep("gaps", {"prediction": predicted}, file_csv=written)
    save_sklearn(model, path, signature=infer_signature(gappy, predicted))

    strict = HistGradientBoostingClassifier(random_state=SEED).fit(known, target)
    predicted = strict.predict(known).astype(object)
    holes = known.astype("Int64")
    for row in (7, 200, 441):
        holes.iloc[row, 1] = pandas.NA
        predicted[row] = None
    path = keep("whole_numbers", {"prediction": predicted}, file_csv=holes.to_csv(index=False))
    save_sklearn(strict, path, signature=infer_signature(known, strict.predict(known)))


def texts() -> None:
    """Texts and dates, and a text as the prediction; quotes, commas and line ends in it."""
    random = numpy.random.default_rng(SEED)
    rows = 500
    reasons = numpy.array(["Home, improvement", 'say "debt"', "tenth\nline", "Schön & gut", ""], dtype=object)
    people = pandas.DataFrame(
        {
            "reason": random.choice(reasons[:4], rows),
            "opened": pandas.date_range("2019-01-31", periods=rows, freq="D").strftime("%Y-%m-%d"),
            "code": [f"{number:05d}" for number in random.integers(0, 99_999, rows)],
            "amount": random.integers(1_000, 90_000, rows) / 4,
        }
    )
    label = numpy.where(people.amount + 9_000 * (people.reason == "Home, improvement") > 20_000, 'good, "safe"', "bad")
    features = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["reason"]),
        (FunctionTransformer(year_and_digit, validate=False), ["opened", "code"]),
        ("passthrough", ["amount"]),
    )
    model = make_pipeline(features, RandomForestClassifier(20, random_state=SEED)).fit(people, label)
    predicted = model.predict(people)
    path = keep("texts", {"prediction": predicted}, file_csv=people.to_csv(index=False))
    save_sklearn(model, path, signature=infer_signature(people, predicted))

    dated = people.assign(opened=pandas.to_datetime(people.opened))
    lines = people.to_json(orient="records", lines=True)
    path = keep("dates", {"prediction": predicted}, file_csv=people.to_csv(index=False), file_jsonl=lines)
    save_sklearn(model, path, signature=infer_signature(dated, predicted))


def year_and_digit(columns: pandas.DataFrame) -> pandas.DataFrame:
    """Fails for a code that has lost its zeros, so that texts that look like numbers must stay texts."""
    if (columns["code"].str.len() != 5).any():
        raise ValueError("a code has five digits")
    return pandas.DataFrame(
        {"year": pandas.to_datetime(columns["opened"]).dt.year, "digit": columns["code"].str[0].astype(int)}
    )


def several_columns() -> None:
    """A DataFrame of several columns: numbers, a text, a flag, a gap."""
    data = load_wine(as_frame=True)
    model = Explained(RandomForestClassifier(30, random_state=SEED).fit(data.data, data.target))
    predicted = model.predict(None, data.data)
    lines = data.data.to_json(orient="records", lines=True)
    path = keep("several_columns", dict(predicted), file_csv=data.data.to_csv(index=False), file_jsonl=lines)
    mlflow.pyfunc.save_model(path, python_model=model, signature=infer_signature(data.data, predicted), **NO_INFERENCE)


class Explained(mlflow.pyfunc.PythonModel):
    def __init__(self, forest: RandomForestClassifier) -> None:
        self.forest = forest

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> pandas.DataFrame:
        likely = self.forest.predict_proba(model_input)
        best = likely.max(axis=1)
        return pandas.DataFrame(
            {
                "cultivar": likely.argmax(axis=1),
                "probability": best,
                "is_sure": best > 0.9,
                "told": numpy.where(best > 0.9, "sure", 'may be, or "not"'),
                "margin": numpy.where(best > 0.9, best - 0.9, numpy.nan),
            },
            index=model_input.index,
        )


def probabilities() -> None:
    """A row of probabilities for each record."""
    data = load_iris(as_frame=True)
    model = RandomForestClassifier(30, random_state=SEED).fit(data.data, data.target)
    predicted = model.predict_proba(data.data)
    columns = {f"prediction_{place}": predicted[:, place] for place in range(3)}
    path = keep("probabilities", columns, file_csv=data.data.to_csv(index=False))
    save_sklearn(model, path, signature=infer_signature(data.data, predicted), pyfunc_predict_fn="predict_proba")


def boosted() -> None:
    """XGBoost: float32 out."""
    data = load_breast_cancer(as_frame=True)
    model = XGBClassifier(n_estimators=30, random_state=SEED, n_jobs=1).fit(data.data, data.target)
    predicted = model.predict_proba(data.data)
    booster = model.get_booster()
    raw = booster.inplace_predict(data.data)
    assert (raw == predicted[:, 1]).all()
    path = keep("boosted", {"prediction": raw}, file_csv=data.data.to_csv(index=False))
    mlflow.xgboost.save_model(booster, path, signature=infer_signature(data.data, raw), **NO_INFERENCE)


def unsigned() -> None:
    """No signature: pandas finds out itself what the columns are. European numbers; the customer's number is not sent."""
    data = load_diabetes(as_frame=True, scaled=False)
    model = RandomForestRegressor(20, random_state=SEED, n_jobs=1).fit(data.data, data.target)
    named = data.data.copy()
    named.insert(0, "customer", [f"{number:06d}" for number in range(len(named))])
    written = named.to_csv(index=False, sep=";", decimal=",")
    path = keep("unsigned", {"prediction": model.predict(data.data)}, file_csv=written)
    save_sklearn(model, path)


def typed() -> None:
    """A date with gaps beside each other type of a signature: what the model is given is what it answers."""
    random = numpy.random.default_rng(SEED)
    rows = 400
    moments = pandas.Series(pandas.date_range("2019-01-31", periods=rows, freq="37h"))
    people = pandas.DataFrame(
        {
            "opened": moments.mask(random.random(rows) < 0.1),
            "is_member": random.random(rows) < 0.5,
            "visits": random.integers(0, 2**62, rows),
            "amount": pandas.Series(random.normal(size=rows)).mask(random.random(rows) < 0.1),
            "told": random.choice(["True", "0", 'say "it", twice', "7.50"], rows),
        }
    )
    model = Echo()
    predicted = model.predict(None, people)
    path = keep("typed", dict(predicted), file_csv=people.to_csv(index=False))
    mlflow.pyfunc.save_model(path, python_model=model, signature=infer_signature(people, predicted), **NO_INFERENCE)


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> pandas.DataFrame:
        return pandas.DataFrame(
            {f"is_{name}": [f"{value!r}" for value in model_input[name].tolist()] for name in model_input}
        )


def tensor() -> None:
    """Trained on an array: the signature is a tensor's, without names of columns."""
    data = load_digits()
    model = LogisticRegression(max_iter=200, random_state=SEED).fit(data.data, data.target)
    predicted = model.predict(data.data)
    pixels = pandas.DataFrame(data.data)
    lines = pixels.to_json(orient="records", lines=True)
    path = keep("tensor", {"prediction": predicted}, file_csv=pixels.to_csv(index=False), file_jsonl=lines)
    save_sklearn(model, path, signature=infer_signature(data.data, predicted))


def flags() -> None:
    """A tensor of booleans, to which any text is True."""
    data = numpy.array([[True, False], [False, False]])
    path = keep("flags", {}, file_csv="a,b\nTrue,False\nFalse,False\n")
    mlflow.pyfunc.save_model(path, python_model=Echo(), signature=infer_signature(data), **NO_INFERENCE)


if __name__ == "__main__":
    for make in (classifier, gaps, texts, several_columns, probabilities, boosted, unsigned, typed, tensor, flags):
        make()
