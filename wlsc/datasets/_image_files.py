"""Readers of image files and arrays of images, which survive whatever a file holds.

A broken file, or one that is something else, is a ``ValueError`` of one sentence that names it. Nothing is
unpickled, and no decoder that starts other programs is tried.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from wlsc.datasets._mat_files import read_mat

_DECODERS = ("BMP", "JPEG", "PNG", "PPM", "TIFF")  # Pillow's others are not needed, and some run programs
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def read_picture(path: Path) -> np.ndarray:
    """Decode an image file to linear luminance in [0, 1], float32 of shape (height, width)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = io.BytesIO(path.read_bytes())  # from a file, Pillow makes room for whatever length a part claims
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # a decoder that only warns has lost some data
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content, formats=_DECODERS) as stored:
                return _to_luminance(ImageOps.exif_transpose(stored))
    except UnidentifiedImageError as error:  # whose own words name no file
        kinds = ", ".join(_DECODERS)
        raise ValueError(f"{path} is not an image that can be read ({type(error).__name__}: none of {kinds})") from None
    except Exception as error:
        raise ValueError(f"{path} is not an image that can be read ({type(error).__name__}: {error})") from None


def _to_luminance(picture: Any) -> np.ndarray:
    """Turn a Pillow image into linear luminance, float32."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels: supply them as .npy")
    if picture.mode.startswith("I"):  # 16 bits of grey
        pixels = np.asarray(picture.convert("I"))
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("more than 16 bits per pixel")
        return _srgb_to_linear(65536)[pixels]
    if picture.mode in ("1", "L", "LA", "La"):
        return _srgb_to_linear(256)[np.asarray(picture.convert("L"))]
    linear = _srgb_to_linear(256)[np.asarray(picture.convert("RGB"))]
    return np.minimum(linear @ _LUMINANCE, np.float32(1))  # rounding can give white 1 + 1e-7


def _srgb_to_linear(n_levels: int) -> np.ndarray:
    """Tabulate the inverse of the transfer function of IEC 61966-2-1 for every stored level, float32."""
    encoded = np.arange(n_levels) / (n_levels - 1)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def read_arrays(path: Path, variable: str | None) -> list[np.ndarray]:
    """Read a ``.npy`` or ``.mat`` file of shape (height, width[, n_images]) as float32 images."""
    stack = read_mat(path, variable) if path.suffix.lower() == ".mat" else _read_npy(path)
    if stack.dtype.kind not in "fiub" or stack.ndim not in (2, 3) or stack.size == 0:
        raise ValueError(
            f"{path} must hold real numbers of shape (height, width) or (height, width, n_images), "
            f"got {stack.dtype} of shape {stack.shape}"
        )
    scale = np.iinfo(stack.dtype).max if stack.dtype.kind == "u" else 1
    with np.errstate(all="ignore"):  # what float32 cannot hold becomes infinite and is refused
        images = (stack.reshape(*stack.shape[:2], -1) / scale).astype(np.float32)
    if not np.isfinite(images).all():
        raise ValueError(f"{path} must hold finite numbers, got NaN or infinite values")
    return [np.ascontiguousarray(image) for image in np.moveaxis(images, 2, 0)]


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))  # refuses objects, and what the file cannot hold
    except Exception as error:
        raise ValueError(f"{path} is not a .npy file of numbers ({type(error).__name__}: {error})") from None
