#!/bin/sh
# POT's wasserstein_circle measures angles in turns: angles in whole degrees all lie on one point.
# Guess beforehand: the argument is an angle, in radians or degrees, or the call refuses what is above 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 POT==0.9.7.post1
"$folder/bin/python" - <<'PYTHON'
import numpy as np
import ot

rng = np.random.default_rng(0)
cells = np.round(rng.normal(10, 5, 200)) % 360  # preferred orientations, in whole degrees
units = np.round(rng.normal(100, 5, 200)) % 360
in_degrees = float(ot.wasserstein_circle(cells, units, p=1)[0])
in_turns = 360 * float(ot.wasserstein_circle(cells / 360, units / 360, p=1)[0])
print(f"POT {ot.__version__}: angles about 10 and about 100 degrees")
print(f"given in degrees {in_degrees:.6f}, given in turns and times 360 {in_turns:.1f}")
assert abs(in_degrees) < 1e-9 and 85 < in_turns < 95
PYTHON
