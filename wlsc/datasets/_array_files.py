"""Images that are stored as arrays of numbers: ``.npy``, MATLAB files of every version, HDF5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wlsc.datasets._errors import brief
from wlsc.datasets._hdf5_files import is_from_matlab, is_hdf5, open_hdf5, read_hdf5
from wlsc.datasets._mat5_files import list_mat5, read_mat5

#: Pixels this far apart are hardly correlated in whitened images, and strongly in all others.
_DISTANCE = 4
_LARGEST_CORRELATION = 0.25  # whitened photographs stay below 0.1, others exceed 0.7
_FEWEST_PAIRS = 1000


@dataclass(frozen=True)
class _Layout:
    """An array that the field passes around under a name of its own.

    ``axis`` counts the images of a three-dimensional array; ``encoding`` is given where the content cannot tell it.
    """

    title: str
    axis: int | None = None
    encoding: str | None = None


_LAYOUTS = {
    "IMAGES": _Layout("Olshausen's IMAGES.mat", axis=2),
    "IMAGESr": _Layout("Olshausen's IMAGES_RAW.mat", axis=2),
    "LUM_Image": _Layout("UPenn Natural Image Database, luminance"),
    "OL": _Layout("Kyoto Natural Images, L cones", encoding="cone responses"),
    "OM": _Layout("Kyoto Natural Images, M cones", encoding="cone responses"),
    "OS": _Layout("Kyoto Natural Images, S cones", encoding="cone responses"),
}
_FIRST_CHOICE = "OL"  # of a file with several arrays: what the authors of the Kyoto set recommend
_COLUMNS_OF_512 = (512 * 512, 10)  # IMAGES as its first version had it: a column an image


def read_arrays(path: Path, variable: str | None, axis: int | None) -> tuple[list[np.ndarray], str, str]:
    """Read images from a file of arrays.

    Parameters
    ----------
    path
        The file.
    variable
        Name of the array; may be left out where there is one candidate.
    axis
        Axis that counts the images of a three-dimensional array, for arrays whose layout has no name.

    Returns
    -------
    images : list of ndarray, float32, each (height, width)
    format : str
        What the file is.
    encoding : str
        "linear", "whitened" or "cone responses".

    Raises
    ------
    ValueError
        If the file is broken, the array is not there or is no image, or it is not said which axis counts images.
    """
    name, kind, stack = find_array(path, variable)
    layout = _LAYOUTS.get(name, _Layout(kind))
    if stack.dtype.kind not in "fiub" or stack.ndim not in (2, 3) or stack.size == 0:
        raise ValueError(
            f"{path} must hold real numbers of shape (height, width) or a stack of such images, "
            f"got {stack.dtype} of shape {stack.shape}"
        )
    if name == "IMAGES" and stack.shape == _COLUMNS_OF_512:
        stack = stack.reshape(512, 512, -1, order="F")
    scale = np.iinfo(stack.dtype).max if stack.dtype.kind == "u" else 1
    with np.errstate(all="ignore"):  # what float32 cannot hold becomes infinite and is refused
        images = [
            np.ascontiguousarray((image / scale).astype(np.float32))
            for image in _split(stack, layout.axis if axis is None else axis, path)
        ]
    if not all(np.isfinite(image).all() for image in images):
        raise ValueError(f"{path} must hold finite numbers, got NaN or infinite values")
    title = layout.title if layout.title == kind else f"{layout.title} ({kind})"
    return images, title, layout.encoding or ("whitened" if is_white(images) else "linear")


def find_array(path: Path, variable: str | None) -> tuple[str, str, np.ndarray]:
    """Return the name of the array that is meant, the kind of file, and the values."""
    with path.open("rb") as stream:
        start = stream.read(520)
    if start.startswith(b"\x93NUMPY"):
        return "", ".npy", np.asarray(map_npy(path))
    if is_hdf5(start):
        with open_hdf5(path) as datasets:
            name = _choose(path, {key: _written_shape(item) for key, item in datasets.items()}, variable)
            kind = "MATLAB 7.3" if is_from_matlab(datasets[name]) else "HDF5"
            return name, kind, read_hdf5(datasets[name])
    content = path.read_bytes()
    try:
        shapes = list_mat5(content)
        name = _choose(path, shapes, variable)
        return name, "MATLAB 5", read_mat5(content, name)
    except ValueError as error:
        said = str(error)
        if str(path) in said:
            raise
        raise ValueError(f"{path} is not a .mat file that can be read ({said})") from None


def _written_shape(dataset: object) -> tuple[int, ...]:
    shape = dataset.shape  # type: ignore[attr-defined]
    return shape[::-1] if is_from_matlab(dataset) else shape


def _choose(path: Path, shapes: dict[str, tuple[int, ...]], variable: str | None) -> str:
    if variable is None and len(shapes) == 1:
        return next(iter(shapes))
    if variable is None and _FIRST_CHOICE in shapes:
        return _FIRST_CHOICE
    if variable not in shapes:
        wanted = f"the array {variable!r}" if variable else "one numeric array unless variable names one"
        contents = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise ValueError(f"{path} must hold {wanted}, got the numeric arrays: {contents}")
    return variable


def map_npy(path: Path) -> np.memmap:
    """Map a ``.npy`` file of numbers to memory; whatever is wrong with it is a `ValueError` that names it."""
    try:
        return np.lib.format.open_memmap(path, mode="r")  # refuses objects, and what the file cannot hold
    except Exception as error:
        raise ValueError(f"{path} is not a .npy file of numbers ({brief(error)})") from None


def _split(stack: np.ndarray, axis: int | None, path: Path) -> list[np.ndarray]:
    if stack.ndim == 2:
        return [stack]
    if axis is None:
        raise ValueError(
            f"image_axis must say which axis of {path} counts images, 0, 1 or 2, because its shape {stack.shape} does "
            f"not tell, got None"
        )
    return list(np.moveaxis(stack, axis, 0))


def is_white(images: list[np.ndarray]) -> bool:
    """Tell whitened images: of both signs, and pixels a few apart hardly correlated.

    Light is never negative, and the pixels of a photograph resemble those beside them. Too few pixels tell nothing.
    """
    mean = np.mean(np.concatenate([image.ravel() for image in images]), dtype=np.float64)
    if min(image.min() for image in images) >= 0:
        return False
    n_pairs, together, power = 0, 0.0, 0.0
    for image in images:
        centred = image - mean
        left, right = centred[:, :-_DISTANCE], centred[:, _DISTANCE:]
        n_pairs += left.size
        together += float(np.sum(left * right))
        power += float(np.sum(left**2) + np.sum(right**2)) / 2
    return n_pairs >= _FEWEST_PAIRS and abs(together) < _LARGEST_CORRELATION * power
