"""Any matrix of samples: ``.npy``, ``.npz``, HDF5, MATLAB files and tables of text, larger than memory if need be."""

from __future__ import annotations

import csv
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wlsc.datasets._array_files import find_array, map_npy
from wlsc.datasets._errors import brief
from wlsc.datasets._hdf5_files import is_from_matlab, is_hdf5, open_hdf5

#: Matrices up to this size are held in memory, larger ones are mapped from a file.
IN_MEMORY = 2**28

_BLOCK_BYTES = 2**24
_ROWS_OF_TEXT = 4096
_DELIMITERS = (",", ";", "\t")

Labels = np.ndarray | None


def load_matrix(
    source: str | Path,
    variable: str | None = None,
    labels: str | int | None = None,
    allow_missing: bool = False,
) -> tuple[np.ndarray, Labels]:
    """Load samples from a matrix on disk, whatever its size.

    The kind of the file is told from its content: ``.npy``, ``.npz``, HDF5, MATLAB, or a table of text, with or without
    a header, whose columns are separated by commas, semicolons or tabs.

    Parameters
    ----------
    source
        The file.
    variable
        Name of the matrix in an archive or HDF5 or MATLAB file (``group/name``); may be left out where one array has
        two dimensions.
    labels
        The labels, which are not features: the number of a column (negative ones count from the end), the name of a
        column of a table with a header, or the name of another array in the file.
    allow_missing
        Let NaN, and empty cells of a table, stand for missing values; otherwise they are refused.

    Returns
    -------
    samples : ndarray, float32 or float64, (n_samples, n_features)
        Tables and float64 stay float64, everything else becomes float32. Above 256 MiB this is a memory map, of the
        file itself or of a temporary one in ``TMPDIR``, and training reads it in contiguous batches: shuffle its rows
        before, if they are in an order.
    labels : ndarray, (n_samples,) or None
        int64 if they are all integers, else text; None without ``labels``.

    Raises
    ------
    ValueError
        If the file is missing, broken or of another kind, the array or column is not there, or a value is not finite.

    Examples
    --------
    >>> samples, labels = load_matrix("measurements.csv", labels="species")  # doctest: +SKIP
    >>> WLSC(n_atoms=20, lam=0.5).fit(samples)  # doctest: +SKIP
    """
    path = Path(source).expanduser()
    try:
        with path.open("rb") as stream:
            start = stream.read(520)
    except OSError as error:
        raise ValueError(f"source must be a file that can be read, got {path} ({error})") from None
    try:
        if start.startswith(b"\x93NUMPY"):
            found = _read_npy(path, labels)
        elif start.startswith(b"PK"):
            found = _read_npz(path, variable, labels)
        elif is_hdf5(start):
            found = _read_hdf5(path, variable, labels)
        elif start[126:128] in (b"IM", b"MI"):
            found = _split_columns([find_array(path, variable)[2]], labels)
        else:
            found = _read_table(path, labels, allow_missing)
    except (OSError, EOFError, MemoryError) as error:
        raise ValueError(f"{path} is not a matrix that can be read ({brief(error)})") from None
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a matrix that can be read ({brief(error)})") from None
    samples, given = found
    _check_values(path, samples, allow_missing)
    if given is not None and len(given) != len(samples):
        raise ValueError(f"{path} must hold as many labels as samples, got {len(given):,} and {len(samples):,}")
    return samples, given


def _read_npy(path: Path, labels: str | int | None) -> tuple[np.ndarray, Labels]:
    if isinstance(labels, str):
        raise ValueError(f"labels must be the number of a column of a .npy file, got {labels!r}")
    mapped = map_npy(path)
    stays = labels is None and mapped.dtype in (np.float32, np.float64) and mapped.dtype.isnative
    if stays and mapped.ndim == 2 and mapped.nbytes > IN_MEMORY:
        return mapped, None
    return _split_columns(_blocks(mapped), labels)


