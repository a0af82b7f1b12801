#!/bin/sh
# Guess: importing a library leaves Python's global random generator alone, so that random.seed(0) before a lazy import
# gives the same numbers as after it.
# Seen (scikit-learn 1.9.1 with rich 15.0.0): importing sklearn.cluster moves the state of `random` once, because
# sklearn.callback imports rich where that is installed, and rich.style draws 24 bits when it is imported. Without rich
# nothing moves: numbers differ between two environments, and between a first and a second call.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cat > "$folder/look.py" <<'PYTHON'
import random

import numpy
import scipy.sparse.linalg

random.seed(0)
before = random.getstate()
import sklearn.cluster

print("same" if random.getstate() == before else "moved")
PYTHON
without=$("$folder/venv/bin/python" "$folder/look.py")
"$folder/venv/bin/pip" install -q rich==15.0.0
with=$("$folder/venv/bin/python" "$folder/look.py")
echo "scikit-learn 1.9.1: without rich $without, with rich 15.0.0 $with"
[ "$without" = same ] && [ "$with" = moved ]
