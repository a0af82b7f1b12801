#!/bin/sh
# openTSNE cannot take sparse codes with the cosine distance by its default search for neighbours.
# Guess beforehand: sparse input is documented, so it works.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 openTSNE==1.0.4 pynndescent==0.7.0 numba==0.68.1
"$folder/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import openTSNE
from scipy import sparse

warnings.simplefilter("ignore")

rng = np.random.default_rng(0)
codes = sparse.csr_matrix(rng.random((300, 40)) * (rng.random((300, 40)) < 0.2))
options = {"metric": "cosine", "n_iter": 20, "early_exaggeration_iter": 20, "random_state": 0}
try:
    openTSNE.TSNE(**options).fit(codes)
    answer = "an embedding"
except (TypeError, ValueError) as error:
    answer = f"{type(error).__name__}: {error}"
places = np.asarray(openTSNE.TSNE(neighbors="pynndescent", **options).fit(codes))
print(f"openTSNE {openTSNE.__version__}: default neighbours: {answer}")
print(f"neighbors='pynndescent': {places.shape}, finite {np.isfinite(places).all()}")
assert "dtype object" in answer and np.isfinite(places).all()
PYTHON
