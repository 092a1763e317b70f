"""Trains a model of the bench's own numbers, for `make sweep`: `numbers_model.py DIRECTORY`.

Runs in the environment of a server; where that has MLflow, the model is saved as MLflow does, else as a joblib file
where the SageMaker toolkit looks for it. The model is a small one: what is measured is the way to it.
"""

import io
import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parents[3]))

from bench import data

HERE = Path(sys.argv[1])


def main() -> None:
    from sklearn.linear_model import LogisticRegression

    file = data.File(1, "-numbers")
    names = file.header.decode().strip().split(",")
    values = numpy.loadtxt(io.BytesIO(b"".join(bytes(chunk) for chunk in file.read())), delimiter=",", skiprows=1)
    target = (values.sum(axis=1) > 0).astype(int)
    try:
        import mlflow
        import pandas
        from mlflow.models import infer_signature
    except ImportError:
        import joblib

        (HERE / "model" / "code").mkdir(parents=True)
        joblib.dump(LogisticRegression().fit(values, target), HERE / "model/model.joblib")
    else:
        frame = pandas.DataFrame(values, columns=names)
        model = LogisticRegression().fit(frame, target)
        mlflow.sklearn.save_model(
            model,
            HERE / "model",
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
            signature=infer_signature(frame, model.predict(frame)),
        )


if __name__ == "__main__":
    main()
