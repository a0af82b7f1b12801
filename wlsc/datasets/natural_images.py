"""Natural images: linear luminance, the whitening filter of Olshausen and Field, patches, two diagnostics.

A photograph's pixels are stored with a non-linear code (sRGB). Images are decoded to linear light first and
reduced to luminance, so that every pixel is proportional to the light that came from there: the quantity
that the statistics of natural scenes are about.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wlsc._validation import Array, check_choice, check_count, check_flag, check_positive, like, to_torch
from wlsc.datasets._image_files import ImageFile, ImageOptions, read_image_file
from wlsc.datasets._van_hateren import read_factors
from wlsc.datasets.registry import (
    IMAGE_SUFFIXES,
    describe,
    fetch,
    load_registry,
    local_files,
    skipped_files,
    split_source,
)

#: Largest filtered value, of images up to 1, below which nothing has passed: its square is still a normal number.
_LEAST_PASSED = 1e-150

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Images, and what each file was taken for.

    Printed, it says a line for every file, and names those that were skipped.

    Attributes
    ----------
    files
        What every file held.
    skipped
        Names of the files of a folder that were not read: hidden ones, resource forks, other kinds.
    """

    files: list[ImageFile]
    skipped: list[str]

    @property
    def images(self) -> list[np.ndarray]:
        """All images, float32, each (height, width)."""
        return [image for file in self.files for image in file.images]

    @property
    def whitened(self) -> bool:
        """Whether the images come whitened already.

        Raises
        ------
        ValueError
            If some do and others do not.
        """
        found = {file.encoding == "whitened" for file in self.files}
        if len(found) > 1:
            raise ValueError(f"source must hold images that are all whitened or all not, got both:\n{self}")
        return found == {True}

    def __str__(self) -> str:
        skipped = [f"skipped: {', '.join(self.skipped)}"] if self.skipped else []
        return "\n".join([*map(str, self.files), *skipped])


def read_images(
    source: str | Path = "embedded",
    variable: str | None = None,
    *,
    image_axis: int | None = None,
    encoding: str | None = None,
    calibration: str | Path | None = None,
) -> ImageSet:
    """Read images, and say what each file was taken for.

    The kind of a file is told from its content. Read are pictures (PNG, JPEG, BMP, PGM and PPM with 8 or 16 bits, TIFF
    with all its pages), arrays (``.npy``, MATLAB files of version 5 to 7.3, HDF5) and the raw pixels of van Hateren's
    set (``.iml``, ``.imc``).

    Parameters
    ----------
    source
        A registered set (``"embedded"``, ``"photographs"``, ``"bsd68"``), several of them joined by ``+``
        (``"photographs+bsd68"``), a folder (its files are read in the order of their names) or one file.
    variable
        The array's name in MATLAB and HDF5 files; may be left out where a file holds only one numeric array, and for
        the Kyoto set, of which the responses of the L cones are taken.
    image_axis
        Which axis of a three-dimensional array counts the images: 0, 1 or 2. It must be said unless the array is
        ``IMAGES`` or ``IMAGESr``, whose last axis it is.
    encoding
        What pixels are, where the reader knows better: ``"srgb"`` or ``"linear"`` for pictures, ``"linear"`` or
        ``"whitened"`` for arrays. None decides by the content, as below.
    calibration
        van Hateren's list of camera settings, whose last column is the factor from pixel value to cd/m².

    Returns
    -------
    ImageSet
        Images as linear luminance. Pictures: in [0, 1]; integers are taken as sRGB (colour profiles are not read)
        unless a PNG says that its gamma is 1, decoded to linear light by IEC 61966-2-1 and reduced to luminance,
        0.2126 R + 0.7152 G + 0.0722 B; floating-point TIFF is linear already; transparency is dropped and the camera's
        orientation tag obeyed. Arrays and raw pixels are linear already: unsigned integers are divided by the largest
        value of their type, unless ``calibration`` is given, and floats are passed on. Arrays of both signs whose
        pixels are hardly correlated over a distance of 4 are whitened, as Olshausen's ``IMAGES.mat`` is.

    Raises
    ------
    ValueError
        If the source is unknown, a file is broken or of another kind, the array is missing or no stack of images, or
        it is not said which axis counts images.
    DataError
        If a registered file cannot be had.
    """
    if variable is not None and not isinstance(variable, str):
        raise ValueError(f"variable must be the name of an array, got {variable!r}")
    options = _image_options(variable, image_axis, encoding, calibration)
    if len(parts := split_source(source)) > 1:
        return ImageSet([file for part in parts for file in read_images(part, encoding=encoding).files], [])
    if isinstance(source, str) and source in load_registry():
        kind = describe(source).kind
        if kind != "images":
            raise ValueError(f"source must be a set of images, got {source!r}, which holds {kind}")
        paths = [path for path in fetch(source).values() if path.suffix.lower() in IMAGE_SUFFIXES]
        skipped = []
    else:
        paths, skipped = list(local_files(source).values()), skipped_files(source)
    if variable is not None and all(path.suffix.lower() in IMAGE_SUFFIXES for path in paths):
        raise ValueError(f"variable must be None where source holds no arrays, got {variable!r} for {source}")
    found = ImageSet([read_image_file(path, options) for path in paths], skipped)
    _logger.info("%s", found)
    return found


