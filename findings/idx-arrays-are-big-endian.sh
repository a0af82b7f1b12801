#!/bin/sh
# idx2numpy returns arrays in the byte order of the file, which torch refuses and numba cannot type.
# Guess beforehand: a reader returns arrays in the machine's own order.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 idx2numpy==1.2.3 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import io

import idx2numpy
import numpy as np
import torch

file = io.BytesIO()
idx2numpy.convert_to_file(file, np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
file.seek(0)
values = idx2numpy.convert_from_file(file).copy()
try:
    torch.from_numpy(values)
    answer = "a tensor"
except ValueError as error:
    answer = f"ValueError: {error}"
print(f"idx2numpy 1.2.3: dtype {values.dtype.str}; torch {torch.__version__}: {answer}")
assert values.dtype.str == ">f4" and answer.startswith("ValueError")
PYTHON
