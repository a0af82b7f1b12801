"""Handwritten digits: MNIST, the small set inside scikit-learn's wheel, and any set of labelled images in idx files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wlsc._lazy import same_random_numbers
from wlsc._validation import check_choice, check_flag
from wlsc.datasets.idx import find_pairs, read_idx, read_pair
from wlsc.datasets.natural_images import gaussian_match
from wlsc.datasets.registry import fetch

_MNIST_FILES = {"train": "train", "test": "t10k"}
_FIRST_EMBEDDED_TEST = 1415  # the file runs form by form, and a filled-in form begins here


def load_digits(
    source: str | Path | Sequence[str | Path] = "mnist",
    classes: Sequence[int] | None = None,
    split: str = "all",
    unit_norm: bool = False,
    transposed: bool | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Load handwritten digits, or any labelled images in MNIST's format.

    Parameters
    ----------
    source
        ``"mnist"`` (28×28 pixels, 60,000 + 10,000 digits) or ``"embedded"`` (8×8 pixels, 1,797 digits:
        scikit-learn's, in the registry ``embedded-digits``); or a folder with one set of idx files, named as MNIST's
        are (Fashion-MNIST, KMNIST, QMNIST); or two idx files, of images and of labels.
    classes
        Only these labels; all if None.
    split
        ``"train"``, ``"test"`` or ``"all"``, which is the one after the other. MNIST comes with its split;
        of the embedded digits the last 382 are the test set: whole forms, which the first 1,415 do not hold.
    unit_norm
        Scale every image to Euclidean length 1.
    transposed
        Whether idx files hold the pixels column by column, as EMNIST's do; None tells those by their name.

    Returns
    -------
    images : ndarray, float32, (n_samples, n_pixels)
        Pixels row by row, in [0, 1] with bright ink; of idx files that hold other types than unsigned bytes, as they
        are stored.
    labels : ndarray, int64, (n_samples,)
        0 … 9; of other sets as they are stored. That they do not begin at 0 is logged as a warning.

    Raises
    ------
    ValueError
        If an argument is not one of these, or a file of the reader's is broken.
    DataError
        If the files of a registered set cannot be had.
    """
    check_choice("split", split, ("train", "test", "all"))
    check_flag("unit_norm", unit_norm)
    splits = ("train", "test") if split == "all" else (split,)
    if source == "mnist":
        parts = [_read_mnist(part) for part in splits]
    elif source == "embedded":
        parts = [_read_embedded(part) for part in splits]
    else:
        parts = [read_pair(*pair, transposed) for pair in find_pairs(_existing(source), split)]
    if len({images.shape[1] for images, _ in parts}) > 1:
        raise ValueError(f"source must hold images of one size, got {[images.shape for images, _ in parts]}")
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    if classes is not None:
        chosen = np.isin(labels, _check_classes(classes, np.unique(labels)))
        images, labels = images[chosen], labels[chosen]
    if unit_norm:
        lengths = np.linalg.norm(images, axis=1, keepdims=True)
        images /= np.where(lengths > 0, lengths, 1)
    return images, labels


def _existing(source: str | Path | Sequence[str | Path]) -> str | Path | Sequence[str | Path]:
    if isinstance(source, (str, Path)) and not Path(source).expanduser().is_dir():
        raise ValueError(
            f"source must be one of 'mnist', 'embedded', a folder that exists, or two files, got {str(source)!r}"
        )
    return source


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


def _check_classes(classes: Sequence[int], present: np.ndarray) -> list[int]:
    wanted = list(classes) if isinstance(classes, Iterable) else []
    if not wanted or any(isinstance(label, bool) or label not in present for label in wanted):
        known = f"{present.min()} to {present.max()}"
        raise ValueError(f"classes must be a list of labels of the set, {known}, got {classes!r}")
    return wanted


def _read_mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    stem = _MNIST_FILES[part]
    paths = {kind: f"{stem}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")}
    images, labels = (read_idx(fetch("mnist", name)[name]) for name in paths.values())
    return images.reshape(len(images), -1) / np.float32(255), labels.astype(np.int64)


def _read_embedded(part: str) -> tuple[np.ndarray, np.ndarray]:
    with same_random_numbers():
        from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    rows = slice(_FIRST_EMBEDDED_TEST, None) if part == "test" else slice(_FIRST_EMBEDDED_TEST)
    return (images[rows] / 16).astype(np.float32), labels[rows].astype(np.int64)