def _image_options(
    variable: str | None, image_axis: int | None, encoding: str | None, calibration: str | Path | None
) -> ImageOptions:
    if image_axis is not None and (isinstance(image_axis, bool) or image_axis not in (0, 1, 2)):
        raise ValueError(f"image_axis must be 0, 1 or 2, got {image_axis!r}")
    if encoding is not None:
        check_choice("encoding", encoding, ("srgb", "linear", "whitened"))
    factors = None if calibration is None else read_factors(calibration)
    return ImageOptions(variable, image_axis, encoding, factors)


def load_images(
    source: str | Path = "embedded",
    variable: str | None = None,
    *,
    image_axis: int | None = None,
    encoding: str | None = None,
    calibration: str | Path | None = None,
) -> list[np.ndarray]:
    """Load images as linear luminance: the images of `read_images`, which says more of them.

    Parameters
    ----------
    source, variable, image_axis, encoding, calibration
        As in `read_images`; what each file was taken for is logged as information.

    Returns
    -------
    list of ndarray, float32, each (height, width)

    Raises
    ------
    ValueError, DataError
        As in `read_images`.
    """
    return read_images(source, variable, image_axis=image_axis, encoding=encoding, calibration=calibration).images


def whiten(images: Sequence[np.ndarray], cutoff: float = 0.4) -> list[np.ndarray]:
    """Whiten images with the filter f·exp(−(f/f0)⁴) of Olshausen and Field.

    Natural images have amplitude spectra that fall as 1/f. The ramp f makes them flat; the low-pass part
    removes the corner frequencies, where noise and aliasing dominate [1]_. The mean (f = 0) is removed with
    them.

    Parameters
    ----------
    images
        Images of shape (height, width), of any sizes, float32 or float64, linear.
    cutoff
        f0 in cycles per pixel; [1]_ used 200 cycles per picture of 512 pixels, 0.39.

    Returns
    -------
    list of ndarray
        Images of the same shapes and dtypes, divided by *one* number so that their pixels together have
        variance 1: an image of low contrast stays one.

    Raises
    ------
    ValueError
        If ``cutoff`` is not positive or lets nothing pass, or ``images`` holds no image, one of another rank, or no
        contrast at all.

    Notes
    -----
    The filter works on the image continued by its mirror image at every border (half-sample symmetric, so
    the transform is a cosine transform). Nothing wraps around from the opposite border and no border has to
    be cut off; within a few pixels of it the statistics are those of the mirrored scene.

    References
    ----------
    .. [1] B. A. Olshausen and D. J. Field, Sparse coding with an overcomplete basis set: a strategy employed by
       V1?, Vision Research 37:3311 (1997).
    """
    check_positive("cutoff", cutoff)
    _check_images(images)
    if all(image.min() == image.max() for image in images):
        raise ValueError("images must not all be constant: there is nothing to whiten")
    # by a power of two, which rounds nothing, so that no square is too large or too small for float64
    exponent = int(np.frexp(max(float(np.abs(image).max()) for image in images))[1])
    filtered = [_apply_filter(np.ldexp(image.astype(np.float64), -exponent), cutoff) for image in images]
    if max(float(np.abs(image).max()) for image in filtered) < _LEAST_PASSED:
        raise ValueError(
            f"cutoff must let some of the images' contrast pass, got {cutoff!r} cycles per pixel, "
            f"where the images' lowest frequency is {_lowest_frequency(images):.2g}"
        )
    power = sum(np.sum(image**2) for image in filtered) / sum(image.size for image in filtered)
    return [(image / math.sqrt(power)).astype(original.dtype) for image, original in zip(filtered, images, strict=True)]


