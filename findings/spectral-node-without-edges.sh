#!/bin/sh
# A node without edges gets a place like any other's from scikit-network's Spectral, and zeros from its GSVD.
# Guess beforehand: zeros or an error, as from GSVD.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 scikit-network==0.33.5
"$folder/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from scipy import sparse
from sknetwork.embedding import GSVD, Spectral

rng = np.random.default_rng(0)
codes = rng.random((60, 20)) * (rng.random((60, 20)) < 0.3)  # samples and the atoms that they use
codes[7] = 0  # a sample with an empty code
graph = sparse.csr_matrix(codes)
RELEASE = version("scikit-network")
print(f"scikit-network {RELEASE}: length of a sample's place, mean of the connected ones and the unconnected one")
lengths = {}
for method in (Spectral(4), GSVD(4)):
    places = np.linalg.norm(method.fit_transform(graph), axis=1)
    name = type(method).__name__
    lengths[name] = float(np.delete(places, 7).mean()), float(places[7])
    print(f"{name}: {lengths[name][0]:.4f}, {lengths[name][1]:.4f}")
assert lengths["Spectral"][1] > 0.9 * lengths["Spectral"][0] and lengths["GSVD"][1] < 1e-9
PYTHON
