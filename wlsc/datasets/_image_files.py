"""Readers of image files and arrays of images, which survive whatever a file holds.

A broken file, or one that is something else, is a ``ValueError`` of one sentence that names it. Nothing is
unpickled, no decoder that starts other programs is tried, and no MATLAB object, struct or cell is entered.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

_DECODERS = ("BMP", "JPEG", "PNG", "PPM", "TIFF")  # Pillow's others are not needed, and some run programs
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_NUMERIC_CLASSES = ("double", "single", "uint8", "uint16", "uint32", "int8", "int16", "int32", "logical")
_LARGEST_ARRAY = 2**31  # elements; a file of MATLAB 5 to 7 holds at most so many bytes per array


def read_picture(path: Path) -> np.ndarray:
    """Decode an image file to linear luminance in [0, 1], float32 of shape (height, width)."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a decoder that only warns of truncated data has lost some
            with Image.open(path, formats=_DECODERS) as stored:
                return _to_luminance(ImageOps.exif_transpose(stored))
    except Exception as error:
        raise ValueError(
            f"{path} is not an image that can be read ({type(error).__name__}: {error})"
        ) from None


def _to_luminance(picture: Any) -> np.ndarray:
    """Turn a Pillow image into linear luminance, float32."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels: supply them as .npy")
    if picture.mode.startswith("I"):  # 16 bits of grey
        encoded = np.asarray(picture.convert("I")) / 65535
        if encoded.min() < 0 or encoded.max() > 1:
            raise ValueError("more than 16 bits per pixel")
        return _decode_srgb(encoded).astype(np.float32)
    if picture.mode in ("1", "L", "LA", "La"):
        return _decode_srgb(np.asarray(picture.convert("L")) / 255).astype(np.float32)
    return (_decode_srgb(np.asarray(picture.convert("RGB")) / 255) @ _LUMINANCE).astype(np.float32)


def _decode_srgb(encoded: np.ndarray) -> np.ndarray:
    """Undo the transfer function of IEC 61966-2-1 for values in [0, 1]."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def read_arrays(path: Path, variable: str | None) -> list[np.ndarray]:
    """Read a ``.npy`` or ``.mat`` file of shape (height, width) or (height, width, n_images) as float32 images."""
    stack = _read_mat(path, variable) if path.suffix.lower() == ".mat" else _read_npy(path)
    if stack.dtype.kind not in "fiub" or stack.ndim not in (2, 3) or stack.size == 0:
        raise ValueError(
            f"{path} must hold real numbers of shape (height, width) or (height, width, n_images), "
            f"got {stack.dtype} of shape {stack.shape}"
        )
    if not np.isfinite(stack).all():
        raise ValueError(f"{path} must hold finite numbers, got NaN or infinite values")
    scale = np.iinfo(stack.dtype).max if stack.dtype.kind == "u" else 1
    images = stack.reshape(*stack.shape[:2], -1)
    return [
        np.ascontiguousarray(images[..., index] / scale, dtype=np.float32) for index in range(images.shape[2])
    ]


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:
        raise ValueError(f"{path} is not a .npy file of numbers ({type(error).__name__}: {error})") from None


def _read_mat(path: Path, variable: str | None) -> np.ndarray:
    """Read one numeric array of a .mat file and nothing else of it.

    Cells, structs and objects, whose readers recurse into whatever a file nests, are never entered; an
    array that claims more than such a file can hold is refused before memory is asked for.
    """
    from scipy.io import loadmat, whosmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            listed = whosmat(path)
    except NotImplementedError:
        raise ValueError(f"{path} is a MATLAB 7.3 file, which is HDF5: save it with -v7") from None
    except Exception as error:
        raise ValueError(
            f"{path} is not a .mat file that can be read ({type(error).__name__}: {error})"
        ) from None
    arrays = {name: shape for name, shape, kind in listed if kind in _NUMERIC_CLASSES}
    contents = ", ".join(f"{name} {shape}" for name, shape in arrays.items()) or "none"
    if variable is None and len(arrays) == 1:
        variable = next(iter(arrays))
    if variable not in arrays:
        wanted = (
            "one numeric array, or variable must name it" if variable is None else f"the array {variable!r}"
        )
        raise ValueError(f"{path} must hold {wanted}, got the numeric arrays: {contents}")
    if math.prod(arrays[variable]) > _LARGEST_ARRAY:
        raise ValueError(f"{path} is broken: its array {variable!r} claims the shape {arrays[variable]}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return loadmat(path, variable_names=[variable])[variable]
    except Exception as error:
        raise ValueError(f"{path} is broken at {variable!r} ({type(error).__name__}: {error})") from None
