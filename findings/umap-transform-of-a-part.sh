#!/bin/sh
# umap-learn gives back the embedding if transform is given the training array, and other places if given half of its rows.
# Guess beforehand: a row goes to the same place whatever rows stand beside it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 umap-learn==0.5.12 pynndescent==0.7.0 numba==0.68.1
"$folder/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import umap
from sklearn.datasets import load_digits

warnings.simplefilter("ignore")
digits = load_digits().data[:1000] / 16
model = umap.UMAP(random_state=0, n_jobs=1).fit(digits)
whole, half = model.transform(digits), model.transform(digits[:500])
width = np.ptp(model.embedding_, axis=0).max()
moved = [np.linalg.norm(places - model.embedding_[: len(places)], axis=1) / width for places in (whole, half)]
print(f"umap-learn {umap.__version__}: shift from the embedding, as a share of its width, mean and most")
for name, shift in zip(("all training rows", "half of them"), moved, strict=True):
    print(f"{name}: {shift.mean():.4f}, {shift.max():.4f}")
assert moved[0].max() == 0 and moved[1].mean() > 0.001 and moved[1].max() > 0.01
PYTHON