def _read_npz(path: Path, variable: str | None, labels: str | int | None) -> tuple[np.ndarray, Labels]:
    """Read the matrix piece by piece as it is unpacked: it is never whole in memory."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            shapes = {name: _npz_header(archive, name)[0] for name in archive.files}
            name = _choose(shapes, variable)
            given = _as_labels(archive[_known(shapes, labels)]) if isinstance(labels, str) else None
            column = labels if isinstance(labels, int) else None
            samples, from_column = _split_columns(_npz_blocks(archive, name), column)
            return samples, from_column if given is None else given
    except Exception as error:  # of the archive, of its compression, or of the array
        raise ValueError(brief(error)) from None


def _npz_header(archive: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    with archive.zip.open(f"{name}.npy") as stream:
        return _read_header(stream)


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"an array in version {version} of the .npy format")
    return read[version](stream)


def _npz_blocks(archive: Any, name: str) -> Iterator[np.ndarray]:
    with archive.zip.open(f"{name}.npy") as stream:
        shape, fortran, dtype = _read_header(stream)
        if dtype.kind not in "fiub" or len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"{name} must be a matrix of numbers, got {dtype} of shape {shape}")
        if fortran:  # its columns come first
            yield from _blocks(archive[name])
            return
        n_rows = _rows_of_block(shape[1] * dtype.itemsize)
        for first in range(0, shape[0], n_rows):
            n_bytes = min(n_rows, shape[0] - first) * shape[1] * dtype.itemsize
            content = stream.read(n_bytes)
            if len(content) != n_bytes:
                raise ValueError(f"{name} is cut off")
            yield np.frombuffer(content, dtype).reshape(-1, shape[1])


def _read_hdf5(path: Path, variable: str | None, labels: str | int | None) -> tuple[np.ndarray, Labels]:
    with open_hdf5(path) as datasets:
        name = _choose({key: item.shape for key, item in datasets.items()}, variable)
        given = None
        if isinstance(labels, str):
            given = _as_labels(datasets[_known(datasets, labels)][()])
        column = labels if isinstance(labels, int) else None
        samples, from_column = _split_columns(_hdf5_blocks(name, datasets[name]), column)
        return samples, from_column if given is None else given


def _hdf5_blocks(name: str, dataset: Any) -> Iterator[np.ndarray]:
    if len(dataset.shape) != 2:
        raise ValueError(f"{name} must be a matrix, got the shape {dataset.shape}")
    turned = is_from_matlab(dataset)
    n_samples, n_features = dataset.shape[::-1] if turned else dataset.shape
    step = _rows_of_block(n_features * dataset.dtype.itemsize)
    for first in range(0, n_samples, step):
        yield dataset[:, first : first + step].T if turned else dataset[first : first + step]


def _read_table(path: Path, labels: str | int | None, allow_missing: bool) -> tuple[np.ndarray, Labels]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            stream.seek(0)
            rows: Iterator[tuple[list[str], int]] = (
                (row, number) for number, row in enumerate(csv.reader(stream, delimiter=delimiter), 1) if row
            )
            header, _ = next(rows, ([], 0))
            if not header:
                raise ValueError("it holds no row")
            column = _label_column(header, labels)
            numeric = [cell for index, cell in enumerate(header) if index != column]
            if all(_is_number(cell) for cell in numeric):
                if isinstance(labels, str):
                    raise ValueError(
                        f"labels must be the name of a column, got {labels!r} for a table without a header"
                    )
                rows = itertools.chain([(header, 1)], rows)
            texts: list[str] = []
            blocks = _table_blocks(rows, len(header), column, texts, allow_missing)
            samples = _gather(blocks)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"it is no table of text: {error}") from None
    return samples, None if labels is None else _as_labels(np.array(texts))


def _label_column(header: list[str], labels: str | int | None) -> int | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        names = [cell.strip() for cell in header]
        if labels not in names:
            raise ValueError(f"labels must be one of the columns {', '.join(names[:20])}, got {labels!r}")
        return names.index(labels)
    return _column_number(labels, len(header))


def _column_number(labels: int, n_columns: int) -> int:
    if isinstance(labels, bool) or not -n_columns <= labels < n_columns:
        raise ValueError(f"labels must be the number of one of {n_columns} columns, got {labels!r}")
    return labels % n_columns


def _table_blocks(
    rows: Iterable[tuple[list[str], int]], n_columns: int, column: int | None, texts: list[str], allow_missing: bool
) -> Iterator[np.ndarray]:
    """Blocks of numbers; the labels' cells are added to ``texts``."""
    rows = iter(rows)
    while part := list(itertools.islice(rows, _ROWS_OF_TEXT)):
        for row, number in part:
            if len(row) != n_columns:
                raise ValueError(f"line {number} has {len(row)} columns instead of {n_columns}")
            if column is not None:
                texts.append(row.pop(column).strip())
        yield np.array([[_to_number(cell, number, allow_missing) for cell in row] for row, number in part], dtype=float)


