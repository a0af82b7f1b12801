#!/bin/sh
# Guess: a quadratic-programming solver at its default settings, asked for codes on the simplex, ends at or a little
# above the optimum, at codes of at least 0, as an active-set solver does.
# Seen (osqp 1.1.3, proxsuite 0.8.0, numpy 2.4.6): both report "solved", with negative codes and an objective *below*
# the optimum: -1.0e-05 of it and -7.3e-07 (OSQP), -7.7e-05 and -5.6e-06 (ProxQP). Their tolerances are of the
# constraints too. An objective compared with theirs tells nothing unless the codes are brought back to the simplex.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 osqp==1.1.3 proxsuite==0.8.0
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import osqp
import proxsuite
from scipy import sparse

# the code of a point for orthonormal atoms is its projection onto the simplex, which has a closed form
m = 40
point = np.sin(np.arange(m)) / 4
ordered = np.sort(point)[::-1]
threshold = ((np.cumsum(ordered) - 1) / np.arange(1, m + 1)).max()
best = np.maximum(point - threshold, 0)
assert abs(best.sum() - 1) < 1e-12

solver = osqp.OSQP()
rows = sparse.vstack([np.ones((1, m)), sparse.identity(m)], format="csc")
lower, upper = np.append(1.0, np.zeros(m)), np.append(1.0, np.full(m, np.inf))
solver.setup(sparse.identity(m, format="csc"), -point, rows, lower, upper, verbose=False)
found = solver.solve()
assert found.info.status == "solved"

problem = proxsuite.proxqp.dense.QP(m, 1, m)
problem.init(np.eye(m), -point, np.ones((1, m)), np.ones(1), np.eye(m), np.zeros(m), np.full(m, np.inf))
problem.solve()
assert problem.results.info.status.name == "PROXQP_SOLVED"


def objective(codes):
    return 0.5 * np.sum((codes - point) ** 2)


below = []
for name, codes in (("osqp", found.x), ("proxsuite", problem.results.x)):
    excess = objective(codes) / objective(best) - 1
    print(f"{name} {version(name)}: objective {excess:+.1e} of the optimum, smallest code {codes.min():.1e}")
    below.append(excess < 0 and codes.min() < 0)
raise SystemExit(0 if all(below) else "a solver no longer ends below the optimum")
PYTHON
