#!/bin/sh
# safetensors writes several keys of metadata in an order that changes from process to process: equal content, other bytes.
# Guess beforehand: the same tensors and the same metadata give the same file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 safetensors==0.8.0
"$folder/bin/python" - <<'PYTHON'
import hashlib
import subprocess
import sys

import safetensors

WRITE = """
import sys, numpy, safetensors.numpy
keys = {f"key{number}": str(number) for number in range(int(sys.argv[1]))}
sys.stdout.buffer.write(safetensors.numpy.save({"atoms": numpy.zeros((2, 3), numpy.float32)}, metadata=keys))
"""


def count_files(n_keys):
    """Number of different files that twelve processes write."""
    command = [sys.executable, "-c", WRITE, str(n_keys)]
    return len({hashlib.sha256(subprocess.run(command, capture_output=True, check=True).stdout).hexdigest() for _ in range(12)})


one, eight = count_files(1), count_files(8)
print(f"safetensors {safetensors.__version__}: different files from twelve processes: {one} with one key, {eight} with eight")
assert one == 1 and eight > 1
PYTHON
