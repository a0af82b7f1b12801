"""Readers of picture files: PNG, JPEG, BMP, PPM, and TIFF with all its pages.

No decoder that starts other programs is tried.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from wlsc.datasets._pixels import to_luminance, upright

_DECODERS = ("BMP", "JPEG", "PNG", "PPM", "TIFF")  # Pillow's others are not needed, and some run programs
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DNG_VERSION = 50706  # tag of TIFF that marks a DNG
_ORIENTATION = 274
_SRGB_GAMMA = 1 / 2.2


def is_tiff(start: bytes) -> bool:
    """Tell a TIFF file by its first bytes."""
    return start.startswith(_TIFF_STARTS)


def read_picture(content: bytes, encoding: str | None) -> tuple[list[np.ndarray], str, str]:
    """Decode a picture that is no TIFF.

    Parameters
    ----------
    content
        The file.
    encoding
        "srgb" or "linear", against what the file says; None to take its word, and sRGB where it says nothing.

    Returns
    -------
    images : list of ndarray, float32, (height, width)
        One image of linear luminance in [0, 1].
    format, encoding : str
        What the file is, and what its pixels were taken for.
    """
    from PIL import ImageOps

    with _opened(content) as stored:
        said = encoding or _encoding_of_png(stored)
        if stored.format == "PNG" and content[24] == 16:  # Pillow would cut 16-bit colours to 8 bits
            pixels = upright(_decode_png(content), stored.getexif().get(_ORIENTATION, 1))
        else:
            pixels = _pixels(ImageOps.exif_transpose(stored))
        return [to_luminance(pixels, said)], f"{stored.format}, {_describe(pixels)}", said


def read_tiff(content: bytes, encoding: str | None) -> tuple[list[np.ndarray], str, str]:
    """Decode all pages of a TIFF file, as `read_picture` does one picture; floats are taken as linear.

    Reduced copies of a page are left out.
    """
    import tifffile

    with _complaints() as complaints, tifffile.TiffFile(io.BytesIO(content)) as file:
        _refuse_dng(file)
        pages = list(_tiff_planes(file)) if all(_is_plain(page) for page in file.pages) else []
    if complaints or not pages:  # where something was lost, Pillow reads it whole or not at all
        pages = list(_pillow_frames(content))
    if not pages:
        raise ValueError("it holds no page")
    said = encoding or ("linear" if pages[0].dtype.kind == "f" else "srgb")
    count = f" of {len(pages)} pages" if len(pages) > 1 else ""
    return [to_luminance(page, said) for page in pages], f"TIFF{count}, {_describe(pages[0])}", said


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a decoder that only warns has lost some data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=_DECODERS) as stored:
                yield stored
        except UnidentifiedImageError:  # whose own words name no file
            raise ValueError(f"UnidentifiedImageError: none of {', '.join(_DECODERS)}") from None


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Gather what tifffile would only log: that a part of the file could not be read."""
    gathered: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: gathered.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tifffile")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield gathered
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _encoding_of_png(stored: Any) -> str:
    """Read what a PNG file says of its gamma, unless it holds a profile, which comes before that."""
    gamma = stored.info.get("gamma")
    if gamma is None or "srgb" in stored.info or "icc_profile" in stored.info:
        return "srgb"
    if abs(gamma - 1) < 0.01:
        return "linear"
    if abs(gamma - _SRGB_GAMMA) < 0.01:
        return "srgb"
    raise ValueError(f"its gamma of {gamma:.4g} is neither that of sRGB nor 1: say encoding='srgb' or 'linear'")


def _decode_png(content: bytes) -> np.ndarray:
    import imagecodecs

    return imagecodecs.png_decode(content)


def _pixels(picture: Any) -> np.ndarray:
    """Pixels of a Pillow image: grey or RGB, 8 or 16 bits or floats."""
    if picture.mode == "F":
        return np.asarray(picture)
    if picture.mode.startswith("I"):  # 16 bits of grey
        pixels = np.asarray(picture.convert("I"))
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("more than 16 bits per pixel")
        return pixels.astype(np.uint16)
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA", "La") else "RGB"))


def _describe(pixels: np.ndarray) -> str:
    colour = "RGB" if pixels.ndim == 3 and pixels.shape[2] > 2 else "grey"
    kind = "float" if pixels.dtype.kind == "f" else "1-bit" if pixels.dtype.kind == "b" else None
    return f"{kind or f'{8 * pixels.dtype.itemsize}-bit'} {colour}"


def _refuse_dng(file: Any) -> None:
    if any(_DNG_VERSION in page.tags for page in file.pages):
        raise ValueError("it is a DNG, the raw mosaic of a sensor: develop it to a linear 16-bit TIFF first")


def _is_plain(page: Any) -> bool:
    """Tell pages of grey or RGB values in whole bytes; palettes, inks and the rest are Pillow's."""
    from tifffile import PHOTOMETRIC

    photometric = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)
    return photometric and page.bitspersample in (8, 16, 32, 64) and page.dtype is not None


def _tiff_planes(file: Any) -> Iterator[np.ndarray]:
    """Planes of shape (height, width[, n_channels]) of every series of pages."""
    from PIL import Image
    from tifffile import PHOTOMETRIC

    for series in file.series:
        page = series.keyframe
        if page.is_reduced:
            continue
        if page.imagewidth * page.imagelength > (Image.MAX_IMAGE_PIXELS or np.inf):
            raise ValueError(f"it claims pages of {page.imagelength:,} × {page.imagewidth:,} pixels")
        in_page = "YXS" if "S" in series.axes else "YX"
        values = series.asarray()
        order = [series.axes.index(axis) for axis in in_page if axis in series.axes]
        if len(order) != len(in_page):
            raise ValueError(f"its axes {series.axes} are not those of pictures")
        others = [axis for axis in range(values.ndim) if axis not in order]
        planes = values.transpose(*others, *order).reshape(-1, *(values.shape[axis] for axis in order))
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            planes = np.iinfo(planes.dtype).max - planes
        tag = page.tags.get(_ORIENTATION)
        yield from (upright(plane, int(tag.value) if tag else 1) for plane in planes)


def _pillow_frames(content: bytes) -> Iterator[np.ndarray]:
    from PIL import ImageOps, ImageSequence

    with _opened(content) as stored:
        for frame in ImageSequence.Iterator(stored):
            yield _pixels(ImageOps.exif_transpose(frame))
