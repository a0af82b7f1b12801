"""Sets of labelled images in the idx format of MNIST: Fashion-MNIST, KMNIST, EMNIST, QMNIST, a laboratory's own."""

from __future__ import annotations

import gzip
import logging
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLITS = {"train": "train", "t10k": "test", "test": "test"}
_NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<kind>images|labels)[-_.]idx\d.*", re.IGNORECASE)

_logger = logging.getLogger(__name__)


def read_idx(path: str | Path) -> np.ndarray:
    """Read a file in MNIST's idx format, gzipped or not.

    The format: two zero bytes, the type (8 and 9 for unsigned and signed bytes, 11 and 12 for integers of 16 and 32
    bits, 13 and 14 for floats of 32 and 64), the number of dimensions, each dimension as a big-endian 32-bit integer,
    then the values, big-endian. Not a byte may be missing or left over.

    Returns
    -------
    ndarray
        In the shape that the header gives, of the type that it names in the machine's own byte order.

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
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 4:
                raise ValueError(f"a header of type and dimensions was expected, it starts with {start.hex(' ')}")
            header = stream.read(4 * start[3])
            if len(header) < 4 * start[3]:
                raise ValueError("its header is cut off")
            shape = tuple(np.frombuffer(header, dtype=">u4").tolist())
            dtype, n_values = np.dtype(_TYPES[start[2]]), math.prod(shape)
            if n_values > 2**31:
                raise ValueError(f"its header claims the impossible shape {shape}")
            content = _read_at_most(stream, n_values * dtype.itemsize + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is not an idx file that can be read ({error})") from None
    if len(content) != n_values * dtype.itemsize:
        more = len(content) > n_values * dtype.itemsize
        relation = "more" if more else f"{len(content) // dtype.itemsize:,}"
        raise ValueError(f"{path} must hold {n_values:,} values after its header, got {relation}")
    return np.frombuffer(content, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(stream: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytes:
    """Read piece by piece: a header that claims more than the file holds must take no memory."""
    content = bytearray()
    while piece := stream.read(min(n_bytes - len(content), 2**20)):
        content += piece
    return bytes(content)


def find_pairs(source: str | Path | Sequence[str | Path], split: str) -> list[tuple[Path, Path]]:
    """Return the files of images and of labels that belong together, training before test.

    Parameters
    ----------
    source
        A folder with files named as MNIST's (``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte.gz``, with anything
        before that), or the two files of a pair.
    split
        "train", "test" or "all".

    Raises
    ------
    ValueError
        If there is no such pair, or there are several sets in the folder.
    """
    if not isinstance(source, (str, Path)):
        paths = [Path(path).expanduser() for path in source]
        if len(paths) != 2 or split != "all":
            raise ValueError(
                f"source must be a folder or a pair of files, of images and of labels, with split='all', got "
                f"{len(paths)} files and split={split!r}"
            )
        return [(paths[0], paths[1])]
    folder = Path(source).expanduser()
    pairs = _pairs_of(folder)
    sets = {re.sub("(train|t10k|test)$", "", prefix).rstrip("-_.") for prefix in pairs}
    if len(sets) > 1:
        raise ValueError(
            f"source must hold one set of idx files, or be the two files of a pair, got {', '.join(sorted(sets))} "
            f"in {folder}"
        )
    parts = {_split_of(prefix): pair for prefix, pair in pairs.items()}
    wanted = ("train", "test") if split == "all" else (split,)
    found = [parts[part] for part in wanted if part in parts]
    if split == "all" and "all" in parts:
        found = [parts["all"]]
    if not found:
        raise ValueError(f"source must hold pairs of idx files of images and labels ({split}), got none in {folder}")
    return found


def _pairs_of(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Pairs of a folder by what stands before ``images`` and ``labels`` in their names."""
    kinds: dict[str, dict[str, Path]] = {"images": {}, "labels": {}}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and not path.name.startswith("."):
            kinds[match["kind"].lower()].setdefault(match["prefix"], path)
    return {
        prefix: (path, kinds["labels"][prefix]) for prefix, path in kinds["images"].items() if prefix in kinds["labels"]
    }


def _split_of(prefix: str) -> str:
    return next((split for ending, split in _SPLITS.items() if prefix.endswith(ending)), "all")


def read_pair(images_path: Path, labels_path: Path, transposed: bool | None) -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels that belong together.

    Parameters
    ----------
    images_path, labels_path
        The two files.
    transposed
        Whether the pixels are stored column by column; None for files with ``emnist`` in their names.

    Returns
    -------
    images : ndarray, float32, (n_samples, n_pixels)
        Right side up, pixels row by row. Unsigned bytes are divided by 255, other types passed on.
    labels : ndarray, int64, (n_samples,)
        Where the file has several columns (QMNIST), the first one: the class.

    Raises
    ------
    ValueError
        If a file is broken, holds something else, or the counts differ.
    """
    stored, labels = read_idx(images_path), read_idx(labels_path)
    if stored.ndim != 3 or min(stored.shape) < 1:
        raise ValueError(f"{images_path} must hold images, of shape (n_samples, height, width), got {stored.shape}")
    if labels.dtype.kind == "f" or labels.ndim not in (1, 2) or labels.size == 0:
        raise ValueError(
            f"{labels_path} must hold labels, integers of shape (n_samples,), got {labels.dtype} of {labels.shape}"
        )
    if len(stored) != len(labels):
        raise ValueError(
            f"{images_path} and {labels_path} must hold as many images as labels, "
            f"got {len(stored):,} and {len(labels):,}"
        )
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise ValueError(f"{images_path} must hold finite numbers, got NaN or infinite values")
    if transposed if transposed is not None else "emnist" in images_path.name.lower():
        stored = stored.transpose(0, 2, 1)
    scale = np.float32(255 if stored.dtype == np.uint8 else 1)
    labels = (labels if labels.ndim == 1 else labels[:, 0]).astype(np.int64)
    if labels.min() != 0:
        _logger.warning("the labels in %s run from %d to %d, not from 0", labels_path, labels.min(), labels.max())
    with np.errstate(over="ignore"):
        images = stored.reshape(len(stored), -1).astype(np.float32) / scale
    return images, labels
