#!/bin/sh
# h5py shows the axes of a MATLAB 7.3 file in reverse order: a stack of square patches still looks like one, transposed.
# Guess beforehand: the array has the shape that MATLAB shows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 h5py==3.16.0 hdf5storage==0.2.2
"$folder/bin/python" - <<'PYTHON'
import tempfile
from pathlib import Path

import h5py
import hdf5storage
import numpy as np

IMAGES = np.arange(2 * 4 * 4, dtype=float).reshape(4, 4, 2)  # height, width, number, as MATLAB keeps images
with tempfile.TemporaryDirectory() as folder:
    path = str(Path(folder) / "images.mat")
    hdf5storage.savemat(path, {"IMAGES": IMAGES}, format="7.3")
    with h5py.File(path) as file:
        by_h5py = file["IMAGES"][...]
    by_reader = hdf5storage.loadmat(path)["IMAGES"]
print(f"shape in MATLAB {IMAGES.shape}; h5py {h5py.__version__}: {by_h5py.shape}; hdf5storage {hdf5storage.__version__}: {by_reader.shape}")
print(f"h5py's first image is MATLAB's transposed: {np.array_equal(by_h5py[0], IMAGES[:, :, 0].T)}")
assert by_h5py.shape == (2, 4, 4) and np.array_equal(by_h5py[0], IMAGES[:, :, 0].T)
assert not np.array_equal(by_h5py[0], IMAGES[:, :, 0]) and np.array_equal(by_reader, IMAGES)
PYTHON
