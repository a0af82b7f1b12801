"""One reader for whatever image file a reader brings, which survives whatever the file holds.

The kind is told from the content; the name decides only where there is no other sign (van Hateren's raw pixels). A
broken file, or one that is something else, is a ``ValueError`` of one sentence that names it. Nothing is unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wlsc.datasets._array_files import read_arrays
from wlsc.datasets._errors import brief
from wlsc.datasets._hdf5_files import is_hdf5
from wlsc.datasets._pictures import is_tiff, read_picture, read_tiff
from wlsc.datasets._van_hateren import N_BYTES, read_van_hateren
from wlsc.datasets.registry import RAW_SUFFIXES

_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8", b"BM", *(b"P%d" % kind for kind in range(1, 7)))


@dataclass(frozen=True)
class ImageFile:
    """What one file held, and what it was taken for.

    Attributes
    ----------
    name
        The file's name.
    format
        What it is, such as "PNG, 16-bit RGB".
    encoding
        "srgb": decoded to linear light; "linear": taken as it is; "whitened": taken as it is, and not light any more;
        "cone responses": taken as it is, a saturating function of light.
    images
        float32, each (height, width).
    """

    name: str
    format: str
    encoding: str
    images: list[np.ndarray]

    def __str__(self) -> str:
        count = "1 image" if len(self.images) == 1 else f"{len(self.images)} images"
        return f"{self.name}: {count}, {self.format}, taken as {self.encoding}"


@dataclass(frozen=True)
class ImageOptions:
    """What the reader says of the files; see `wlsc.load_images`."""

    variable: str | None = None
    image_axis: int | None = None
    encoding: str | None = None
    factors: dict[int, float] | None = None


def read_image_file(path: Path, options: ImageOptions) -> ImageFile:
    """Read one file of images.

    Raises
    ------
    ValueError
        If the file is of no kind that can be read, or broken.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(520)
    except OSError as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from None
    if path.suffix.lower() in RAW_SUFFIXES and path.stat().st_size == N_BYTES:  # pixels can begin like anything
        images, kind, encoding = read_van_hateren(path, options.factors)
    elif start.startswith(_PICTURE_STARTS) or is_tiff(start):
        images, kind, encoding = _read_picture_file(path, is_tiff(start), options.encoding)
    elif start.startswith(b"\x93NUMPY") or is_hdf5(start) or path.suffix.lower() in (".mat", ".npy"):
        images, kind, encoding = read_arrays(path, options.variable, options.image_axis)
    elif path.suffix.lower() in RAW_SUFFIXES:
        images, kind, encoding = read_van_hateren(path, options.factors)
    elif start[126:128] in (b"IM", b"MI"):
        images, kind, encoding = read_arrays(path, options.variable, options.image_axis)
    else:
        raise ValueError(f"{path} is not an image that can be read (UnidentifiedImageError: of no known kind)")
    return ImageFile(path.name, kind, options.encoding or encoding, images)


def _read_picture_file(path: Path, tiff: bool, encoding: str | None) -> tuple[list[np.ndarray], str, str]:
    content = path.read_bytes()  # from a file, Pillow makes room for whatever length a part claims
    said = "linear" if encoding == "whitened" else encoding
    try:
        images, kind, said = (read_tiff if tiff else read_picture)(content, said)
    except Exception as error:
        raise ValueError(f"{path} is not an image that can be read ({brief(error)})") from None
    if not all(np.isfinite(image).all() for image in images):
        raise ValueError(f"{path} must hold finite numbers, got NaN or infinite values")
    return images, kind, said
