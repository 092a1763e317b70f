"""Train the tumour classifier at image build, on the data set that scikit-learn ships: nothing is downloaded.

What is served is a linear model, so its coefficients are all that app.py needs: it starts without importing
scikit-learn, which takes a second that every file would wait for.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

dataset = load_breast_cancer()
malignant = dataset.target == list(dataset.target_names).index("malignant")
scaler, classifier = StandardScaler(), LogisticRegression()
pipeline = make_pipeline(scaler, classifier)
print(f"Accuracy, cross-validated: {cross_val_score(pipeline, dataset.data, malignant).mean():.3f}")
pipeline.fit(dataset.data, malignant)

# The scaling is folded in: ((x - mean) / scale) @ c + i  =  x @ (c / scale) + (i - mean @ (c / scale))
coefficients = classifier.coef_[0] / scaler.scale_
intercept = classifier.intercept_[0] - scaler.mean_ @ coefficients
exported = 1 / (1 + np.exp(-(dataset.data @ coefficients + intercept)))
np.testing.assert_allclose(exported, pipeline.predict_proba(dataset.data)[:, 1], atol=1e-9)

np.savez("model.npz", columns=dataset.feature_names, coefficients=coefficients, intercept=intercept)