def extract_patches(
    images: Sequence[np.ndarray],
    patch_size: int,
    n_patches: int,
    seed: int = 0,
    *,
    remove_mean: bool = False,
    min_variance: float = 0.0,
    normalise: str | None = None,
) -> np.ndarray:
    """Cut square patches at random positions, every position of every image being equally likely.

    Parameters
    ----------
    images
        Images of shape (height, width), of any sizes.
    patch_size
        Side of a patch in pixels.
    n_patches
        How many; drawn with replacement.
    seed
        The same seed gives the same patches.
    remove_mean
        Subtract each patch's own mean. Beware: a Gabor-like filter without mean and with few subfields must
        be odd (its mean is proportional to cos φ·exp(−2π²nx²)), so this step alone pushes the learned
        phases towards 90°.
    min_variance
        Share, in [0, 1), of the patches drawn that is left out for having the lowest pixel variance: sky
        and wall, which carry no structure. ``n_patches`` patches are given back all the same.
    normalise
        ``"unit"`` scales every patch to length 1 (a patch of zeros stays one); None leaves the scale.

    Returns
    -------
    ndarray, float32, (n_patches, patch_size²)
        Patches as rows, pixels row by row.

    Raises
    ------
    ValueError
        If an argument is out of range or a patch does not fit into every image.
    """
    _check_patch_arguments(patch_size, n_patches, seed, remove_mean, min_variance, normalise)
    _check_images(images)
    for index, image in enumerate(images):
        if min(image.shape) < patch_size:
            raise ValueError(
                f"patch_size must be at most the sides of every image, "
                f"got {patch_size} for image {index} of shape {image.shape}"
            )
    n_drawn = math.ceil(n_patches / (1 - min_variance))
    patches = _draw_patches(images, patch_size, n_drawn, np.random.default_rng(seed))
    if n_drawn > n_patches:
        by_variance = np.argsort(patches.var(axis=1), kind="stable")
        patches = patches[np.sort(by_variance[n_drawn - n_patches :])]  # sorted: in the order of drawing
    if remove_mean:
        patches -= patches.mean(axis=1, keepdims=True)
    if normalise == "unit":
        lengths = np.linalg.norm(patches, axis=1, keepdims=True)
        patches /= np.where(lengths > 0, lengths, 1)
    return patches


