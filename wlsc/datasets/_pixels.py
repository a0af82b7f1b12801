"""From stored pixels to linear luminance."""

from __future__ import annotations

import numpy as np

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)

#: Orientation tag of EXIF and TIFF → quarter turns anticlockwise of the stored picture, and whether it is mirrored
#: from left to right before.
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False)}


def to_luminance(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """Turn stored pixels into linear luminance, float32 of shape (height, width).

    Parameters
    ----------
    pixels
        Booleans, unsigned integers of 8 or 16 bits, or floats; shape (height, width) or (height, width, n_channels)
        with grey, grey and alpha, RGB, or RGB and alpha. Alpha is dropped.
    encoding
        "srgb": decoded by IEC 61966-2-1; "linear": divided by the largest value of the type, floats as they are.

    Raises
    ------
    ValueError
        If the type or the number of channels is another.
    """
    if pixels.ndim == 3 and pixels.shape[2] > 4:
        raise ValueError(f"{pixels.shape[2]} channels instead of at most 4")
    grey = pixels.ndim == 2 or pixels.shape[2] < 3
    chosen = pixels if pixels.ndim == 2 else pixels[..., 0] if grey else pixels[..., :3]
    linear = _decode(chosen, encoding)
    if grey:
        return linear
    luminance = linear @ _LUMINANCE
    return luminance if pixels.dtype.kind == "f" else np.minimum(luminance, np.float32(1))  # white can be 1 + 1e-7


def _decode(pixels: np.ndarray, encoding: str) -> np.ndarray:
    if pixels.dtype.kind == "b":
        return pixels.astype(np.float32)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = pixels.astype(np.float32)
        return _srgb_to_linear(values).astype(np.float32) if encoding == "srgb" else values
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise ValueError(f"pixels of type {pixels.dtype} instead of 8 or 16 bits or floats")
    levels = np.arange(np.iinfo(pixels.dtype).max + 1) / np.iinfo(pixels.dtype).max
    return (_srgb_to_linear(levels) if encoding == "srgb" else levels).astype(np.float32)[pixels]


def _srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """Apply the inverse of the transfer function of IEC 61966-2-1."""
    power = ((np.maximum(encoded, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, encoded / 12.92, power)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror a picture as its orientation tag, 1 … 8, asks; 1 and unknown values leave it."""
    turns, mirrored = _TURNS.get(orientation, (0, False))
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)
