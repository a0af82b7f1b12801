#!/bin/sh
# Guess: spams.decompSimplex in float32 gives the codes of float64 to some five digits.
# Seen (spams-bin 2.6.14, numpy 2.4.6): the sums of all 500 codes are NaN or such as -2e38, without an error; in float64
# they are 1 to 1.6e-15. Ask for float64.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 spams-bin==2.6.14
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import spams

random = np.random.default_rng(0)
atoms = random.normal(size=(64, 200))
samples = atoms @ random.dirichlet(np.full(200, 0.1), 500).T + 0.1 * random.normal(size=(64, 500))


def sums(dtype):
    columns, dictionary = (np.asfortranarray(values.astype(dtype)) for values in (samples, atoms))
    codes = spams.decompSimplex(columns, dictionary, computeXtX=True, numThreads=1).toarray().astype(np.float64)
    return codes.sum(axis=0)


right, wrong = sums(np.float64), sums(np.float32)
off = ~(np.abs(wrong - 1) < 1e-2)
print(f"spams-bin {version('spams-bin')}: float64 sums off by at most {np.abs(right - 1).max():.1e}; ", end="")
print(f"float32: {off.sum()} of {len(off)} off by more than 0.01, e.g. {wrong[off][:3]}")
raise SystemExit(0 if np.abs(right - 1).max() < 1e-9 and off.any() else "float32 is right now, or float64 is not")
PYTHON
