"""The images of van Hateren and van der Schaaf: ``.iml`` and ``.imc``, and their list of calibration factors.

No header; 1,024 rows of 1,536 pixels from the upper left corner, big-endian 16-bit integers, linear in intensity
(``.iml`` strictly, ``.imc`` approximately).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

SHAPE = (1024, 1536)
N_BYTES = 2 * SHAPE[0] * SHAPE[1]
_N_COLUMNS = 5  # image number, ISO setting, aperture, 1/shutter time, factor in cd/m² a pixel value


def read_van_hateren(path: Path, factors: dict[int, float] | None) -> tuple[list[np.ndarray], str, str]:
    """Read one image.

    Parameters
    ----------
    path
        A file whose name holds the image's number.
    factors
        cd/m² per pixel value, by image number.

    Returns
    -------
    images : list of ndarray, float32, (1024, 1536)
        One image: in cd/m² with ``factors``, else pixel values divided by 65,535.
    format, encoding : str

    Raises
    ------
    ValueError
        If the file has another length, its bytes are swapped, or there is no factor for it.
    """
    content = path.read_bytes()
    if len(content) != N_BYTES:
        raise ValueError(f"{path} must hold 1,024 × 1,536 pixels of 2 bytes, {N_BYTES:,} bytes, got {len(content):,}")
    pixels = np.frombuffer(content, dtype=">u2").reshape(SHAPE)
    if _roughness(pixels) > _roughness(pixels.byteswap()):
        raise ValueError(f"{path} must be big-endian, got pixels that are smoother with their bytes swapped")
    title = f"van Hateren {path.suffix.lower()}"
    if factors is None:
        return [(pixels / 65535).astype(np.float32)], f"{title}, uncalibrated", "linear"
    number = re.search(r"(\d+)", path.stem)
    if number is None or int(number[1]) not in factors:
        raise ValueError(f"calibration must have a row for the image {path.name}, got none among {len(factors)}")
    return [(pixels * factors[int(number[1])]).astype(np.float32)], f"{title} in cd/m²", "linear"


def _roughness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels.astype(np.int32), axis=1)).mean())


def read_factors(path: str | Path) -> dict[int, float]:
    """Read the list of camera settings that comes with the images: the factor in cd/m² by image number.

    Its columns are image number, ISO setting, aperture, reciprocal shutter time and factor, between spaces or commas;
    lines that do not begin with a number are comments.

    Raises
    ------
    ValueError
        If the file cannot be read, or a row has other columns.
    """
    factors: dict[int, float] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"calibration must be a text file that can be read, got {path} ({error})") from None
    for index, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or not words[0].isdecimal():
            continue
        try:
            number, factor = int(words[0]), float(words[_N_COLUMNS - 1])
        except (ValueError, IndexError):
            number, factor = 0, 0.0
        if len(words) != _N_COLUMNS or not 0 < factor < np.inf:
            raise ValueError(
                f"calibration must have {_N_COLUMNS} columns of numbers, got line {index} of {path}: {line!r}"
            )
        factors[number] = factor
    if not factors:
        raise ValueError(f"calibration must list at least one image, got none in {path}")
    return factors
