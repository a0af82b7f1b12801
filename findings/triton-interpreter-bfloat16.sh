#!/bin/sh
# Triton's interpreter multiplies bfloat16 tiles wrongly by many orders of magnitude; the same tiles in float32 are right.
# Guess beforehand: the interpreter is slow and right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0 triton==3.9.0
"$folder/bin/python" - <<'PYTHON'
import os
import tempfile
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"
import importlib.util

import torch
import triton

KERNEL = '''
import triton
import triton.language as tl

@triton.jit
def multiply(a, b, out, CAST: tl.constexpr):
    rows = tl.arange(0, 16)
    place = rows[:, None] * 16 + rows[None, :]
    first, second = tl.load(a + place), tl.load(b + place)
    if CAST:
        first, second = first.to(tl.float32), second.to(tl.float32)
    tl.store(out + place, tl.dot(first, second))
'''
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "kernel.py"  # a kernel is read from its file
    path.write_text(KERNEL)
    spec = importlib.util.spec_from_file_location("kernel", path)
    kernel = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernel)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(16, 16, generator=generator).bfloat16() for _ in range(2))
    expected = a.double() @ b.double()
    errors = {}
    for cast in (False, True):
        out = torch.empty(16, 16)
        kernel.multiply[(1,)](a, b, out, CAST=cast)
        errors[cast] = float((out.double() - expected).abs().max())
print(f"triton {triton.__version__}, interpreter, product of two 16 x 16 tiles of bfloat16: largest error")
print(f"tl.dot of the tiles {errors[False]:.1e}, after a cast to float32 {errors[True]:.1e}")
assert errors[False] > 1e3 and errors[True] < 1e-3
PYTHON
