"""Fit the reference at image build: what is usual in the diabetes data that scikit-learn ships."""

import joblib
from score import new_model
from sklearn.datasets import load_diabetes

dataset = load_diabetes(scaled=False)
joblib.dump({"columns": dataset.feature_names, "model": new_model().fit(dataset.data)}, "reference.joblib")
print(f"Reference fitted on {len(dataset.data)} rows of {', '.join(dataset.feature_names)}.")
