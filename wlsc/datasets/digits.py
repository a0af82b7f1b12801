"""Handwritten digits: MNIST, and the small set inside scikit-learn's wheel."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from wlsc._validation import check_choice
from wlsc.datasets.natural_images import gaussian_match
from wlsc.datasets.registry import fetch

_MNIST_FILES = {"train": "train", "test": "t10k"}
_FIRST_EMBEDDED_TEST = 1415  # the file runs form by form, and a filled-in form begins here


def load_digits(
    source: str = "mnist",
    classes: Sequence[int] | None = None,
    split: str = "all",
    unit_norm: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Load handwritten digits.

    Parameters
    ----------
    source
        ``"mnist"`` (28×28 pixels, 60,000 + 10,000 digits) or ``"embedded"`` (8×8 pixels, 1,797 digits:
        scikit-learn's, in the registry ``embedded-digits``).
    classes
        Only these digits; all ten if None.
    split
        ``"train"``, ``"test"`` or ``"all"``, which is the one after the other. MNIST comes with its split;
        of the embedded digits the last 382 are the test set: whole forms, which the first 1,415 do not hold.
    unit_norm
        Scale every image to Euclidean length 1.

    Returns
    -------
    images : ndarray, float32, (n_samples, n_pixels)
        In [0, 1], ink bright, pixels row by row.
    labels : ndarray, int64, (n_samples,)
        0 … 9.

    Raises
    ------
    ValueError
        If an argument is not one of these.
    DataError
        If the files cannot be had.
    """
    check_choice("source", source, ("mnist", "embedded"))
    check_choice("split", split, ("train", "test", "all"))
    wanted = _check_classes(classes)
    splits = ("train", "test") if split == "all" else (split,)
    read = _read_mnist if source == "mnist" else _read_embedded
    parts = [read(part) for part in splits]
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    if wanted is not None:
        chosen = np.isin(labels, wanted)
        images, labels = images[chosen], labels[chosen]
    if unit_norm:
        lengths = np.linalg.norm(images, axis=1, keepdims=True)
        images /= np.where(lengths > 0, lengths, 1)
    return images, labels


def load_gaussian_digits(source: str = "mnist", seed: int = 0, **options: Any) -> np.ndarray:
    """Draw Gaussian vectors with the mean and the covariance of digits: the null that has no classes.

    Parameters
    ----------
    source, options
        As in `load_digits`.
    seed
        The same seed gives the same draw.

    Returns
    -------
    ndarray, float32, (n_samples, n_pixels)
        As many as there are digits.

    Raises
    ------
    ValueError, DataError
        As `load_digits`.
    """
    return np.asarray(gaussian_match(load_digits(source, **options)[0], seed))


def read_idx(path: str | Path) -> np.ndarray:
    """Read a file in MNIST's idx format, gzipped or not.

    The format: two zero bytes, the type (8 for unsigned bytes, the only one read here), the number of
    dimensions, each dimension as a big-endian 32-bit integer, then the values. Not a byte may be missing or
    left over.

    Returns
    -------
    ndarray, uint8
        In the shape that the header gives.

    Raises
    ------
    ValueError
        If the file is missing or anything of this is not so.
    """
    path = Path(path)
    try:
        with path.open("rb") as probe:
            opener = gzip.open if probe.read(2) == b"\x1f\x8b" else open
        with opener(path, "rb") as stream:
            start = stream.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08" or not 1 <= start[3] <= 4:
                raise ValueError(f"a header of unsigned bytes was expected, it starts with {start.hex(' ')}")
            header = stream.read(4 * start[3])
            if len(header) < 4 * start[3]:
                raise ValueError("its header is cut off")
            shape = tuple(np.frombuffer(header, dtype=">u4").tolist())
            n_values = math.prod(shape)
            if n_values > 2**31:
                raise ValueError(f"its header claims the impossible shape {shape}")
            values = _read_at_most(stream, n_values + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is not an idx file that can be read ({error})") from None
    if len(values) != n_values:
        relation = "more" if len(values) > n_values else f"{len(values):,}"
        raise ValueError(f"{path} must hold {n_values:,} values after its header, got {relation}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read_at_most(stream: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytes:
    """Read piece by piece: a header that claims more than the file holds must take no memory."""
    content = bytearray()
    while piece := stream.read(min(n_bytes - len(content), 2**20)):
        content += piece
    return bytes(content)


def _check_classes(classes: Sequence[int] | None) -> list[int] | None:
    if classes is None:
        return None
    wanted = list(classes) if isinstance(classes, Iterable) else []
    if not wanted or any(digit not in range(10) for digit in wanted):
        raise ValueError(f"classes must be a list of digits from 0 to 9, got {classes!r}")
    return wanted


def _read_mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    stem = _MNIST_FILES[part]
    paths = {kind: f"{stem}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")}
    images, labels = (read_idx(fetch("mnist", name)[name]) for name in paths.values())
    return images.reshape(len(images), -1) / np.float32(255), labels.astype(np.int64)


def _read_embedded(part: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    rows = slice(_FIRST_EMBEDDED_TEST, None) if part == "test" else slice(_FIRST_EMBEDDED_TEST)
    return (images[rows] / 16).astype(np.float32), labels[rows].astype(np.int64)
