"""Train the wine classifier at image build, on the data set that scikit-learn ships: nothing is downloaded.

What is served is a linear model, so its coefficients are all that app.py needs: it starts without importing
scikit-learn, which takes a second that every file would wait for.
"""

import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data, target = load_wine(return_X_y=True)
scaler, classifier = StandardScaler(), LogisticRegression()
pipeline = make_pipeline(scaler, classifier)
print(f"Accuracy, cross-validated: {cross_val_score(pipeline, data, target).mean():.3f}")
pipeline.fit(data, target)

# The scaling is folded in: ((x - mean) / scale) @ c + i  =  x @ (c / scale) + (i - mean @ (c / scale))
coefficients = (classifier.coef_ / scaler.scale_).T
intercept = classifier.intercept_ - scaler.mean_ @ coefficients
exported = classifier.classes_[np.argmax(data @ coefficients + intercept, axis=1)]
np.testing.assert_array_equal(exported, pipeline.predict(data))

np.savez("model.npz", coefficients=coefficients, intercept=intercept, classes=classifier.classes_)
