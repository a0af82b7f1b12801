"""Data: the registry of what can be read, natural images, handwritten digits, physiology."""

from __future__ import annotations

from wlsc.datasets.digits import load_digits
from wlsc.datasets.idx import read_idx
from wlsc.datasets.matrices import load_matrix
from wlsc.datasets.natural_images import (
    effective_dimension,
    extract_patches,
    gaussian_match,
    load_images,
    load_patches,
    read_images,
    whiten,
    whitening_matrix,
)
from wlsc.datasets.registry import DataError, Retry, source_hashes

__all__ = [
    "DataError",
    "Retry",
    "effective_dimension",
    "extract_patches",
    "gaussian_match",
    "load_digits",
    "load_images",
    "load_matrix",
    "load_patches",
    "read_idx",
    "read_images",
    "source_hashes",
    "whiten",
    "whitening_matrix",
]