def _to_number(cell: str, line: int, allow_missing: bool) -> float:
    if allow_missing and not cell.strip():
        return np.nan
    if not cell.strip() or not _is_number(cell):
        raise ValueError(f"line {line} holds {cell!r} in place of a number")
    return float(cell)


def _is_number(cell: str) -> bool:
    """Tell a number, or the empty cell of a missing one, from a name."""
    try:
        float(cell)
    except ValueError:
        return not cell.strip()
    return True


def _choose(shapes: dict[str, tuple[int, ...]], variable: str | None) -> str:
    if variable is not None:
        return _known(shapes, variable)
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(matrices) != 1:
        contents = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise ValueError(f"variable must name the matrix unless there is one, got the arrays: {contents}")
    return matrices[0]


def _known(shapes: Iterable[str], name: str) -> str:
    names = list(shapes)
    if name not in names:
        raise ValueError(f"it holds no array {name!r}, but {', '.join(names) or 'none'}")
    return name


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    if matrix.dtype.kind not in "fiub" or matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"it must hold a matrix of real numbers, got {matrix.dtype} of shape {matrix.shape}")
    step = _rows_of_block(matrix.shape[1] * matrix.dtype.itemsize)
    for first in range(0, len(matrix), step):
        yield np.asarray(matrix[first : first + step])


def _rows_of_block(n_bytes: int) -> int:
    return max(1, _BLOCK_BYTES // n_bytes)


def _split_columns(blocks: Iterable[np.ndarray], labels: int | str | None) -> tuple[np.ndarray, Labels]:
    """Gather blocks, with one column kept apart as labels."""
    if labels is None:
        return _gather(blocks), None
    if isinstance(labels, str):
        raise ValueError(f"labels must be the number of a column of this kind of file, got {labels!r}")
    kept: list[np.ndarray] = []

    def without_labels() -> Iterator[np.ndarray]:
        for block in blocks:
            column = _column_number(labels, block.shape[1])
            kept.append(block[:, column].copy())
            yield np.delete(block, column, axis=1)

    return _gather(without_labels()), _as_labels(np.concatenate([*kept]))


def _gather(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Write blocks of rows to a temporary file; return them in memory if they are few, else map the file."""
    n_rows, n_columns = 0, 0
    dtype: np.dtype = np.dtype(np.float32)
    with tempfile.TemporaryFile() as file:
        for block in blocks:
            if block.ndim != 2 or block.dtype.kind not in "fiub" or block.size == 0:
                raise ValueError(f"it must hold a matrix of real numbers, got {block.dtype} of shape {block.shape}")
            dtype = np.dtype(np.float64 if block.dtype == np.float64 else np.float32)
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused
                file.write(np.ascontiguousarray(block, dtype=dtype).tobytes())
            n_rows, n_columns = n_rows + len(block), block.shape[1]
        if not n_rows:
            raise ValueError("it holds no row")
        file.flush()
        file.seek(0)
        shape = (n_rows, n_columns)
        if n_rows * n_columns * dtype.itemsize <= IN_MEMORY:
            return np.fromfile(file, dtype).reshape(shape)
        return np.memmap(file, dtype, "r+", shape=shape)  # of a file without a name, which ends with the map


def _as_labels(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim != 1:
        raise ValueError(f"labels must be one a sample, got the shape {values.shape}")
    if values.dtype.kind == "f" and np.all(values == np.floor(values)):
        return values.astype(np.int64)
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    text = values.astype(str)
    try:
        return text.astype(np.int64)
    except (ValueError, OverflowError):
        return text


def _check_values(path: Path, samples: np.ndarray, allow_missing: bool) -> None:
    if samples.ndim != 2:
        raise ValueError(f"{path} must hold a matrix, got the shape {samples.shape}")
    first = 0
    for block in _blocks(samples):
        wrong = np.isinf(block) if allow_missing else ~np.isfinite(block)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path} must hold finite numbers, got {block[row, column]} in row {first + row} and column {column}, "
                f"counted from 0"
            )
        first += len(block)