def load_patches(
    source: str | Path,
    patch_size: int,
    n_patches: int,
    seed: int = 0,
    *,
    whiten: bool | None = None,
    cutoff: float = 0.4,
    remove_mean: bool = False,
    min_variance: float = 0.0,
    normalise: str | None = None,
    variable: str | None = None,
    image_axis: int | None = None,
    encoding: str | None = None,
    calibration: str | Path | None = None,
    resample_images: bool = False,
    gaussian: bool = False,
) -> np.ndarray:
    """Load images, whiten them, cut patches: ``load_images``, ``whiten`` and ``extract_patches`` in a row.

    Parameters
    ----------
    source, variable, image_axis, encoding, calibration
        As in ``read_images``.
    whiten, cutoff
        Whether to whiten, and f0 in cycles per pixel, which means nothing without whitening. None whitens all images
        but those that come whitened already, as Olshausen's ``IMAGES.mat``.
    patch_size, n_patches, seed, remove_mean, min_variance, normalise
        As in ``extract_patches``.
    resample_images
        Cut the patches from as many images drawn with replacement, by ``seed``: a bootstrap sample of the scenes,
        for statements about more than these images.
    gaussian
        Give ``gaussian_match`` of the patches in their place.

    Returns
    -------
    ndarray, float32, (n_patches, patch_size²)
        Patches as rows.

    Raises
    ------
    ValueError, DataError
        As the three functions.
    """
    _check_patch_arguments(patch_size, n_patches, seed, remove_mean, min_variance, normalise)
    check_positive("cutoff", cutoff)
    for name, flag in (("resample_images", resample_images), ("gaussian", gaussian)):
        check_flag(name, flag)
    if whiten is not None:
        check_flag("whiten", whiten)
    found = read_images(source, variable, image_axis=image_axis, encoding=encoding, calibration=calibration)
    images = found.images
    if whiten or (whiten is None and not found.whitened):
        images = _whiten(images, cutoff)
    if resample_images:
        drawn = np.random.default_rng((seed, 1)).integers(len(images), size=len(images))  # (seed,) draws the patches
        images = [images[index] for index in drawn]
    patches = extract_patches(
        images,
        patch_size,
        n_patches,
        seed,
        remove_mean=remove_mean,
        min_variance=min_variance,
        normalise=normalise,
    )
    return np.asarray(gaussian_match(patches, seed)) if gaussian else patches


_whiten = whiten  # inside load_patches, the name stands for its argument


def whitening_matrix(patch_size: int, cutoff: float = 0.4) -> np.ndarray:
    """Return the whitening filter on single patches, continued by their mirror image, as a matrix.

    A unit with receptive field f in whitened pixels has the field ``f @ whitening_matrix(...)`` in pixels of the image.

    Parameters
    ----------
    patch_size
        Side of a patch in pixels.
    cutoff
        As in ``whiten``.

    Returns
    -------
    ndarray, float64, (patch_size², patch_size²)
        Rows are whitened pixels, columns pixels of the image; up to one positive factor.
    """
    n_pixels = check_count("patch_size", patch_size) ** 2
    impulses = np.eye(n_pixels).reshape(n_pixels, patch_size, patch_size)
    return np.stack([image.ravel() for image in _whiten(list(impulses), cutoff)], axis=1)


def effective_dimension(patches: Array) -> float:
    """Return the participation ratio (Σ λ)² / Σ λ² of the spectrum λ of the patches' covariance.

    It counts the directions that carry the variance: between 1, if all patches lie on a line, and
    n_features, if they are white. A whitening filter that also removes high frequencies leaves fewer than
    n_features.

    Parameters
    ----------
    patches
        Array or tensor of shape (n_samples, n_features), at least two different samples.

    Raises
    ------
    ValueError
        If the patches do not vary.
    """
    _, covariance = _moments(patches)
    trace = float(covariance.trace())
    if trace <= 0:
        raise ValueError("patches must vary, got samples that are all equal")
    return trace**2 / float((covariance**2).sum())  # Σ λ² is the squared Frobenius norm


def gaussian_match(patches: Array, seed: int = 0) -> Array:
    """Draw Gaussian vectors with the patches' mean and covariance: the null without higher-order structure.

    Whatever a model finds in natural patches but not in these is due to more than their second-order
    statistics.

    Parameters
    ----------
    patches
        Array or tensor of shape (n_samples, n_features), at least two samples.
    seed
        The same seed gives the same draw.

    Returns
    -------
    Array
        Independent draws, of the shape, kind, dtype and device of ``patches``. Their sample moments differ
        from those of the patches by the sampling error of n_samples draws.

    Raises
    ------
    ValueError
        If there are fewer than two samples.
    """
    mean, covariance = _moments(patches)
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    eigenvalues, axes = torch.linalg.eigh(covariance)
    root = axes * eigenvalues.clamp_min(0).sqrt()  # rounding can leave eigenvalues of −1e-17
    template = to_torch("patches", patches)
    white = torch.from_numpy(rng.standard_normal(tuple(template.shape))).to(template.device)
    return like((mean + white @ root.T).to(template.dtype), patches)


