"""Numeric arrays of HDF5 files: those of MATLAB 7.3, whose axes come reversed, and any others.

Nothing outside the file is opened on its behalf: links to other files, values stored outside and virtual datasets
are not arrays that can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wlsc.datasets._errors import brief

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURE_AT = (0, 512)  # MATLAB puts a header of 512 bytes of its own before it
_MATLAB_INTERNALS = ("#refs#", "#subsystem#")
_NOT_NUMBERS = (b"char", b"cell", b"struct", b"function_handle")
_MOST_PACKED = 2000  # times that filled chunks can hold more than they take; deflate reaches 1,032


def is_hdf5(start: bytes) -> bool:
    """Tell an HDF5 file by its first 520 bytes."""
    return any(start[offset : offset + 8] == _SIGNATURE for offset in _SIGNATURE_AT)


@contextmanager
def open_hdf5(path: Path) -> Iterator[dict[str, Any]]:
    """Open a file and give its real numeric datasets by name, those in groups as ``group/name``.

    Raises
    ------
    ValueError
        If the file, or what is read of it while it is open, is broken.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield _numeric_datasets(file)
    except (OSError, RuntimeError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path} is not an HDF5 file that can be read ({brief(error)})") from None


def is_from_matlab(dataset: Any) -> bool:
    """Tell whether MATLAB wrote the dataset, so that its axes stand in reversed order."""
    return "MATLAB_class" in dataset.attrs


def read_hdf5(dataset: Any) -> np.ndarray:
    """Return the values of a dataset with the axes in the order in which they were written."""
    values = np.asarray(dataset[()])
    return values.T if is_from_matlab(dataset) else values


def _numeric_datasets(file: Any) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:  # hard links alone lead here, each to one place
        if isinstance(item, h5py.Dataset) and not name.startswith(_MATLAB_INTERNALS) and _is_numeric(item):
            found[name] = item

    file.visititems(visit)
    return found


def _is_numeric(dataset: Any) -> bool:
    if dataset.dtype.kind not in "fiub" or not dataset.shape or dataset.size == 0:
        return False
    if dataset.external or dataset.is_virtual or dataset.attrs.get("MATLAB_class", b"") in _NOT_NUMBERS:
        return False
    # a dataset can claim any shape and store nothing of it
    return dataset.nbytes <= _MOST_PACKED * dataset.id.get_storage_size()