def _moments(patches: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and covariance in float64."""
    values = to_torch("patches", patches, ndim=2).detach().double()
    if values.shape[0] < 2:
        raise ValueError(f"patches must hold at least two samples, got shape {tuple(values.shape)}")
    mean = values.mean(dim=0)
    centred = values - mean
    return mean, centred.T @ centred / (values.shape[0] - 1)


def _check_patch_arguments(
    patch_size: int, n_patches: int, seed: int, remove_mean: bool, min_variance: float, normalise: str | None
) -> None:
    check_count("patch_size", patch_size)
    check_count("n_patches", n_patches)
    check_count("seed", seed, minimum=0)
    check_flag("remove_mean", remove_mean)
    if isinstance(min_variance, bool) or not isinstance(min_variance, (int, float)) or not 0 <= min_variance < 1:
        raise ValueError(f"min_variance must be a share of at least 0 and below 1, got {min_variance!r}")
    if normalise not in (None, "unit"):
        raise ValueError(f"normalise must be None or 'unit', got {normalise!r}")


def _check_images(images: Sequence[np.ndarray]) -> None:
    if len(images) == 0:
        raise ValueError("images must hold at least one image, got none")
    for index, image in enumerate(images):
        if not isinstance(image, np.ndarray) or image.dtype not in (np.float32, np.float64):
            kind = f"dtype {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"images must be NumPy arrays of dtype float32 or float64, got {kind} at {index}")
        if image.ndim != 2 or image.size == 0:
            raise ValueError(f"images must each have shape (height, width), got {image.shape} at {index}")
        if not np.isfinite(image).all():
            raise ValueError(f"images must be finite, got NaN or infinite values at {index}")


def _lowest_frequency(images: Sequence[np.ndarray]) -> float:
    """Half a cycle along the longest side, in cycles per pixel."""
    return 1 / (2 * max(max(image.shape) for image in images))


def _apply_filter(image: np.ndarray, cutoff: float) -> np.ndarray:
    """Filter one image in float64; index k of a cosine transform of length n is k/(2n) cycles per pixel."""
    from scipy.fft import dctn, idctn

    vertical, horizontal = (np.arange(length) / (2 * length) for length in image.shape)
    frequency = np.hypot(vertical[:, None], horizontal[None, :])
    with np.errstate(over="ignore"):  # far above the cutoff, where nothing passes
        low_pass = np.exp(-((frequency / cutoff) ** 4))
    return idctn(dctn(image) * frequency * low_pass)


def _draw_patches(
    images: Sequence[np.ndarray], patch_size: int, n_patches: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw among the positions of all images, numbered consecutively, and cut image by image, also where none falls."""
    widths = [image.shape[1] - patch_size + 1 for image in images]
    counts = [width * (image.shape[0] - patch_size + 1) for width, image in zip(widths, images, strict=True)]
    ends = np.cumsum(counts)
    numbers = rng.integers(ends[-1], size=n_patches)
    owners = np.searchsorted(ends, numbers, side="right")
    patches = np.empty((n_patches, patch_size**2), dtype=np.float32)
    for index, image in enumerate(images):
        mine = np.flatnonzero(owners == index)
        rows, columns = np.divmod(numbers[mine] - (ends[index] - counts[index]), widths[index])
        windows = np.lib.stride_tricks.sliding_window_view(image, (patch_size, patch_size))
        patches[mine] = windows[rows, columns].reshape(len(mine), patch_size**2)
    return patches
